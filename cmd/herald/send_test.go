package main

import (
	"os"
	"path/filepath"
	"slices"
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

// Files go to the daemon first, and a message is made of what it calls them.
func TestSendFilesAndPlaces(t *testing.T) {
	d := newDaemon(t)
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.jpg", "c.MOV"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("in "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	const toIndoor = "\n" + `sendMessage {"receiver":"indoor","messageKey":"key"}`
	for _, c := range []struct {
		args  []string
		asked string
	}{
		{[]string{"indoor", "--file", at("a.txt")}, `createFileMessage {"filePath":"upload:a.txt","fileName":"a.txt"}` + toIndoor},
		{[]string{"indoor", "--image", at("b.jpg")}, `createImageMessage {"img":"upload:b.jpg"}` + toIndoor},
		{[]string{"indoor", "--sound", at("a.txt"), "--seconds", "3"}, `createSoundMessage {"soundPath":"upload:a.txt","soundDuration":3}` + toIndoor},
		{[]string{"--group", "house", "--video", at("c.MOV"), "--snapshot", at("b.jpg")},
			`createVideoMessage {"videoFilePath":"upload:c.MOV","type":"mov","snapshotPath":"upload:b.jpg"}` + "\n" + `sendMessage {"groupId":"house","messageKey":"key"}`},
		{[]string{"indoor", "--location", "52.52, -13.405", "the hedge"}, `createLocationMessage {"desc":"the hedge","latitude":52.52,"longitude":-13.405}` + toIndoor},
		{[]string{"indoor", "--online", "hello"}, `createTextMessage {"text":"hello"}` + "\n" + `sendMessage {"receiver":"indoor","messageKey":"key","onlineUserOnly":true}`},
	} {
		code, out, errs := d.herald("", append([]string{"send"}, c.args...)...)
		if asked := d.messages.was(); code != 0 || out != "m-1\n" || errs != "" || asked != c.asked {
			t.Errorf("%q: exit %d, %q %q, asked\n%s", c.args, code, out, errs, asked)
		}
	}
	var got []string
	for _, content := range d.messages.files {
		got = append(got, content)
	}
	slices.Sort(got)
	if want := "in a.txt, in b.jpg, in c.MOV"; strings.Join(got, ", ") != want {
		t.Errorf("the daemon got %q", got)
	}
}
