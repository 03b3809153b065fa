// Command gen writes what is derived from the registry of package protocol:
// docs/methods.md, the reference for those who write programs,
// protocol/testdata, the vectors that every language's tests can read, and of the
// JavaScript client in web the list of methods, the two builds and the types.
//
// It is run by go generate in the protocol directory. Its output depends on
// the sources alone. What a method means is not here: that is said in the
// registry and in the comments of its types; samples.go adds the examples.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	dir := flag.String("protocol", ".", "the directory of package protocol")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes every derived file and removes vectors that nothing declares any more.
func run(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(dir, vectorsDir, "*", "*.json"))
	if err != nil {
		return err
	}
	for _, f := range stale {
		rel, err := filepath.Rel(dir, f)
		if err != nil {
			return err
		}
		if _, ok := files[filepath.ToSlash(rel)]; !ok && derivedVector(filepath.ToSlash(rel)) {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	for name, b := range files {
		if err := write(filepath.Join(dir, filepath.FromSlash(name)), b); err != nil {
			return err
		}
	}
	return nil
}

// derivedVector tells whether a file is of a directory that gen owns. The
// inputs that a fuzzer kept are not.
func derivedVector(name string) bool {
	for _, kind := range []string{methodVectors, eventVectors, frameVectors} {
		if strings.HasPrefix(name, vectorsDir+"/"+kind+"/") {
			return true
		}
	}
	return false
}

// write leaves a file alone that is as it should be.
func write(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// generate makes every derived file, by its path from the protocol directory.
func generate(dir string) (map[string][]byte, error) {
	docs, err := readComments(dir)
	if err != nil {
		return nil, err
	}
	files, err := vectors()
	if err != nil {
		return nil, err
	}
	tested, err := testedBy(dir)
	if err != nil {
		return nil, err
	}
	page, err := methodsPage(docs, tested)
	if err != nil {
		return nil, err
	}
	files["../docs/methods.md"] = page
	client, err := scripts(dir)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, client)
	if files["../web/herald.d.ts"], err = typesFile(docs); err != nil {
		return nil, err
	}
	return files, nil
}
