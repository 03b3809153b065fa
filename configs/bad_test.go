package configs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// badInput is a file and the problem that it must be refused with.
type badInput struct {
	data  string
	where Problem
	says  string
}

func TestBadAgentFiles(t *testing.T) {
	for name, tc := range map[string]badInput{
		"unknown key":        {"[hub]\n\nurll = \"mqtt://x:1\"", Problem{Line: 3, Key: "hub.urll"}, "did you mean hub.url?"},
		"key of elsewhere":   {"[hub]\nuser = \"a\"", Problem{Line: 2, Key: "hub.user"}, "did you mean account.user?"},
		"key in no section":  {"user = \"a\"", Problem{Line: 1, Key: "user"}, "did you mean account.user?"},
		"key in capitals":    {"[hub]\nURL = \"mqtt://x:1\"", Problem{Line: 2, Key: "hub.URL"}, "did you mean hub.url?"},
		"key of the hub's":   {"[limits]\nmessage_bytes = \"1KiB\"", Problem{Line: 1, Key: "limits"}, "no such section"},
		"strange key":        {"[hub]\n\"a b\\n\" = 1", Problem{Line: 2, Key: `hub."a b\n"`}, "no such key"},
		"key below a key":    {"[hub]\nurl.x = 1", Problem{Line: 2, Key: "hub.url.x"}, "no such key"},
		"unknown section":    {"\n[hubs]\nurl = \"\"", Problem{Line: 2, Key: "hubs"}, "did you mean hub?"},
		"nested section":     {"[hub.url]", Problem{Line: 1, Key: "hub.url"}, "no such section"},
		"section as a list":  {"[[hub]]\nurl = \"\"", Problem{Line: 1, Key: "hub"}, "write [hub]"},
		"section as a value": {"hub = 1", Problem{Line: 1, Key: "hub"}, "write [hub]"},

		"key twice":                 {"[hub]\nurl = \"mqtt://a:1\"\nca_file = \"\"\nurl = \"mqtt://b:1\"", Problem{Line: 4, Key: "hub.url"}, "first in line 2"},
		"key twice in a table":      {"hub = {url = \"mqtt://a:1\", url = \"mqtt://a:1\"}", Problem{Line: 1, Key: "hub.url"}, "second time"},
		"section twice":             {"[hub]\n[log]\n[hub]\n", Problem{Line: 3, Key: "hub"}, "first in line 1"},
		"section after dotted keys": {"hub.url = \"mqtt://a:1\"\n[hub]\n", Problem{Line: 2, Key: "hub"}, "first in line 1"},
		"section after a table":     {"hub = {}\n[hub]\n", Problem{Line: 2, Key: "hub"}, "first in line 1"},
		"table twice":               {"hub = {}\nhub = {}\n", Problem{Line: 2, Key: "hub"}, "first in line 1"},

		"number for a text":       {"[hub]\nurl = 1883", Problem{Line: 2, Key: "hub.url"}, "1883 must be text in quotes"},
		"number for a time":       {"[health]\nbeat = 60", Problem{Line: 2, Key: "health.beat"}, `60 must be a time span in quotes, such as "20s"`},
		"number for a size":       {"[outbox]\nmax_bytes = 67108864", Problem{Line: 2, Key: "outbox.max_bytes"}, `67108864 must be a size in quotes, such as "64MiB"`},
		"text for a number":       {"[outbox]\nmax_items = \"many\"", Problem{Line: 2, Key: "outbox.max_items"}, `"many" must be a whole number`},
		"fraction for a number":   {"[outbox]\nmax_items = 1.5", Problem{Line: 2, Key: "outbox.max_items"}, "1.5 must be a whole number"},
		"list for a text":         {"[api]\nallow_origins = [\"http://a\"]", Problem{Line: 2, Key: "api.allow_origins"}, "a list must be text"},
		"table for a text":        {"[api]\nallow_origins = {a = 1}", Problem{Line: 2, Key: "api.allow_origins"}, "a table must be text"},
		"truth for a text":        {"[log]\nlevel = true", Problem{Line: 2, Key: "log.level"}, "true must be text"},
		"date for a time":         {"[health]\nbeat = 2026-01-01", Problem{Line: 2, Key: "health.beat"}, "2026-01-01 must be a time span"},
		"number beyond 64 bits":   {"[outbox]\nmax_items = 99999999999999999999", Problem{Line: 2, Key: "outbox.max_items"}, ""},
		"number negative":         {"[outbox]\nmax_items = -1", Problem{Line: 2, Key: "outbox.max_items"}, `"-1" must be 1 to 10000000`},
		"number not finite":       {"[outbox]\nmax_items = inf", Problem{Line: 2, Key: "outbox.max_items"}, "inf must be a whole number"},
		"bad time":                {"[hub]\nconnect_timeout = \"5 parsecs\"", Problem{Line: 2, Key: "hub.connect_timeout"}, `"5 parsecs" is not a time span`},
		"empty time":              {"[hub]\nconnect_timeout = \"\"", Problem{Line: 2, Key: "hub.connect_timeout"}, `"" is not a time span`},
		"time without a unit":     {"[hub]\nconnect_timeout = \"10\"", Problem{Line: 2, Key: "hub.connect_timeout"}, `"10" is not a time span`},
		"bad size":                {"[outbox]\nmax_bytes = \"64MB\"", Problem{Line: 2, Key: "outbox.max_bytes"}, `"64MB" is not a size; write a whole number with B, KiB`},
		"size overflows":          {"[outbox]\nmax_bytes = \"9999999999TiB\"", Problem{Line: 2, Key: "outbox.max_bytes"}, "is not a size"},
		"time too short":          {"[hub]\n\n\nconnect_timeout = \"999ms\"", Problem{Line: 4, Key: "hub.connect_timeout"}, `"999ms" must be 1s to 2m`},
		"time negative":           {"[hub]\nconnect_timeout = \"-10s\"", Problem{Line: 2, Key: "hub.connect_timeout"}, `"-10s" must be 1s to 2m`},
		"size too large":          {"[outbox]\nmax_bytes = \"2GiB\"", Problem{Line: 2, Key: "outbox.max_bytes"}, `"2GiB" must be 64KiB to 1GiB`},
		"parts of a second":       {"[hub]\nkeepalive = \"1500ms\"", Problem{Line: 2, Key: "hub.keepalive"}, `"1.5s" must be in whole seconds`},
		"min over max":            {"[hub]\nreconnect_min = \"5s\"\nreconnect_max = \"1s\"", Problem{Line: 3, Key: "hub.reconnect_max"}, "not be less than hub.reconnect_min, which is 5s"},
		"min over the default":    {"[hub]\nreconnect_min = \"31s\"", Problem{Line: 0, Key: "hub.reconnect_max"}, "which is 31s"},
		"bad user":                {"[account]\nuser = \"böb\"", Problem{Line: 2, Key: "account.user"}, `"b\u00f6b" must be 1 to 32 of A-Z a-z 0-9 _ -`},
		"bad platform":            {"[account]\nplatform = \"Linux\"", Problem{Line: 2, Key: "account.platform"}, "1 to 16 of a-z"},
		"no directory":            {"[state]\ndir = \"\"", Problem{Line: 2, Key: "state.dir"}, "not empty"},
		"token missing":           {"[api]\nhttp = \"127.0.0.1:7070\"", Problem{Line: 0, Key: "api.token_file"}, `required when api.http is set, which is "127.0.0.1:7070"`},
		"long socket":             {"[api]\nsocket = \"/" + strings.Repeat("x", 107) + "\"", Problem{Line: 2, Key: "api.socket"}, "107 bytes"},
		"text without its end":    {"[hub]\nurl = \"mqtt://x:1\n[log]\n", Problem{Line: 2, Key: "hub.url"}, "must be text in quotes"},
		"nothing after the =":     {"[hub]\nurl =\n", Problem{Line: 2, Key: "hub.url"}, "must be text in quotes"},
		"no =":                    {"[hub]\n\nurl \"x\"\n", Problem{Line: 3, Key: "hub.url"}, "expected '=' after key"},
		"no quotes":               {"[hub]\nurl = mqtt://x:1\n", Problem{Line: 2, Key: "hub.url"}, "must be text in quotes"},
		"two on a line":           {"[hub]\nurl = \"mqtt://x:1\" ca_file = \"\"\n", Problem{Line: 2, Key: "hub.url"}, "expected newline"},
		"section without its end": {"[hub\nurl = \"\"", Problem{Line: 1}, "not TOML"},
		"YAML":                    {"hub:\n  url: x\n", Problem{Line: 1}, "not TOML"},
		"JSON":                    {"{\"hub\": {}}", Problem{Line: 1}, "not TOML"},
		"deep nesting":            {"[hub]\nurl = " + strings.Repeat("[", 1<<19), Problem{Line: 2, Key: "hub.url"}, "nested"},
		"a NUL":                   {"[hub]\nurl = \"a\x00b\"", Problem{Line: 2}, "0x00 is not text"},
		"UTF-16":                  {"\xff\xfe[\x00h\x00", Problem{Line: 1}, "0xff is not text"},
		"Latin-1":                 {"\n# f\xfcr\n", Problem{Line: 2}, "0xfc is not text"},
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, tc, func(path string) error { _, err := LoadAgent(path); return err })
		})
	}
}

