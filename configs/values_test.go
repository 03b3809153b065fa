package configs

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFilesHidden(t *testing.T) {
	for _, tc := range []struct {
		mqtt, http, public string
		want               bool
	}{
		{"127.0.0.1:1883", "127.0.0.1:8080", "", false},
		{":8883", "127.0.0.1:8080", "", true},
		{":8883", ":8080", "", false},
		{":8883", "127.0.0.1:8080", "https://hub.example", false},
	} {
		h := DefaultHub()
		h.MQTT.Listen, h.HTTP.Listen, h.Files.PublicURL = tc.mqtt, tc.http, tc.public
		if got := h.FilesHidden(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "20s": 20 * time.Second, "10m": 10 * time.Minute, "1h": time.Hour,
		"1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "1.5s": 1500 * time.Millisecond,
		"87600h": 87600 * time.Hour, "0s": 0, "-20s": -20 * time.Second, "1ns": 1, "10m0.5s": 10*time.Minute + time.Second/2,
	} {
		d, err := ParseDuration(text)
		if err != nil || d.D() != want || d.String() != text {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, d, err, want)
		}
	}
	for text, want := range map[string]string{
		"60s": "1m", "180d": "4320h", "1d12h": "36h", "0d": "0s", "0": "0s", "106751d": "2562024h", "3600s": "1h", "10m0s": "10m",
	} {
		if d, err := ParseDuration(text); err != nil || d.String() != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", " ", "10", "s", "20 s", "20S", "d", "-1d", "+1d", "1.5d", "1d-1h", "1d+1h", "1dd", "1h1d", "106752d",
		"106751d24h", "9999999999999999999d", "99999999999h", "1e3s", "5 parsecs", strings.Repeat("9", 1000)} {
		d := Duration(7)
		err := d.UnmarshalText([]byte(text))
		if err == nil || d != 7 || len(err.Error()) > 300 || !strings.Contains(err.Error(), "20s") {
			t.Errorf("UnmarshalText(%.40q) = %v, %v", text, d, err)
		}
	}
	for _, v := range []time.Duration{0, 1, -1, 59, 60 * time.Second, time.Hour, 61 * time.Minute, 3601 * time.Second, 600 * time.Second,
		36000 * time.Second, math.MaxInt64, math.MinInt64 + 1, 100 * time.Millisecond, -10 * time.Minute} {
		text, _ := Duration(v).MarshalText()
		if got, err := ParseDuration(string(text)); err != nil || got.D() != v {
			t.Errorf("%d → %s → %d, %v", v, text, got, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0B": 0, "1B": 1, "1000B": 1000, "1KiB": 1024, "1536KiB": 1536 << 10, "64MiB": 64 << 20, "1GiB": 1 << 30, "3TiB": 3 << 40,
		"9223372036854775807B": math.MaxInt64, "8388607TiB": 8388607 << 40,
	} {
		s, err := ParseSize(text)
		if err != nil || s != want || s.String() != text {
			t.Errorf("ParseSize(%q) = %v, %v; want %d", text, s, err, want)
		}
	}
	if s, err := ParseSize("1024KiB"); err != nil || s.String() != "1MiB" {
		t.Errorf("1024KiB = %v, %v", s, err)
	}
	for _, text := range []string{"", "1", "B", "MiB", "-1B", "+1B", "1.5MiB", "1 MiB", "1MB", "1M", "1mib", "1MiB ", "0x10B", "1_000B",
		"9223372036854775808B", "8388608TiB", "99999999999999999999B", "١B"} {
		s := Size(7)
		err := s.UnmarshalText([]byte(text))
		if err == nil || s != 7 || !strings.Contains(err.Error(), "64MiB") {
			t.Errorf("UnmarshalText(%q) = %v, %v", text, s, err)
		}
	}
	for _, v := range []Size{0, 1, 1023, 1025, KiB, MiB - 1, GiB + MiB, TiB, math.MaxInt64, -1, -5 * MiB} {
		text, _ := v.MarshalText()
		got, err := ParseSize(string(text))
		if v >= 0 && (err != nil || got != v) {
			t.Errorf("%d → %s → %d, %v", v, text, got, err)
		}
	}
}

func TestValidateAgent(t *testing.T) {
	good := map[string]func(*Agent){
		"defaults":       func(*Agent) {},
		"TLS":            func(a *Agent) { a.Hub.URL = "mqtts://hub.example:8883" },
		"no port":        func(a *Agent) { a.Hub.URL = "mqtt://hub" },
		"IPv6":           func(a *Agent) { a.Hub.URL = "mqtt://[fd00::1]:1883" },
		"IPv6 zone":      func(a *Agent) { a.Hub.URL = "mqtt://[fe80::1%25eth0]:1883" },
		"longest user":   func(a *Agent) { a.Account.User = strings.Repeat("Z", 32) },
		"all of a user":  func(a *Agent) { a.Account.User = "aZ09_-" },
		"http":           func(a *Agent) { a.API.HTTP, a.API.TokenFile = ":0", "/t" },
		"origins":        func(a *Agent) { a.API.AllowOrigins = "https://a.example, http://localhost:3000,http://[::1]:80" },
		"hosts":          func(a *Agent) { a.API.AllowHosts = "door.local, panel.example:8443,[fd00::1]:80,fd00::1" },
		"relative":       func(a *Agent) { a.State.Dir, a.API.Socket = "state", "herald.sock" },
		"longest socket": func(a *Agent) { a.API.Socket = strings.Repeat("x", 107) },
		"no group":       func(a *Agent) { a.API.SocketGroup = "" },
		"least":          func(a *Agent) { a.Outbox = Outbox{1, 64 * KiB} },
		"most":           func(a *Agent) { a.Outbox = Outbox{10_000_000, GiB} },
		"least files":    func(a *Agent) { a.Files = Files{Cache: MiB, Spool: MiB} },
		"most files":     func(a *Agent) { a.Files = Files{Dir: "/f", Cache: TiB, Spool: TiB, AutoDownload: 100 * MiB} },
		"one wait":       func(a *Agent) { a.Hub.ReconnectMin, a.Hub.ReconnectMax = Duration(time.Second), Duration(time.Second) },
	}
	for name, change := range good {
		a := DefaultAgent()
		change(&a)
		if err := a.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := []struct {
		key    string
		change func(*Agent)
		says   string
	}{
		{"hub.url", func(a *Agent) { a.Hub.URL = "" }, "mqtt://HOST:PORT"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "127.0.0.1:1883" }, "mqtt://HOST:PORT"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "tcp://h:1" }, `"tcp://h:1" must be`},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt:h:1" }, "mqtt://HOST:PORT"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://:1883" }, "mqtt://HOST:PORT"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://a b:1" }, "mqtt://HOST:PORT"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h/x" }, "nothing after the port"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h:1/" }, "nothing after the port"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h:1?x=1" }, "nothing after the port"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h:1#" }, "nothing after the port"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h:0" }, "port from 1 to 65535"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h:" }, "port from 1 to 65535"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://h:65536" }, "port from 1 to 65535"},
		{"hub.url", func(a *Agent) { a.Hub.URL = "mqtt://bob:hunter2@h:1" }, "account.user"},
		{"hub.ca_file", func(a *Agent) { a.Hub.CAFile = "a\x00b" }, "NUL"},
		{"hub.ca_file", func(a *Agent) { a.Hub.CAFile = strings.Repeat("a", 4096) }, "4095"},
		{"hub.keepalive", func(a *Agent) { a.Hub.Keepalive = 0 }, `"0s" must be 1s to 10m`},
		{"hub.reconnect_min", func(a *Agent) { a.Hub.ReconnectMin = 0 }, "10ms to 1m"},
		{"account.user", func(a *Agent) { a.Account.User = strings.Repeat("a", 33) }, "1 to 32"},
		{"account.user", func(a *Agent) { a.Account.User = "a/b" }, `"a/b" must be 1 to 32`},
		{"account.platform", func(a *Agent) { a.Account.Platform = "" }, "1 to 16"},
		{"account.platform", func(a *Agent) { a.Account.Platform = strings.Repeat("a", 17) }, "1 to 16"},
		{"state.min_free", func(a *Agent) { a.State.MinFree = 0 }, `"0B" must be 64KiB to 1GiB`},
		{"mirror.max_per_conversation", func(a *Agent) { a.Mirror.MaxPerConversation = 19 }, "20 to 10000000"},
		{"mirror.max_bytes", func(a *Agent) { a.Mirror.MaxBytes = 2 * GiB }, "64KiB to 1GiB"},
		{"journal.max_events", func(a *Agent) { a.Journal.MaxEvents = math.MinInt }, "100 to 10000000"},
		{"api.socket", func(a *Agent) { a.API.Socket = "" }, "not empty"},
		{"api.socket", func(a *Agent) { a.API.Socket = "@herald" }, "abstract"},
		{"api.socket", func(a *Agent) { a.API.Socket = "\x00herald" }, "NUL"},
		{"api.socket_group", func(a *Agent) { a.API.SocketGroup = "a:b" }, "group"},
		{"api.http", func(a *Agent) { a.API.HTTP, a.API.TokenFile = "7070", "/t" }, "HOST:PORT"},
		{"api.http", func(a *Agent) { a.API.HTTP, a.API.TokenFile = ":http", "/t" }, "0 to 65535"},
		{"api.http", func(a *Agent) { a.API.HTTP, a.API.TokenFile = ":65536", "/t" }, "0 to 65535"},
		{"api.http", func(a *Agent) { a.API.HTTP, a.API.TokenFile = ":+80", "/t" }, "0 to 65535"},
		{"api.http", func(a *Agent) { a.API.HTTP, a.API.TokenFile = "a b:80", "/t" }, "HOST:PORT"},
		{"api.http", func(a *Agent) { a.API.HTTP, a.API.TokenFile = "::1:80", "/t" }, "HOST:PORT"},
		{"api.token_file", func(a *Agent) { a.API.HTTP = ":80" }, "required"},
		{"api.allow_hosts", func(a *Agent) { a.API.AllowHosts = "*.local" }, "names of the board"},
		{"api.allow_hosts", func(a *Agent) { a.API.AllowHosts = "a," }, "names of the board"},
		{"api.allow_hosts", func(a *Agent) { a.API.AllowHosts = "http://a" }, "names of the board"},
		{"api.allow_hosts", func(a *Agent) { a.API.AllowHosts = "a:x" }, "names of the board"},
		{"api.allow_origins", func(a *Agent) { a.API.AllowOrigins = "*" }, "web origins"},
		{"api.allow_origins", func(a *Agent) { a.API.AllowOrigins = "https://a," }, "web origins"},
		{"api.allow_origins", func(a *Agent) { a.API.AllowOrigins = "https://a/" }, "nothing after the port"},
		{"api.allow_origins", func(a *Agent) { a.API.AllowOrigins = "https://a:" }, "nothing after the port"},
		{"api.allow_origins", func(a *Agent) { a.API.AllowOrigins = "https://A.example" }, "lower case"},
		{"api.allow_origins", func(a *Agent) { a.API.AllowOrigins = "null" }, "web origins"},
		{"api.max_streams", func(a *Agent) { a.API.MaxStreams = 1025 }, "1 to 1024"},
		{"files.dir", func(a *Agent) { a.Files.Dir = "a\x00b" }, "NUL"},
		{"files.cache", func(a *Agent) { a.Files.Cache = MiB - 1 }, "1MiB to 1TiB"},
		{"files.cache", func(a *Agent) { a.Files.Cache = TiB + 1 }, "1MiB to 1TiB"},
		{"files.spool", func(a *Agent) { a.Files.Spool = 0 }, "1MiB to 1TiB"},
		{"files.auto_download", func(a *Agent) { a.Files.AutoDownload = 100*MiB + 1 }, "0B to 100MiB"},
		{"files.auto_download", func(a *Agent) { a.Files.AutoDownload = -1 }, "0B to 100MiB"},
		{"media.min_bitrate", func(a *Agent) { a.Media.MinBitrate = 49 }, "50 to 10000"},
		{"media.min_bitrate", func(a *Agent) { a.Media.Bitrate, a.Media.MinBitrate = 200, 201 }, "not be above media.bitrate"},
		{"media.controls", func(a *Agent) { a.Media.Controls = "brightness" }, "brightness=120"},
		{"media.controls", func(a *Agent) { a.Media.Controls = "brightness=1," }, "brightness=120"},
		{"media.controls", func(a *Agent) { a.Media.Controls = "brightness=9999999999999999999" }, "brightness=120"},
		{"media.echo", func(a *Agent) { a.Media.Echo = "" }, "auto, cancel, duck or off"},
		{"log.level", func(a *Agent) { a.Log.Level = "" }, "debug"},
		{"log.level", func(a *Agent) { a.Log.Level = "INFO" }, "debug"},
		{"health.beat", func(a *Agent) { a.Health.Beat = math.MinInt64 }, "5s to 1h"},
	}
	for _, tc := range bad {
		a := DefaultAgent()
		tc.change(&a)
		wantProblem(t, a.Validate(), Problem{Key: tc.key}, tc.says)
		if err := a.Validate(); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestBroker(t *testing.T) {
	for url, want := range map[string]struct {
		addr string
		tls  bool
	}{
		"mqtt://127.0.0.1:1883":  {"127.0.0.1:1883", false},
		"mqtt://hub.example":     {"hub.example:1883", false},
		"mqtts://hub.example":    {"hub.example:8883", true},
		"mqtts://hub.example:99": {"hub.example:99", true},
		"mqtt://[::1]":           {"[::1]:1883", false},
		"nonsense":               {"", false},
	} {
		if addr, tls := (Link{URL: url}).Broker(); addr != want.addr || tls != want.tls {
			t.Errorf("Broker of %s = %s, %v", url, addr, tls)
		}
	}
}

func TestFilesDir(t *testing.T) {
	a := DefaultAgent()
	if got := a.FilesDir(); got != "/var/lib/herald/files" {
		t.Errorf("by default: %s", got)
	}
	a.Files.Dir = "/sd/files"
	if got := a.FilesDir(); got != "/sd/files" {
		t.Errorf("elsewhere: %s", got)
	}
}

func TestBrokerTLS(t *testing.T) {
	for _, tc := range []struct {
		m    MQTT
		want bool
	}{
		{MQTT{Listen: "127.0.0.1:1883"}, false},
		{MQTT{Listen: "127.8.8.8:1883"}, false},
		{MQTT{Listen: "[::1]:1883"}, false},
		{MQTT{Listen: "[::ffff:127.0.0.1]:1883"}, false},
		{MQTT{Listen: "localhost:0"}, false},
		{MQTT{Listen: "127.0.0.1:8883", TLSCert: "/c", TLSKey: "/k"}, true},
		{MQTT{Listen: ":1883"}, true},
		{MQTT{Listen: "0.0.0.0:1883"}, true},
		{MQTT{Listen: "[::]:1883"}, true},
		{MQTT{Listen: "hub.example:1883"}, true},
		{MQTT{Listen: "localhost.example:1883"}, true},
		{MQTT{Listen: "nonsense"}, true},
		{MQTT{Listen: ":1883", Plain: true}, false},
	} {
		if got := tc.m.TLS(); got != tc.want {
			t.Errorf("TLS of %+v = %v", tc.m, got)
		}
	}
}

func TestDatabaseURL(t *testing.T) {
	for _, url := range []string{"", "postgres://herald:pw@127.0.0.1:5432/herald?sslmode=disable", "postgresql:///herald?host=/run/postgresql"} {
		h := DefaultHub()
		h.DB.URL = url
		if err := h.Validate(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestSigPath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if got := (Account{}).SigPath(); got != "" {
		t.Errorf("without anything: %q", got)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if got := (Account{}).SigPath(); got != "" {
		t.Errorf("without that credential: %q", got)
	}
	credential := filepath.Join(dir, "herald.sig")
	if err := os.WriteFile(credential, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := (Account{}).SigPath(); got != credential {
		t.Errorf("with it: %q", got)
	}
	if got := (Account{SigFile: "/own"}).SigPath(); got != "/own" {
		t.Errorf("with a file of one's own: %q", got)
	}
}

func TestOrigins(t *testing.T) {
	if got := (API{AllowOrigins: " "}).Origins(); got != nil {
		t.Errorf("none: %q", got)
	}
	if got := (API{AllowOrigins: "https://a ,http://b:1"}).Origins(); !slices.Equal(got, []string{"https://a", "http://b:1"}) {
		t.Errorf("two: %q", got)
	}
}

func TestTurn(t *testing.T) {
	for _, tc := range []struct {
		turn, mqtt, want string
		mayLack          bool
	}{
		{"auto", "127.0.0.1:1883", "127.0.0.1:3478", true},
		{"auto", "localhost:1883", "localhost:3478", true},
		{"auto", "[::1]:1883", "[::1]:3478", true},
		{"auto", ":8883", ":3478", true},
		{"auto", "192.168.1.2:8883", "192.168.1.2:3478", true},
		{"off", "127.0.0.1:1883", "", false},
		{"127.0.0.1:3478", "127.0.0.1:1883", "127.0.0.1:3478", false},
	} {
		h := DefaultHub()
		h.Turn.Listen, h.MQTT.Listen = tc.turn, tc.mqtt
		if err := h.Validate(); err != nil {
			t.Error(err)
		}
		if got, mayLack := h.TurnListen(); got != tc.want || mayLack != tc.mayLack {
			t.Errorf("%s with mqtt.listen %s: %q, %v", tc.turn, tc.mqtt, got, mayLack)
		}
	}
	for _, change := range []func(*Turn){
		func(t *Turn) { t.Public = "turn.example" },
		func(t *Turn) { t.Public = "turn.example:3478" },
		func(t *Turn) { t.Public = "2001:db8::7" },
		func(t *Turn) { t.Public = "[2001:db8::7]:3478" },
		func(t *Turn) { t.RelayAddress = "203.0.113.7" },
		func(t *Turn) { t.MinPort, t.MaxPort = 1024, 1024 },
	} {
		h := DefaultHub()
		change(&h.Turn)
		if err := h.Validate(); err != nil {
			t.Errorf("%+v: %v", h.Turn, err)
		}
	}
	for key, changes := range map[string][]func(*Turn){
		"turn.listen": {func(t *Turn) { t.Listen = "" }, func(t *Turn) { t.Listen = "on" }, func(t *Turn) { t.Listen = "3478" }},
		"turn.public": {func(t *Turn) { t.Public = "turn:turn.example" }, func(t *Turn) { t.Public = "a b" }, func(t *Turn) { t.Public = "x:0" }, func(t *Turn) { t.Public = ":3478" }},
		"turn.relay_address": {func(t *Turn) { t.RelayAddress = "turn.example" }, func(t *Turn) { t.RelayAddress = "0.0.0.0" },
			func(t *Turn) { t.RelayAddress = "fe80::1%eth0" }},
		"turn.max_port":        {func(t *Turn) { t.MinPort, t.MaxPort = 50000, 49999 }},
		"turn.min_port":        {func(t *Turn) { t.MinPort = 80 }},
		"turn.credentials_for": {func(t *Turn) { t.CredentialsFor = 0 }},
	} {
		for _, change := range changes {
			h := DefaultHub()
			change(&h.Turn)
			if err := h.Validate(); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%+v: %v", h.Turn, err)
			}
		}
	}
}
