// Package systemd_test holds the unit files to what they promise: that systemd reads every line of them, how much of
// the machine each service may touch, and that units, users and file modes fit together. The unit files themselves are
// the documentation of why each setting is there.
//
// The tools come from Debian's package systemd (scripts/deps test). A tool that is missing fails the test: a unit nobody
// checked is not a checked unit.
package systemd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// services are the units shipped, with the command each must run and the exposure it may have, in tenths, as
// systemd-analyze security counts it (0 is a service that can touch nothing, 100 one that may do everything).
var services = []struct {
	unit     string
	command  string
	exposure int
}{
	{"herald.service", "/usr/bin/herald run --config /etc/herald/herald.toml", 17},
	{"herald-hub.service", "/usr/bin/herald-hub run --config /etc/herald/hub.toml --data /var/lib/herald-hub", 13},
}

func TestVerify(t *testing.T) {
	for _, s := range services {
		t.Run(s.unit, func(t *testing.T) {
			out, err := verify(t, s.unit, readFile(t, s.unit))
			if err != nil || out != "" {
				t.Errorf("systemd-analyze verify %s: %v\n%s", s.unit, err, out)
			}
		})
	}
}

// TestVerifySeesFaults proves that TestVerify would notice: each fault is one that a hand might make.
func TestVerifySeesFaults(t *testing.T) {
	faults := []struct{ name, old, new string }{
		{"unknown key", "WatchdogSec=", "WatchdogSeconds="},
		{"trailing comment", "Restart=always", "Restart=always # always"},
		{"missing program", "ExecStart=/usr/bin/", "ExecStart=/usr/local/bin/"},
		{"unknown system call", "SystemCallFilter=@system-service", "SystemCallFilter=@system-services"},
	}
	for _, s := range services {
		text := readFile(t, s.unit)
		for _, f := range faults {
			broken := strings.Replace(text, f.old, f.new, 1)
			if broken == text {
				t.Errorf("%s has no %q to break", s.unit, f.old)
				continue
			}
			if out, err := verify(t, s.unit, broken); err == nil && out == "" {
				t.Errorf("%s: verify says nothing of a fault: %s", s.unit, f.name)
			}
		}
	}
}

func TestExposure(t *testing.T) {
	for _, s := range services {
		t.Run(s.unit, func(t *testing.T) {
			out, err := run(t, "systemd-analyze", "security", "--offline=true", "--no-pager",
				fmt.Sprintf("--threshold=%d", s.exposure), s.unit)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			t.Log(lines[len(lines)-1])
			if err != nil {
				t.Errorf("exposure over %.1f: %v\n%s", float64(s.exposure)/10, err, out)
			}
		})
	}
}

// TestContract holds what other parts of the system rely on.
func TestContract(t *testing.T) {
	for _, s := range services {
		t.Run(s.unit, func(t *testing.T) {
			u := parse(t, s.unit)
			want := map[string]string{
				"Service.Type":               "notify",
				"Service.NotifyAccess":       "main",
				"Service.ExecStart":          s.command,
				"Service.ExecReload":         "/bin/kill -HUP $MAINPID",
				"Service.Restart":            "always",
				"Service.DynamicUser":        "yes",
				"Service.StateDirectory":     strings.TrimSuffix(s.unit, ".service"),
				"Service.StateDirectoryMode": "0700",
				"Unit.StartLimitIntervalSec": "0",
				"Install.WantedBy":           "multi-user.target",
			}
			if s.unit == "herald.service" {
				want["Service.RuntimeDirectory"] = "herald"
				want["Service.RuntimeDirectoryMode"] = "0750"
				want["Service.Group"] = "herald"
			}
			for key, value := range want {
				if got := u.values(key); !slices.Equal(got, []string{value}) {
					t.Errorf("%s is %q, want %q", key, got, value)
				}
			}
			if len(u.values("Service.WatchdogSec")) != 1 {
				t.Error("no WatchdogSec: a hung program would stay")
			}
		})
	}
}

// TestKnownToDebian12 refuses settings newer than systemd 252, which 252 would only warn about and leave out. A newer
// systemd-analyze does not tell.
func TestKnownToDebian12(t *testing.T) {
	newer := []string{
		"ImportCredential", "RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryPressureWatch", "OpenFile",
		"RootEphemeral", "PrivatePIDs", "DelegateSubgroup", "CoredumpReceive",
		"SurviveFinalKillSignal",
	}
	for _, s := range services {
		for _, l := range parse(t, s.unit) {
			_, key, _ := strings.Cut(l.key, ".")
			if slices.Contains(newer, key) || (key == "Type" && l.value == "notify-reload") {
				t.Errorf("%s:%d: %s=%s is not known to systemd 252", s.unit, l.number, key, l.value)
			}
		}
	}
}

// TestAccounts checks that every account a unit names is made by herald.sysusers, and that systemd-sysusers makes it.
func TestAccounts(t *testing.T) {
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "etc"))
	conf := installed(t, root, "sysusers.d", "herald.sysusers")
	if out, err := run(t, "systemd-sysusers", "--root="+root, conf); err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	users, groups := names(t, root, "passwd"), names(t, root, "group")
	for _, s := range services {
		u := parse(t, s.unit)
		for _, name := range u.values("Service.User") {
			// DynamicUser= refuses a name that exists as a group only, and sysusers makes both.
			if !slices.Contains(users, name) || !slices.Contains(groups, name) {
				t.Errorf("%s: User=%s is not made by herald.sysusers", s.unit, name)
			}
		}
		for _, name := range slices.Concat(u.values("Service.Group"), fields(u.values("Service.SupplementaryGroups"))) {
			if !slices.Contains(groups, name) {
				t.Errorf("%s: group %s is not made by herald.sysusers", s.unit, name)
			}
		}
	}
}

