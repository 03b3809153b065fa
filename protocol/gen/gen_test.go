package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func page(t *testing.T) (string, comments) {
	docs, err := readComments("..")
	if err != nil {
		t.Fatal(err)
	}
	tested, err := testedBy("..")
	if err != nil {
		t.Fatal(err)
	}
	b, err := methodsPage(docs, tested)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), docs
}

// What the page calls required is refused where it is missing, and what it
// calls optional is not.
func TestRequiredIsRequired(t *testing.T) {
	_, docs := page(t)
	for _, i := range programMethods() {
		switch i.Name {
		case protocol.GetSignalingInfo.Info().Name, protocol.SendMessage.Info().Name, protocol.RevokeMessage.Info().Name,
			protocol.DeleteMessage.Info().Name, protocol.DeleteMessages.Info().Name, protocol.InviteUserToGroup.Info().Name, protocol.KickGroupMember.Info().Name:
			continue // fields stand for each other
		}
		s, err := methodSampleOf(i)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := docs.fieldsOf(i.Request)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			if strings.Contains(f.Name, ".") {
				continue // of an object that is missing as a whole
			}
			var request map[string]json.RawMessage
			if err := json.Unmarshal([]byte(s.request), &request); err != nil {
				t.Fatal(err)
			}
			if _, ok := request[f.Name]; !ok {
				t.Errorf("%s: the sample is without %s", i.Name, f.Name)
			}
			delete(request, f.Name)
			b, err := json.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			_, err = i.RequestToCBOR(b)
			if (err == nil) != f.Optional {
				t.Errorf("%s: %s is called optional: %v, and without it: %v", i.Name, f.Name, f.Optional, err)
			}
			if err != nil && !strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s: the error does not name %s: %v", i.Name, f.Name, err)
			}
		}
	}
}

// Tables have as many cells in each line as in their head, no cell of meaning
// is empty, and links lead to headings.
func TestPageIsWellMade(t *testing.T) {
	text, _ := page(t)
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		if a := strings.ReplaceAll(anchor(m[1]), " ", "-"); headings[a] {
			t.Errorf("two headings have the anchor %s", a)
		} else {
			headings[a] = true
		}
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !headings[m[1]] {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	cells, code := 0, false
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		if code || !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if cells != 0 && n != cells || strings.HasSuffix(line, "|  |") {
			t.Errorf("a table's line: %s", line)
		}
		cells = n
	}
	for _, i := range programMethods() {
		if strings.Count(text, "\n### "+i.Name+"\n") != 1 {
			t.Errorf("%s has not one section", i.Name)
		}
	}
	for _, e := range protocol.Events() {
		if strings.Count(text, "\n### "+e.Name+"\n") != 1 {
			t.Errorf("%s has not one section", e.Name)
		}
	}
	for _, r := range protocol.Codes() {
		if !strings.Contains(text, "| "+r.Name+" |") {
			t.Errorf("%s is not there", r.Name)
		}
	}
}

func TestOutputIsTheSameTwice(t *testing.T) {
	a, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	b, err := generate("..")
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("the second run differs, %v", err)
	}
}

// A run writes everything, removes vectors of what is gone, and nothing else.
func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "protocol")
	if err := os.CopyFS(dir, os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{sourcesDir, conformanceDir} {
		if err := os.CopyFS(filepath.Join(dir, more), os.DirFS(filepath.Join("..", more))); err != nil {
			t.Fatal(err)
		}
	}
	gone := filepath.Join(dir, "testdata", "methods", "im.gone.json")
	kept := filepath.Join(dir, "testdata", "fuzz", "kept.json")
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{gone, kept} {
		if err := os.WriteFile(f, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lost := filepath.Join(dir, "testdata", "frames", "bye.json")
	if err := os.Remove(lost); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	for f, there := range map[string]bool{gone: false, kept: true, lost: true, filepath.Join(dir, "../docs/methods.md"): true, filepath.Join(dir, "../web/herald.mjs"): true} {
		if _, err := os.Stat(f); (err == nil) != there {
			t.Errorf("%s: %v", f, err)
		}
	}
}

type undocumented struct {
	A string `json:"a"`
}

func TestFieldsMustBeDescribed(t *testing.T) {
	for _, c := range []struct {
		t    any
		docs comments
	}{
		{undocumented{}, comments{}},
		{struct{ B string }{}, comments{"": {"B": "there"}}},
		{struct {
			C map[string]int `json:"c"`
		}{}, comments{"": {"C": "there"}}},
	} {
		if f, err := c.docs.fieldsOf(reflect.TypeOf(c.t)); err == nil {
			t.Errorf("%T: %+v", c.t, f)
		}
	}
}

// What is shown for a shell is one word of it.
func TestShellQuote(t *testing.T) {
	for _, s := range []string{"{}", `{"a":"it's $HOME \n !"}`, "''", ""} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || !bytes.Equal(out, []byte(s)) {
			t.Errorf("%q became %q, %v", s, out, err)
		}
	}
}
