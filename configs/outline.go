package configs

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// schema is which keys a file may have: "hub.url" and the Go type of its value.
type schema struct {
	sections map[string]bool
	keys     map[string]reflect.Type
	names    []string // of keys, in the order of the structs
}

// schemaOf reads it off the toml tags of a pointer to Agent or Hub.
func schemaOf(target any) schema {
	s := schema{sections: map[string]bool{}, keys: map[string]reflect.Type{}}
	root := reflect.TypeOf(target).Elem()
	for section := range root.Fields() {
		name := section.Tag.Get("toml")
		s.sections[name] = true
		for field := range section.Type.Fields() {
			key := name + "." + field.Tag.Get("toml")
			s.keys[key] = field.Type
			s.names = append(s.names, key)
		}
	}
	return s
}

// outliner walks a file's expressions before its values are decoded. The
// decoder knows no line for a second table of one name, takes keys in any case
// and a bare 10 for ten nanoseconds, and forgets where a value stood once it is
// set; all of that is settled here.
type outliner struct {
	schema   schema
	data     []byte
	lines    map[string]int // of keys that are set
	sections map[string]int // line where each was opened
	ps       Problems

	offset, line int // how far lines have been counted
}

// outline returns the line of each key that is set, or what is wrong.
func outline(data []byte, s schema) (map[string]int, Problems) {
	o := outliner{schema: s, data: data, lines: map[string]int{}, sections: map[string]int{}, line: 1}
	var p unstable.Parser
	p.Reset(data)
	prefix, skip := []string(nil), false
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			prefix = keyOf(e)
			skip = !o.openSection(prefix, o.lineOf(e.Child()), e.Kind == unstable.ArrayTable)
		case unstable.KeyValue:
			if !skip {
				o.keyValue(&p, prefix, e)
			}
		}
	}
	var bad *unstable.ParserError
	if errors.As(p.Error(), &bad) {
		o.syntax(prefix, int(p.Range(bad.Highlight).Offset), bad.Message)
	} else if p.Error() != nil {
		o.ps = append(o.ps, Problem{Text: p.Error().Error()})
	}
	return o.lines, o.ps
}

func keyOf(e *unstable.Node) []string {
	var parts []string
	for it := e.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
	}
	return parts
}

// lineOf is the line of a node, which must not lie before the last one asked
// for: counting on from there keeps the whole walk linear.
func (o *outliner) lineOf(n *unstable.Node) int {
	at := min(int(n.Raw.Offset), len(o.data))
	if at > o.offset {
		o.line += bytes.Count(o.data[o.offset:at], []byte("\n"))
		o.offset = at
	}
	return o.line
}

