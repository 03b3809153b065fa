package configs

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sample is a program's sample file and what it is compared with.
type sample struct {
	file, source string
	target       func() any // a pointer to the zero struct
	defaults     any
	rules        []rule
}

func samples() []sample {
	return []sample{
		{"herald.toml", "agent.go", func() any { return new(Agent) }, DefaultAgent(), DefaultAgent().rules()},
		{"hub.toml", "hub.go", func() any { return new(Hub) }, DefaultHub(), DefaultHub().rules()},
	}
}

// The sample is read over nothing, so a key that it lacks shows as a zero.
func TestSampleIsDefault(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.file, func(t *testing.T) {
			data, err := os.ReadFile(s.file)
			if err != nil {
				t.Fatal(err)
			}
			target := s.target()
			lines, ps := parse(data, target)
			if ps != nil {
				t.Fatal(ps)
			}
			if got := reflect.ValueOf(target).Elem().Interface(); got != s.defaults {
				t.Errorf("the sample says\n%+v\nthe defaults are\n%+v", got, s.defaults)
			}
			for _, key := range schemaOf(target).names {
				if lines[key] == 0 {
					t.Errorf("the sample lacks %s", key)
				}
			}
			if ps := failed(s.rules); ps != nil {
				t.Errorf("the defaults are not valid: %v", ps)
			}
		})
	}
}

// Times and sizes stand in the samples as Herald itself would write them.
func TestSampleTextIsCanonical(t *testing.T) {
	for _, s := range samples() {
		data, err := os.ReadFile(s.file)
		if err != nil {
			t.Fatal(err)
		}
		root := reflect.ValueOf(s.defaults)
		for i := range root.NumField() {
			for j := range root.Field(i).NumField() {
				tag := root.Field(i).Type().Field(j).Tag.Get("toml")
				text, ok := root.Field(i).Field(j).Interface().(interface{ String() string })
				if ok && !strings.Contains(string(data), "\n"+tag+" = \""+text.String()+"\"\n") {
					t.Errorf("%s: %s is not written %q", s.file, tag, text.String())
				}
			}
		}
	}
}

var ranges = regexp.MustCompile(`^must be (\S+ to \S+)$`)

// A range stands in three places for three readers: the rule, the field's
// comment and the sample. They must say the same.
func TestRangesAreDocumented(t *testing.T) {
	unwrap := regexp.MustCompile(`\s*\n\s*(#|//) ?`)
	for _, s := range samples() {
		docs := fieldDocs(t, s.source)
		data, err := os.ReadFile(s.file)
		if err != nil {
			t.Fatal(err)
		}
		sections := map[string]string{}
		for part := range strings.SplitSeq(string(data), "\n[") {
			name, body, _ := strings.Cut(part, "]")
			sections[name] = unwrap.ReplaceAllString(body, " ")
		}
		found := 0
		for _, r := range s.rules {
			m := ranges.FindStringSubmatch(r.want)
			if m == nil {
				continue
			}
			found++
			section, leaf, _ := strings.Cut(r.key, ".")
			if !strings.Contains(sections[section], m[1]) {
				t.Errorf("%s does not tell the range of %s: %s", s.file, r.key, m[1])
			}
			if doc := strings.Join(strings.Fields(docs[section+"."+leaf]), " "); !strings.Contains(doc, m[1]) {
				t.Errorf("the comment of %s does not tell its range %s: %s", r.key, m[1], doc)
			}
		}
		if found < 10 {
			t.Errorf("%s: %d ranges found", s.file, found)
		}
	}
}

// fieldDocs are the comments of a file's structs, by the keys of the fields.
func fieldDocs(t *testing.T, source string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs := map[string]*ast.StructType{}
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if st, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = st
			}
		}
		return true
	})
	key := func(field *ast.Field) string {
		return reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("toml")
	}
	docs := map[string]string{}
	for _, root := range []string{"Agent", "Hub"} {
		if structs[root] == nil {
			continue
		}
		for _, section := range structs[root].Fields.List {
			st := structs[section.Type.(*ast.Ident).Name]
			if st == nil { // Log is in the other file
				continue
			}
			for _, field := range st.Fields.List {
				docs[key(section)+"."+key(field)] = field.Doc.Text()
			}
		}
	}
	return docs
}

// Every key has a rule, or is a switch that cannot be wrong.
func TestEveryKeyIsChecked(t *testing.T) {
	for _, s := range samples() {
		sc := schemaOf(s.target())
		for _, r := range s.rules {
			if sc.keys[r.key] == nil {
				t.Errorf("%s: a rule is for %s, which is no key", s.file, r.key)
			}
		}
		for _, key := range sc.names {
			if sc.keys[key].Kind() != reflect.Bool && !slices.ContainsFunc(s.rules, func(r rule) bool { return r.key == key }) {
				t.Errorf("%s: %s has no rule", s.file, key)
			}
		}
	}
}

