package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func client(t *testing.T) (files map[string][]byte, types string) {
	t.Helper()
	docs, err := readComments("..")
	if err != nil {
		t.Fatal(err)
	}
	if files, err = scripts(".."); err != nil {
		t.Fatal(err)
	}
	b, err := typesFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return files, string(b)
}

// Each method is in both builds and in the types, with its parameters' other names,
// and each event has a type; what programs cannot call is nowhere.
func TestClientHasAll(t *testing.T) {
	files, types := client(t)
	for _, i := range protocol.Methods() {
		name := strings.TrimPrefix(i.Name, i.Module()+".")
		inner := i.Route == protocol.Inner
		for _, f := range []string{"../web/herald.js", "../web/herald.mjs"} {
			if bytes.Contains(files[f], []byte(`"`+name+`"`)) == inner {
				t.Errorf("%s: %s, and it is of route %v", f, i.Name, i.Route)
			}
		}
		if strings.Contains(types, "\n  "+name+"(params") == inner {
			t.Errorf("herald.d.ts: %s, and it is of route %v", i.Name, i.Route)
		}
		for _, a := range i.Aliases {
			if !strings.Contains(types, fmt.Sprintf("%s: %s['%s']", a.Also, i.Request.Name(), a.Field)) {
				t.Errorf("herald.d.ts: %s without %s", i.Name, a.Also)
			}
		}
	}
	for _, e := range protocol.Events() {
		if strings.Count(types, "export interface "+eventType(e)+" ") != 1 {
			t.Errorf("herald.d.ts has not one type for %s", e.Name)
		}
		for _, c := range e.Listen {
			of := regexp.MustCompile(`(?s)type ` + pascal(c) + `Event =[^;]*\| ` + eventType(e) + `\b`)
			if !of.MatchString(types) {
				t.Errorf("herald.d.ts: %s is not of %s", e.Name, c)
			}
		}
	}
	if n := len(regexp.MustCompile(`(?m)^export (interface|class|type) (\w+)`).FindAllString(types, -1)); n < 80 {
		t.Errorf("herald.d.ts has %d types", n)
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^export (?:interface|class|type|const) (\w+)`).FindAllStringSubmatch(types, -1) {
		if m[1] != "Im" && seen[m[1]] { // Im is an interface and a value
			t.Errorf("herald.d.ts has two of %s", m[1])
		}
		seen[m[1]] = true
	}
}

// The types know the same exceptions as the client.
func TestExceptionsAreTheClients(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", sourcesDir, "main.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"oneArgument": oneArgument, "eventsOnly": eventsOnly} {
		m := regexp.MustCompile(`const ` + name + ` = new Set\(\[(.*)\]\);`).FindSubmatch(b)
		if m == nil || strings.ReplaceAll(string(m[1]), "'", "") != strings.Join(want, ", ") {
			t.Errorf("%s: %q in the client, %q here", name, m, want)
		}
	}
}

// A listener's category is in its method's name.
func TestListenerOf(t *testing.T) {
	for method, want := range map[string]string{"setSDKListener": "sdk", "removeAdvancedMsgListener": "advanced", "setMicMute": "", "getStatus": ""} {
		if got, err := listenerOf(method); got != want || err != nil {
			t.Errorf("%s: %q, %v", method, got, err)
		}
	}
	if c, err := listenerOf("setNobodyListener"); err == nil {
		t.Errorf("setNobodyListener: %q", c)
	}
}

// The sources are joined without what makes them modules.
func TestInner(t *testing.T) {
	got := string(inner([]byte("import { a } from './a.mjs';\nimport x from 'node:x';\nexport const b = 1;\nexport async function c() {}\n")))
	if got != "import x from 'node:x';\nconst b = 1;\nasync function c() {}\n" {
		t.Errorf("%q", got)
	}
	entries, err := os.ReadDir(filepath.Join("..", sourcesDir))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(sources) + 2; len(entries) != n { // registry.mjs and pageSource
		t.Errorf("%d sources are joined, and there are %d", n, len(entries))
	}
}