func TestBadHubFiles(t *testing.T) {
	for name, tc := range map[string]badInput{
		"text for a truth":   {"[mqtt]\nplain = \"no\"", Problem{Line: 2, Key: "mqtt.plain"}, `"no" must be true or false`},
		"number for a truth": {"[mqtt]\nplain = 1", Problem{Line: 2, Key: "mqtt.plain"}, "1 must be true or false"},
		"no connections":     {"[mqtt]\nmax_connections = 0", Problem{Line: 2, Key: "mqtt.max_connections"}, `"0" must be 1 to 1000000`},
		"too many members":   {"[limits]\ngroup_work_members = 100001", Problem{Line: 2, Key: "limits.group_work_members"}, "2 to 100000"},
		"too many friends":   {"[limits]\nfriends = 4001", Problem{Line: 2, Key: "limits.friends"}, "1 to 4000"},
		"too many refused":   {"[limits]\nblacklist = 4001", Problem{Line: 2, Key: "limits.blacklist"}, "1 to 4000"},
		"certificate only":   {"[mqtt]\ntls_cert = \"/c.pem\"", Problem{Line: 0, Key: "mqtt.tls_key"}, "required with mqtt.tls_cert"},
		"key only":           {"[mqtt]\ntls_key = \"/k.pem\"", Problem{Line: 0, Key: "mqtt.tls_cert"}, "required with mqtt.tls_key"},
		"plain with TLS":     {"[mqtt]\ntls_cert = \"/c\"\ntls_key = \"/k\"\nplain = true", Problem{Line: 4, Key: "mqtt.plain"}, "contradicts"},
		"no address":         {"[mqtt]\nlisten = \"\"", Problem{Line: 2, Key: "mqtt.listen"}, "HOST:PORT"},
		"another database":   {"[db]\nurl = \"mysql://herald:hunter2@db/herald\"", Problem{Line: 2, Key: "db.url"}, "must be postgres://"},
		"database by DSN":    {"[db]\nurl = \"host=db password=hunter2\"", Problem{Line: 2, Key: "db.url"}, "must be postgres://"},
		"database, bad port": {"[db]\nurl = \"postgres://herald:hunter2@db:port/herald\"", Problem{Line: 2, Key: "db.url"}, "must be postgres://"},
		"database in a list": {"[db]\nurl = [\"postgres://herald:hunter2@db/herald\"]", Problem{Line: 2, Key: "db.url"}, "a list must be"},
		"password parameter": {"[db]\nurl = \"mysql://db/herald?password=hunter2\"", Problem{Line: 2, Key: "db.url"}, "must be postgres://"},
		"no quotes":          {"[db]\nurl = postgres://herald:hunter2@db/herald", Problem{Line: 2, Key: "db.url"}, "must be text in quotes"},
		"URL of an upload":   {"[files]\npublic_url = \"ftp://hub.example\"", Problem{Line: 2, Key: "files.public_url"}, "must be http://HOST:PORT or https://HOST"},
		"URL with a slash":   {"[files]\npublic_url = \"https://hub.example/\"", Problem{Line: 2, Key: "files.public_url"}, "without a user, a query or a slash at the end"},
		"URL with a user":    {"[files]\npublic_url = \"https://u:hunter2@hub.example\"", Problem{Line: 2, Key: "files.public_url"}, "without a user"},
		"URL without a port": {"[files]\npublic_url = \"https://hub.example:\"", Problem{Line: 2, Key: "files.public_url"}, "a port from 1 to 65535"},
		"too few bytes":      {"[files]\nmax_bytes = \"1MiB\"", Problem{Line: 2, Key: "files.max_bytes"}, `"1MiB" must be 128MiB to 1024TiB`},
		"bucket's name":      {"[files]\ns3_bucket = \"A/B\"\ns3_endpoint = \"https://s3.example\"\ns3_access_key = \"k\"\ns3_secret_file = \"/s\"", Problem{Line: 2, Key: "files.s3_bucket"}, "3 to 63 of a-z"},
		"bucket only":        {"[files]\ns3_endpoint = \"https://s3.example\"\ns3_bucket = \"b-1.c\"\ns3_access_key = \"k\"", Problem{Line: 0, Key: "files.s3_secret_file"}, "required with files.s3_bucket"},
		"key without bucket": {"[files]\ns3_access_key = \"k\"", Problem{Line: 2, Key: "files.s3_access_key"}, "makes no sense without files.s3_bucket"},
		"tolerance too long": {"[accounts]\nclock_tolerance = \"25h\"", Problem{Line: 2, Key: "accounts.clock_tolerance"}, `"25h" must be 1s to 24h`},
	} {
		t.Run(name, func(t *testing.T) {
			refuses(t, tc, func(path string) error { _, err := LoadHub(path); return err })
		})
	}
}

