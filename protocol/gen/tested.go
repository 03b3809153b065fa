package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// conformanceDir has the cases of conformance, from the protocol directory.
const conformanceDir = "../web/conformance"

var (
	caseTitle    = regexp.MustCompile(`^  \['([^']+)', async`)
	familyStart  = regexp.MustCompile(`^(?:export const (\w+)|const cases) = \[`)
	methodNamed  = regexp.MustCompile(`'(im|calling|device)\.(\w+)'`)
	listenersRow = regexp.MustCompile(`^  \['(im|calling|device)', '(set\w+Listener)'`)
)

// common is for what a family's cases do by way of functions of theirs.
const common = "what its cases have in common"

// The cases of listeners name their methods in a list of their own.
const (
	setCase    = "sdk: every listener is told that it stands"
	removeCase = "sdkEnd: a listener that is removed is told nothing"
)

// testedBy lists for each method the cases of conformance in which it is named, and
// fails for one that is named in none.
func testedBy(dir string) (map[string][]string, error) {
	out := make(map[string][]string)
	add := func(method, title string) {
		if list := out[method]; len(list) == 0 || list[len(list)-1] != title {
			out[method] = append(out[method], title)
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(conformanceDir), "*.mjs"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		file := strings.TrimSuffix(filepath.Base(path), ".mjs")
		if file == "sample" { // it prepares the document's, and checks nothing by itself
			continue
		}
		family, title := file, common
		for line := range bytes.Lines(b) {
			if m := listenersRow.FindSubmatch(line); m != nil {
				method := string(m[1]) + "." + string(m[2])
				add(method, setCase)
				add(strings.Replace(method, ".set", ".remove", 1), removeCase)
			}
			if m := familyStart.FindSubmatch(line); m != nil {
				family, title = cmp.Or(string(m[1]), file), common
			}
			if m := caseTitle.FindSubmatch(line); m != nil {
				title = string(m[1])
			}
			for _, m := range methodNamed.FindAllSubmatch(line, -1) {
				add(string(m[1])+"."+string(m[2]), family+": "+title)
			}
		}
	}
	for _, i := range programMethods() {
		if len(out[i.Name]) == 0 {
			return nil, fmt.Errorf("%s is named in no case of %s", i.Name, conformanceDir)
		}
	}
	return out, nil
}

// maxCases is how many cases a method's section lists.
const maxCases = 4

// testedLine says what tests a method.
func testedLine(cases []string) string {
	more := ""
	if len(cases) > maxCases {
		cases, more = cases[:maxCases], fmt.Sprintf(", and %d more", len(cases)-maxCases)
	}
	return "Tested in Node and Chromium (`web/conformance`) by “" + strings.Join(cases, "”, “") + "”" + more + "."
}
