// Package house_test holds the rules of the house: which room may know which other, what each program links, how long a
// file may grow, that every package says what lives in it. The rules are tables at the top of each file; a new room gets
// a row there, and changing a row is a decision about the architecture (docs/architecture.md).
package house_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/herald-im/herald"
	root   = "../.."
)

// mayImport says for each room which other rooms its code may import. A room is a folder of the root with all below it,
// except that under cmd each program is a room. Whatever is not listed is forbidden, also by way of a third room.
var mayImport = map[string][]string{
	"protocol":       {},
	"configs":        {},
	"logging":        {},
	"web":            {},
	"device":         {"protocol", "configs"},
	"media":          {"protocol", "configs"},
	"agent":          {"protocol", "configs", "logging", "systemd", "device", "media", "web"},
	"hub":            {"protocol", "configs", "logging", "systemd"},
	"cmd/herald":     {"protocol", "configs", "logging", "systemd", "agent", "device", "media", "web"},
	"cmd/herald-hub": {"protocol", "configs", "logging", "systemd", "hub"},
	"systemd":        {},
}

// testsMayImport says what the tests inside a room may import beyond that: tests meet real peers on loopback.
var testsMayImport = map[string][]string{
	"device": {"hub"},
	"agent":  {"hub"},
}

// test is the one room that may import everything; nothing imports it.
const testRoom = "test"

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath   string
	Name         string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

func (p goPackage) room() string { return roomOf(p.ImportPath) }

// roomOf gives the room of an import path, "" for one outside the module.
func roomOf(path string) string {
	rest, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	parts := strings.Split(rest, "/")
	if parts[0] == "cmd" && len(parts) > 1 {
		return "cmd/" + parts[1]
	}
	return parts[0]
}

func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		room := p.room()
		allowed, known := mayImport[room]
		if room == testRoom {
			continue
		}
		if !known {
			t.Errorf("%s is in a room without a row in mayImport", p.ImportPath)
			continue
		}
		// Deps holds all that is imported, directly or by way of others.
		for _, other := range rooms(p.Deps) {
			if other != room && !slices.Contains(allowed, other) {
				t.Errorf("%s imports room %s%s", p.ImportPath, other, by(p, other))
			}
		}
		for _, other := range rooms(slices.Concat(p.TestImports, p.XTestImports)) {
			if other != room && !slices.Contains(allowed, other) && !slices.Contains(testsMayImport[room], other) {
				t.Errorf("a test of %s imports room %s", p.ImportPath, other)
			}
		}
	}
}

// TestOnlyProgramsRunRooms: agent and hub are started by their program alone, so no other main may import them.
func TestOnlyProgramsRunRooms(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name != "main" || p.room() == testRoom || strings.HasPrefix(p.room(), "cmd/") {
			continue
		}
		for _, other := range rooms(p.Deps) {
			if other == "agent" || other == "hub" {
				t.Errorf("%s is a main outside cmd and imports room %s", p.ImportPath, other)
			}
		}
	}
}

// TestTableHasNoCycle: the compiler refuses cycles of packages; this refuses them between rooms.
func TestTableHasNoCycle(t *testing.T) {
	const (
		entered = 1
		done    = 2
	)
	state := map[string]int{}
	var visit func(room string, path []string)
	visit = func(room string, path []string) {
		path = append(path, room)
		switch state[room] {
		case entered:
			t.Errorf("rooms in a cycle: %s", strings.Join(path, " → "))
			return
		case done:
			return
		}
		state[room] = entered
		for _, other := range mayImport[room] {
			if _, known := mayImport[other]; !known {
				t.Errorf("row %s names %s, which has no row", room, other)
			}
			visit(other, path)
		}
		state[room] = done
	}
	for room := range mayImport {
		visit(room, nil)
	}
}

// rooms gives the rooms of these import paths, each once, sorted.
func rooms(paths []string) []string {
	var all []string
	for _, path := range paths {
		if room := roomOf(path); room != "" {
			all = append(all, room)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// by names the import through which a package reaches a room it does not import itself.
func by(p goPackage, room string) string {
	if slices.Contains(rooms(p.Imports), room) {
		return ""
	}
	return " by way of another package (go list -deps " + p.ImportPath + ")"
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out := goCommand(t, nil, "list", "-json=ImportPath,Name,Imports,Deps,TestImports,XTestImports", "./...")
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("what go list wrote: %v", err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("go list found no packages")
	}
	return all
}

// goCommand runs the go command at the root of the module and gives its standard output.
func goCommand(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}
