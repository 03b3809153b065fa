package house_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a file wants a second one beside it. Most stay under 500.
const maxLines = 600

// skipped are folders that hold nothing written by hand.
var skipped = []string{".git", "bin", "dist", "node_modules", "testdata"}

// unwanted are words that tie the text to one machine or one moment. The patterns are written so that they do not match
// themselves.
var unwanted = map[string]*regexp.Regexp{
	"a path of one machine":                regexp.MustCompile(`(^|[^\w.])/(home|Users|work)/[A-Za-z]|(^|[^\w.])/ro[o]t/`),
	"a host of one registry":               regexp.MustCompile(`proxy\.golang\.org|sum\.golang\.org|registry\.npmjs|goproxy\.[a-z]+`),
	"a note to oneself":                    regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`),
	"a number that only the tracker knows": regexp.MustCompile(`(?i)\bissue #?[0-9]+\b`),
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFileLength(t *testing.T) {
	for _, f := range texts(t) {
		if filepath.Ext(f.name) != ".go" || generated.Match(f.text) {
			continue
		}
		if n := bytes.Count(f.text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by noun", f.name, n, maxLines)
		}
	}
}

func TestWords(t *testing.T) {
	for _, f := range texts(t) {
		if filepath.Base(f.name) == "go.sum" {
			continue
		}
		for i, line := range strings.Split(string(f.text), "\n") {
			for what, pattern := range unwanted {
				if found := pattern.FindString(line); found != "" {
					t.Errorf("%s:%d: %s: %q", f.name, i+1, what, found)
				}
			}
		}
	}
}

// TestWordsAreSeen proves that the patterns match what they are for, and leave alone what looks like it.
func TestWordsAreSeen(t *testing.T) {
	bad := []string{"/ho" + "me/ann/herald", "cd /ro" + "ot/x", "see /wo" + "rk/main", "https://proxy.golang" + ".org", "// TO" + "DO: later", "fixes Issue" + " #12"}
	good := []string{"ProtectHome=yes", "https://example.org/home/page", "$XDG/work/", "the issue 'late'", "golang.org/issue/75804", "docs/work/"}
	seen := func(line string) bool {
		for _, pattern := range unwanted {
			if pattern.MatchString(line) {
				return true
			}
		}
		return false
	}
	for _, line := range bad {
		if !seen(line) {
			t.Errorf("not seen: %q", line)
		}
	}
	for _, line := range good {
		if seen(line) {
			t.Errorf("wrongly seen: %q", line)
		}
	}
}

// TestPackageComments: every package opens with a paragraph, in one of its files. Where all files are tests, one of those
// has it.
func TestPackageComments(t *testing.T) {
	type folder struct{ code, comment, testComment bool }
	folders := map[string]folder{}
	for _, f := range texts(t) {
		if filepath.Ext(f.name) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.name, f.text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		dir := filepath.Dir(f.name)
		state := folders[dir]
		if strings.HasSuffix(f.name, "_test.go") {
			state.testComment = state.testComment || documented(file)
		} else {
			state.code = true
			state.comment = state.comment || documented(file)
		}
		folders[dir] = state
	}
	for dir, state := range folders {
		if !state.comment && (state.code || !state.testComment) {
			t.Errorf("%s: no file has a comment above its package clause that says what lives here", dir)
		}
	}
}

// documented wants a sentence, not a word: eight words at least.
func documented(file *ast.File) bool {
	return file.Doc != nil && len(strings.Fields(file.Doc.Text())) >= 8
}

type text struct {
	name string // from the root
	text []byte
}

// texts gives the files of the tree that are text.
func texts(t *testing.T) []text {
	t.Helper()
	var all []text
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skipped, entry.Name()):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, text{name, b})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
