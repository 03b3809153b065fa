package web

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// limit is for a test that waits for what never comes; the tests themselves take
// seconds.
const limit = 2 * time.Minute

// tool finds a program or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is needed: scripts/deps test installs it", name)
	}
	return path
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, tool(t, name), args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

// The client's own tests, against a board that does as they say.
func TestClient(t *testing.T) {
	tests, err := filepath.Glob("test/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	run(t, "node", append([]string{"--test"}, tests...)...)
}

// Programs in TypeScript compile, and wrong ones do not.
func TestTypes(t *testing.T) {
	run(t, "tsc", "--noEmit", "--strict", "--target", "es2020", "--module", "commonjs", "--lib", "es2020,dom", "--typeRoots", "test", "test/types.ts")
}

// The npm package is made of what is here.
func TestPackage(t *testing.T) {
	b, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Files        []string
		Main, Module string
		Types        string
		Dependencies map[string]string
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	for _, f := range append(p.Files, p.Main, p.Module, p.Types) {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	if len(p.Dependencies) > 0 {
		t.Errorf("it depends on %v", p.Dependencies)
	}
	names := map[string]bool{}
	for _, f := range Files {
		names[f.Name] = true
		if len(f.Body) == 0 || f.ETag == "" || bytes.Contains(f.Body, []byte("from './")) {
			t.Errorf("%s is not a whole file", f.Name)
		}
	}
	for _, f := range p.Files {
		if filepath.Ext(f) != ".md" && !names[f] {
			t.Errorf("%s is in the package, and a board does not serve it", f)
		}
	}
}