func (o *outliner) problem(line int, key, format string, args ...any) {
	o.ps = append(o.ps, Problem{Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// openSection handles a [header]; it is false when what is below it had better
// not be looked at.
func (o *outliner) openSection(name []string, line int, array bool) bool {
	key := join(name)
	switch {
	case len(name) != 1 || !o.schema.sections[name[0]]:
		o.problem(line, key, "there is no such section%s", o.suggest(key, o.sectionNames()))
		return false
	case array:
		o.problem(line, key, "is one section, not a list of them: write [%s]", key)
		return false
	case o.sections[key] != 0:
		o.problem(line, key, "the section is there a second time (first in line %d): put its keys together", o.sections[key])
		return false
	}
	o.sections[key] = line
	return true
}

// keyValue handles one key = value below prefix.
func (o *outliner) keyValue(p *unstable.Parser, prefix []string, e *unstable.Node) {
	name := slices.Concat(prefix, keyOf(e))
	value := e.Value()
	it := e.Key()
	it.Next()
	line := o.lineOf(it.Node())
	if len(name) == 1 && o.schema.sections[name[0]] {
		o.inlineSection(p, name, line, value)
		return
	}
	key := join(name)
	want, known := o.schema.keys[key]
	switch {
	case !known || len(name) != 2:
		o.problem(line, key, "there is no such key%s", o.suggest(key, o.schema.names))
		return
	case o.lines[key] != 0:
		o.problem(line, key, "is set a second time (first in line %d)", o.lines[key])
		return
	}
	o.lines[key] = line
	if len(prefix) == 0 && o.sections[name[0]] == 0 {
		o.sections[name[0]] = line // hub.url = … opens [hub] too
	}
	if wrong := mismatch(want, value, p); wrong != "" {
		o.problem(line, key, "%s", wrong)
	}
}

// syntax reports what is not TOML at an offset, with the key that is set on that
// line if it is one: forgotten quotes are the usual mistake.
func (o *outliner) syntax(prefix []string, at int, message string) {
	start := bytes.LastIndexByte(o.data[:at], '\n') + 1
	line := 1 + bytes.Count(o.data[:start], []byte("\n"))
	leaf, _, _ := strings.Cut(string(o.data[start:at]), "=")
	key := strings.TrimPrefix(join(prefix)+"."+strings.TrimSpace(leaf), ".")
	if want := o.schema.keys[key]; want != nil {
		_, form := kindOf(want)
		o.problem(line, key, "%s; what is there is not TOML: %s", form, message)
		return
	}
	o.problem(line, "", "not TOML (key = value, or [section]): %s", message)
}

// inlineSection handles hub = {url = "…"}.
func (o *outliner) inlineSection(p *unstable.Parser, name []string, line int, value *unstable.Node) {
	if value.Kind != unstable.InlineTable {
		o.problem(line, name[0], "is a section: write [%s] and its keys below it", name[0])
		return
	}
	if !o.openSection(name, line, false) {
		return
	}
	for it := value.Children(); it.Next(); {
		o.keyValue(p, name, it.Node())
	}
}

// kindOf is how a value of a Go type is written, for TOML and in words.
func kindOf(want reflect.Type) (kind unstable.Kind, form string) {
	switch {
	case want == reflect.TypeFor[Duration]():
		return unstable.String, `must be a time span in quotes, such as "20s" or "10m"`
	case want == reflect.TypeFor[Size]():
		return unstable.String, `must be a size in quotes, such as "64MiB"`
	case want.Kind() == reflect.Bool:
		return unstable.Bool, "must be true or false, without quotes"
	case want.Kind() == reflect.Int:
		return unstable.Integer, "must be a whole number, without quotes"
	}
	return unstable.String, "must be text in quotes"
}

// mismatch says what is wrong with the kind of a value; "" for nothing.
func mismatch(want reflect.Type, value *unstable.Node, p *unstable.Parser) string {
	kind, form := kindOf(want)
	switch value.Kind {
	case kind:
		return ""
	case unstable.String:
		return quote(string(value.Data)) + " " + form
	case unstable.Array:
		return "a list " + form
	case unstable.InlineTable:
		return "a table " + form
	}
	return strings.Trim(quote(string(p.Raw(value.Raw))), `"`) + " " + form
}

func (o *outliner) sectionNames() []string {
	var names []string
	for _, key := range o.schema.names {
		section, _, _ := strings.Cut(key, ".")
		if !slices.Contains(names, section) {
			names = append(names, section)
		}
	}
	return names
}

// suggest is ", did you mean …?" where one of the names is close: the same key
// in another section or case, or within two slips of the keyboard.
func (o *outliner) suggest(key string, names []string) string {
	if len(key) > 64 || len(o.ps) >= maxShown {
		return ""
	}
	key = strings.ToLower(key)
	best, slips := "", min(2, len(key)/3)+1
	for _, name := range names {
		if d := distance(key, name); d < slips {
			best, slips = name, d
		}
	}
	if best == "" {
		leaf := key[strings.LastIndexByte(key, '.')+1:]
		if i := slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, "."+leaf) }); i >= 0 {
			best = names[i]
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// join writes a key as the file would, cut where it is too long to show.
func join(name []string) string {
	parts := make([]string, 0, len(name))
	for _, part := range name {
		if !spelled(part, 1<<10, "AZaz09_-") {
			part = strconv.QuoteToASCII(part)
		}
		parts = append(parts, part)
	}
	key := strings.Join(parts, ".")
	if len(key) > 80 {
		key = key[:80] + "…"
	}
	return key
}