// TestFiles checks that systemd-tmpfiles understands herald.tmpfiles and, where it runs as root, that the modes come out
// as they should: a UserSig is nobody's but the service manager's.
func TestFiles(t *testing.T) {
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "etc"))
	if out, err := run(t, "systemd-sysusers", "--root="+root, installed(t, root, "sysusers.d", "herald.sysusers")); err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	conf := installed(t, root, "tmpfiles.d", "herald.tmpfiles")
	// With a prefix that matches nothing the lines are read and nothing is made.
	if out, err := run(t, "systemd-tmpfiles", "--root="+root, "--create", "--prefix=/nothing", conf); err != nil || out != "" {
		t.Fatalf("systemd-tmpfiles does not read herald.tmpfiles: %v\n%s", err, out)
	}
	if os.Geteuid() != 0 {
		t.Log("not root: modes not tried")
		return
	}
	want := map[string]os.FileMode{
		"/etc/herald":               os.ModeDir | 0o755,
		"/etc/herald/herald.toml":   0o640,
		"/etc/herald/hub.toml":      0o640,
		"/etc/credstore":            os.ModeDir | 0o700,
		"/etc/credstore/herald.sig": 0o600,
	}
	for _, s := range services {
		for _, name := range parse(t, s.unit).values("Service.LoadCredential") {
			// With a path in it the unit would not start where the file is missing (243/CREDENTIALS).
			if strings.Contains(name, ":") || want["/etc/credstore/"+name] != 0o600 {
				t.Errorf("%s: LoadCredential=%s: want a name alone, kept 0600 in /etc/credstore by herald.tmpfiles", s.unit, name)
			}
		}
	}
	for path, mode := range want {
		if !mode.IsDir() {
			write(t, filepath.Join(root, path), "", 0o666)
		}
	}
	if out, err := run(t, "systemd-tmpfiles", "--root="+root, "--create", conf); err != nil || out != "" {
		t.Fatalf("systemd-tmpfiles: %v\n%s", err, out)
	}
	for path, mode := range want {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
}

// verify runs systemd-analyze verify on the text as the named unit, in a root of its own that has the two programs and
// the units that a Debian system would have.
func verify(t *testing.T, unit, text string) (string, error) {
	t.Helper()
	root := t.TempDir()
	for _, program := range []string{"usr/bin/herald", "usr/bin/herald-hub", "bin/kill"} {
		write(t, filepath.Join(root, program), "#!/bin/sh\n", 0o755)
	}
	for _, target := range []string{"basic", "multi-user", "network", "shutdown", "sysinit"} {
		write(t, filepath.Join(root, "usr/lib/systemd/system", target+".target"), "[Unit]\nDescription="+target+"\n", 0o644)
	}
	write(t, filepath.Join(root, "usr/lib/systemd/system/modprobe@.service"),
		"[Unit]\nDescription=modprobe\n[Service]\nType=oneshot\nExecStart=/bin/kill\n", 0o644)
	path := filepath.Join(root, "etc/systemd/system", unit)
	write(t, path, text, 0o644)
	return run(t, "systemd-analyze", "verify", "--man=no", "--root="+root, path)
}

// run gives what the tool wrote on both outputs.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%v; scripts/deps test installs it", err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_LOG_LEVEL=warning", "SYSTEMD_COLORS=0", "LC_ALL=C.UTF-8")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// line is one setting of a unit; key is "Section.Key".
type line struct {
	number     int
	key, value string
}

type unit []line

func (u unit) values(key string) []string {
	var all []string
	for _, l := range u {
		if l.key == key {
			all = append(all, l.value)
		}
	}
	return all
}

// parse reads a unit strictly: comments stand on lines of their own, no line is continued, and no value has space at its
// ends. systemd would take a comment after a value as part of the value.
func parse(t *testing.T, name string) unit {
	t.Helper()
	var u unit
	section := ""
	for i, text := range strings.Split(readFile(t, name), "\n") {
		switch {
		case text == "" || text[0] == '#':
		case strings.HasPrefix(text, "["):
			section = strings.Trim(text, "[]")
			if !slices.Contains([]string{"Unit", "Service", "Install"}, section) {
				t.Errorf("%s:%d: section %q", name, i+1, text)
			}
		default:
			key, value, found := strings.Cut(text, "=")
			if !found || key != strings.TrimSpace(key) || value != strings.TrimSpace(value) ||
				strings.ContainsAny(value, "#;") || strings.HasSuffix(value, `\`) {
				t.Errorf("%s:%d: not a plain setting: %q", name, i+1, text)
			}
			u = append(u, line{i + 1, section + "." + key, value})
		}
	}
	return u
}

func fields(values []string) []string { return strings.Fields(strings.Join(values, " ")) }

// names lists the first column of root's passwd or group file.
func names(t *testing.T, root, file string) []string {
	t.Helper()
	var all []string
	for _, l := range strings.Split(readFile(t, filepath.Join(root, "etc", file)), "\n") {
		name, _, _ := strings.Cut(l, ":")
		all = append(all, name)
	}
	return all
}

// installed puts a file where a package would put it and gives the name by which the tools find it.
func installed(t *testing.T, root, dir, file string) string {
	t.Helper()
	write(t, filepath.Join(root, "usr/lib", dir, "herald.conf"), readFile(t, file), 0o644)
	return "herald.conf"
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
