package main

import (
	"strings"
	"testing"
)

func TestSend(t *testing.T) {
	d := newDaemon(t)
	for _, c := range []struct {
		in   string
		args []string
		sent string
	}{
		{"", []string{"send", "indoor", "hello you"}, "text hello you to indoor"},
		{"", []string{"send", "--custom", "indoor", `{"a":1}`}, `custom {"a":1} to indoor`},
		{"", []string{"send", "--group", "house", "hello"}, "text hello to group house"},
		{"", []string{"send", "--group", "house", "--custom", "x"}, "custom x to group house"},
		{"line\nline\n\n", []string{"send", "indoor", "-"}, "text line\nline\n to indoor"},
		{"no end", []string{"send", "--group", "house", "-"}, "text no end to group house"},
	} {
		code, out, errs := d.herald(c.in, c.args...)
		if code != 0 || out != "m-1\n" || errs != "" || d.sent != c.sent {
			t.Errorf("%q: exit %d, %q %q, sent %q", c.args, code, out, errs, d.sent)
		}
	}

	d.queued = true
	if _, out, _ := d.herald("", "send", "indoor", "x"); out != "m-1  queued: it goes out when the link to the hub is back\n" {
		t.Errorf("queued: %q", out)
	}
	if _, out, _ := d.herald("", "send", "--json", "indoor", "x"); out != `{"status":true,"msgId":"m-1","queued":true}`+"\n" {
		t.Errorf("--json: %q", out)
	}

	// A refusal: a sentence with its code, nothing of it that a terminal would obey.
	code, out, errs := d.herald("", "send", "nobody", "x")
	if code != 1 || out != "" || errs != `herald: userId: there is no account "nobody"\x1b[2J (code 90012)`+"\n" {
		t.Errorf("refused: %d %q %q", code, out, errs)
	}
	code, out, errs = d.herald("", "send", "nobody", "x", "--json")
	if code != 1 || out != `{"code":90012,"msg":"userId: there is no account \"nobody\"\u001b[2J"}`+"\n" || !strings.Contains(errs, "code 90012") {
		t.Errorf("refused with --json: %d %q %q", code, out, errs)
	}
	if code, _, errs := d.herald("", "send", "in door", "x"); code != 1 || !strings.Contains(errs, "userId") || !strings.Contains(errs, "code 7003") {
		t.Errorf("bad userId: %d %q", code, errs)
	}
	if code, _, errs := d.herald(strings.Repeat("x", maxInput+1), "send", "indoor", "-"); code != 1 || !strings.Contains(errs, "more than 1048576 bytes") {
		t.Errorf("a huge stdin: %d %q", code, errs)
	}
}
