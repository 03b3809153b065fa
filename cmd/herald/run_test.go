package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/configs"
)

func TestRunFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "herald.toml")
	if err := os.WriteFile(file, []byte("[api]\nsocket = \"/of/the/file.sock\"\n[account]\nuser = \"file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(env string, args ...string) (configs.Agent, error) {
		t.Helper()
		sh := newShell("", nil, nil)
		sh.env = func(string) string { return env }
		cmd, rest, err := newRoot(sh).Find(append([]string{"run"}, args...))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Fatal(err)
		}
		return sh.loadAgent(file, cmd.Flags())
	}

	got, err := load("")
	want := configs.DefaultAgent()
	want.API.Socket, want.Account.User = "/of/the/file.sock", "file"
	if err != nil || got != want {
		t.Errorf("without flags: %+v, %v", got, err)
	}
	got, err = load("", "--state", "st", "--socket", "s.sock", "--sig", "sig", "--user", "door", "--hub", "mqtt://hub:1")
	want.State.Dir, want.API.Socket, want.Account.SigFile = filepath.Join(dir, "st"), filepath.Join(dir, "s.sock"), filepath.Join(dir, "sig")
	want.Account.User, want.Hub.URL = "door", "mqtt://hub:1"
	if err != nil || got != want {
		t.Errorf("with flags: %+v, %v", got, err)
	}
	if got, err = load("/of/the/env.sock"); err != nil || got.API.Socket != "/of/the/env.sock" {
		t.Errorf("with the environment: %s, %v", got.API.Socket, err)
	}
	if got, err = load("/of/the/env.sock", "--socket", "/flag.sock"); err != nil || got.API.Socket != "/flag.sock" {
		t.Errorf("with both: %s, %v", got.API.Socket, err)
	}
	for _, c := range []struct{ flag, value, says string }{
		{"--user", "a b", "account.user"}, {"--hub", "http://x", "hub.url"}, {"--http", "127.0.0.1:80", "api.token_file"},
	} {
		if _, err := load("", c.flag, c.value); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v", c.flag, c.value, err)
		}
	}
}

func TestRunRefusesABadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(file, []byte("[api]\nsock = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	if code := execute(t.Context(), []string{"run", "--config", file, "--http", ""}, newShell("", nil, &errs)); code != 1 || !strings.Contains(errs.String(), "sock") {
		t.Errorf("exit %d, %s", code, errs.String())
	}
}