func refuses(t *testing.T, tc badInput, load func(string) error) {
	t.Helper()
	file := write(t, tc.data)
	err := load(file)
	tc.where.File = file
	wantProblem(t, err, tc.where, tc.says)
	where := file + ": "
	if tc.where.Line > 0 {
		where = fmt.Sprintf("%s:%d: ", file, tc.where.Line)
	}
	text := err.Error()
	if !strings.HasPrefix(text, where+tc.where.Key) {
		t.Errorf("%q does not begin with %q", text, where+tc.where.Key)
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("the error tells the password: %s", text)
	}
	if strings.Contains(text, "configs.") || strings.Contains(text, "\x00") || len(text) > 600 {
		t.Errorf("not for a board's owner: %q", text)
	}
}

// All that is wrong is told at once, in the file's order within each check, and
// no flood of it.
func TestSeveralProblems(t *testing.T) {
	_, err := LoadAgent(write(t, "[hub]\nurl = 1\nx = 2\n[log]\nlevel = 3\n"))
	for line, key := range map[int]string{2: "hub.url", 3: "hub.x", 5: "log.level"} {
		wantProblem(t, err, Problem{Line: line, Key: key})
	}
	_, err = LoadAgent(write(t, "[hub]\nurl = \"x\"\n[log]\nlevel = \"loud\"\n"))
	for line, key := range map[int]string{2: "hub.url", 4: "log.level"} {
		wantProblem(t, err, Problem{Line: line, Key: key})
	}
	_, err = LoadAgent(write(t, strings.Repeat("x = 1\n", 1000)))
	if text := err.Error(); strings.Count(text, "\n") != maxShown || !strings.HasSuffix(text, "and 980 more") {
		t.Errorf("1000 problems are told as:\n%s", text)
	}
}

func TestBinaryGarbage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, load := range loaders() {
		for range 20 {
			noise := make([]byte, 4096)
			for i := range noise {
				noise[i] = byte(rng.Uint32())
			}
			if err := load(write(t, string(noise))); err == nil || !strings.Contains(err.Error(), "is not text") {
				t.Errorf("garbage: %v", err)
			}
		}
		if exe, err := os.Executable(); err == nil {
			if err := load(exe); err == nil || !strings.Contains(err.Error(), "more than 1MiB") {
				t.Errorf("a program: %v", err)
			}
		}
	}
}
