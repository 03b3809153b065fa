package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func TestAPI(t *testing.T) {
	d := newDaemon(t)
	const answer = `{"status":true,"msgId":"m-1"}` + "\n"
	body := `{"userId":"indoor","text":"hello"}`
	for _, c := range []struct {
		in   string
		args []string
		out  string
	}{
		{"", []string{"api", "im.getVersion"}, `{"status":true,"version":"test"}` + "\n"},
		{"not read", []string{"api", "im.getVersion"}, `{"status":true,"version":"test"}` + "\n"},
		{"", []string{"api", "im.sendC2CTextMessage", body}, answer},
		{body + "\n", []string{"api", "im.sendC2CTextMessage"}, answer},
		{body, []string{"api", "im.sendC2CTextMessage", "-"}, answer},
		{"not read", []string{"api", "im.sendC2CTextMessage", body}, answer},
		{" \n", []string{"api", "device.getQueue"}, `{"status":true,"items":0,"bytes":0,"maxItems":0,"maxBytes":0,"uploading":0,"list":null}` + "\n"},
	} {
		if code, out, errs := d.herald(c.in, c.args...); code != 0 || out != c.out || errs != "" {
			t.Errorf("%q < %q: exit %d, %s%s", c.args, c.in, code, out, errs)
		}
	}
	code, out, errs := d.herald("", "api", "im.sendC2CTextMessage", "{}")
	if code != 1 || !strings.HasPrefix(out, `{"code":6017,"msg":"im.sendC2CTextMessage: userId: missing"}`) || errs != "herald: im.sendC2CTextMessage: userId: missing (code 6017)\n" {
		t.Errorf("refused: %d %s%s", code, out, errs)
	}
}

func TestAPILists(t *testing.T) {
	d := newDaemon(t)
	_, out, _ := d.herald("", "api")
	if lines := strings.Count(out, "\n"); lines != len(protocol.Methods()) || !strings.Contains(out, "\nim.login ") {
		t.Errorf("%d lines\n%s", lines, out)
	}
	_, out, _ = d.herald("", "api", "--json")
	var list []map[string]string
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != len(protocol.Methods()) || list[0]["route"] == "" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAPIDescribes(t *testing.T) {
	d := newDaemon(t)
	_, out, _ := d.herald("", "api", "im.sendC2CCustomMessage", "--help")
	for _, want := range []string{
		"im.sendC2CCustomMessage sends custom data to an account.\nQueued: ",
		"\nRequest:\n  customData  string\n  userId      string\n  customData may be written customMsg\n",
		"\nAnswer:\n  msgId   string\n  queued  boolean, optional\n",
		"\n  6014   not logged in\n",
		`herald api im.sendC2CCustomMessage '{"customData":"…","userId":"…"}'`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, m := range protocol.Methods() { // each example is one that can be sent
		code, out, _ := d.herald("", "api", m.Name, "--help")
		_, body, _ := strings.Cut(out, "herald api "+m.Name+" '")
		body, _, ok := strings.Cut(body, "'\n")
		if code != 0 || !ok || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", m.Name, code, out)
		}
	}
	_, out, _ = d.herald("", "api", "device.getStatus", "--help")
	if !strings.Contains(out, "lastError.code") || !strings.Contains(out, "queue.maxBytes") {
		t.Errorf("nested fields:\n%s", out)
	}
	if _, out, _ = d.herald("", "api", "--help"); !strings.Contains(out, "Usage:") {
		t.Errorf("help of api itself:\n%s", out)
	}
}
