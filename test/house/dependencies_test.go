package house_test

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -count=1 -run ^TestDependencies$ . -update

var update = flag.Bool("update", false, "write docs/dependencies.txt instead of comparing")

const dependenciesHead = `# The modules that each program links (Linux on amd64, arm64 and arm). Versions are in go.mod.
# Written by make generate; a line that comes or goes is a decision, so read the difference in review.
`

// TestDependencies compares what the programs link with docs/dependencies.txt.
func TestDependencies(t *testing.T) {
	file := filepath.Join(root, "docs", "dependencies.txt")
	got := dependencies(t)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make generate writes it", err)
	}
	if got != string(want) {
		t.Errorf("docs/dependencies.txt is out of date: make generate, and look at the difference\n%s", difference(string(want), got))
	}
}

func dependencies(t *testing.T) string {
	var b strings.Builder
	b.WriteString(dependenciesHead)
	for _, program := range strings.Fields(string(goCommand(t, nil, "list", "-f", "{{if eq .Name \"main\"}}{{.ImportPath}}{{end}}", "./cmd/..."))) {
		var modules []string
		for _, arch := range []string{"amd64", "arm64", "arm"} {
			out := goCommand(t, []string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=1"},
				"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", program)
			modules = append(modules, strings.Fields(string(out))...)
		}
		slices.Sort(modules)
		fmt.Fprintf(&b, "\n%s\n", path.Base(program))
		for _, m := range slices.Compact(modules) {
			fmt.Fprintf(&b, "\t%s\n", m)
		}
	}
	return b.String()
}

// difference lists the lines of one text that the other lacks.
func difference(want, got string) string {
	var b strings.Builder
	had, has := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range had {
		if !slices.Contains(has, l) {
			fmt.Fprintf(&b, "-%s\n", l)
		}
	}
	for _, l := range has {
		if !slices.Contains(had, l) {
			fmt.Fprintf(&b, "+%s\n", l)
		}
	}
	return b.String()
}