func write(t testing.TB, data string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.toml")
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoadOverDefaults(t *testing.T) {
	a, err := LoadAgent(write(t, "\xef\xbb\xbf[hub]\r\nurl = \"mqtts://hub.example\"\r\n\r\n[outbox]\r\nmax_bytes = \"1GiB\"\r\n"))
	want := DefaultAgent()
	want.Hub.URL, want.Outbox.MaxBytes = "mqtts://hub.example", GiB
	if err != nil || a != want {
		t.Errorf("LoadAgent = %+v, %v", a, err)
	}
	h, err := LoadHub(write(t, "accounts.create_on_login = false\naccounts.sig_max_expire = '180d'\nmqtt = {plain = true, listen = \":1883\"}\n"))
	wantHub := DefaultHub()
	wantHub.Accounts.CreateOnLogin, wantHub.Accounts.SigMaxExpire = false, Duration(180*day)
	wantHub.MQTT.Plain, wantHub.MQTT.Listen = true, ":1883"
	if err != nil || h != wantHub {
		t.Errorf("LoadHub = %+v, %v", h, err)
	}
	if a, err = LoadAgent(write(t, "")); err != nil || a != DefaultAgent() {
		t.Errorf("an empty file: %+v, %v", a, err)
	}
}

func TestMissingFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "herald.toml")
	for _, path := range []string{"", missing} { // not told a file, or told the standard one
		a := DefaultAgent()
		if err := load(path, missing, &a, func() []rule { return a.rules() }); err != nil || a != DefaultAgent() {
			t.Errorf("load(%q) = %+v, %v", path, a, err)
		}
	}
	_, err := LoadAgent(missing)
	wantProblem(t, err, Problem{File: missing}, "no such file")
	_, err = LoadHub(missing)
	wantProblem(t, err, Problem{File: missing}, "no such file")
}

// A file at the standard place is read, and its errors count.
func TestStandardFile(t *testing.T) {
	file := write(t, "[log]\nlevel = \"debug\"\n")
	a := DefaultAgent()
	if err := load("", file, &a, func() []rule { return a.rules() }); err != nil || a.Log.Level != "debug" {
		t.Errorf("load = %+v, %v", a.Log, err)
	}
	file = write(t, "[log]\nlevel = \"loud\"\n")
	err := load("", file, &a, func() []rule { return a.rules() })
	wantProblem(t, err, Problem{File: file, Line: 2, Key: "log.level"}, "debug, info, warn or error")
}

// wantProblem looks for where a problem is and what it says.
func wantProblem(t *testing.T, err error, where Problem, says ...string) {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("error = %v, want Problems", err)
	}
	for _, p := range ps {
		if (where.File == "" || p.File == where.File) && p.Line == where.Line && p.Key == where.Key {
			for _, text := range says {
				if !strings.Contains(p.Text, text) {
					t.Errorf("%s\ndoes not say %q", p, text)
				}
			}
			return
		}
	}
	t.Errorf("no problem at line %d with %q in:\n%v", where.Line, where.Key, err)
}

func TestUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	big := write(t, strings.Repeat("# nothing\n", 1<<20))
	justOver := write(t, "#"+strings.Repeat("x", maxFile))
	for file, says := range map[string]string{
		dir:                             "is a directory",
		big:                             "more than 1MiB",
		justOver:                        "more than 1MiB",
		filepath.Join(big, "x"):         "not a directory",
		"/dev/zero":                     "not a regular file",
		"/proc/self/mem":                "input/output error", // regular, and unreadable even for root
		filepath.Join(dir, "\x00"):      "invalid argument",
		filepath.Join(dir, "no", "dir"): "no such file",
	} {
		for _, load := range loaders() {
			err := load(file)
			wantProblem(t, err, Problem{File: file}, says)
			if text := err.Error(); strings.Count(text, file) != 1 {
				t.Errorf("the file is not named just once: %s", text)
			}
		}
	}
	if os.Geteuid() != 0 {
		file := write(t, "")
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		_, err := LoadAgent(file)
		wantProblem(t, err, Problem{File: file}, "permission denied")
	}
	if _, err := LoadAgent(write(t, "#"+strings.Repeat("x", maxFile-1))); err != nil {
		t.Errorf("a file of just the most: %v", err)
	}
}

func loaders() []func(string) error {
	return []func(string) error{
		func(path string) error { _, err := LoadAgent(path); return err },
		func(path string) error { _, err := LoadHub(path); return err },
	}
}
