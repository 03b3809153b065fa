package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// cddl is herald.cddl, read as far as that file goes: maps of integer keys with
// one pair a line, lists, choices, ranges, texts with a size or a pattern.
type cddl struct {
	maps  map[string]map[uint64]cddlPair
	types map[string]string
}

type cddlPair struct {
	optional bool
	typ      string
	name     string // the first word of the comment: Go's name
}

var (
	cddlOpens = regexp.MustCompile(`^([a-z][a-z0-9-]*) = [{(]$`)
	cddlLine  = regexp.MustCompile(`^  (\? )?(\d+): ([^;]*?)(?: //)? *; (\w+)(?::? .*)?$`)
	cddlRule  = regexp.MustCompile(`^([a-z][a-z0-9-]*) = ([^;]*?) *(;.*)?$`)
)

func readCDDL(t *testing.T) cddl {
	file, err := os.Open("herald.cddl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := cddl{map[string]map[uint64]cddlPair{}, map[string]string{}}
	var open map[uint64]cddlPair
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " ")
		switch {
		case line == "" || line[0] == ';':
		case line == "}" || line == ")":
			open = nil
		case open == nil && cddlOpens.MatchString(line):
			open = map[uint64]cddlPair{}
			c.maps[cddlOpens.FindStringSubmatch(line)[1]] = open
		case open == nil && cddlRule.MatchString(line):
			m := cddlRule.FindStringSubmatch(line)
			c.types[m[1]] = m[2]
		case open != nil && cddlLine.MatchString(line):
			m := cddlLine.FindStringSubmatch(line)
			key, err := strconv.ParseUint(m[2], 10, 64)
			if _, twice := open[key]; err != nil || twice {
				t.Fatalf("%s: key twice", line)
			}
			open[key] = cddlPair{m[1] != "", m[3], m[4]}
		case open != nil && (line == "  kind" || line == "  * int => any"):
		default:
			t.Fatalf("a line that this test does not read: %s", line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	// The group of kinds is a part of the frame, each of them a choice.
	for key, p := range c.maps["kind"] {
		p.optional = true
		c.maps["frame"][key] = p
	}
	delete(c.maps, "kind")
	return c
}

// ruleName is the name that a Go struct has in the file.
func ruleName(t reflect.Type) string {
	var b strings.Builder
	for i, r := range t.Name() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

// Every key of every struct of the wire is in the file with its name, its type
// and its presence, and the file has no other.
func TestCDDLHasTheKeysOfTheStructs(t *testing.T) {
	c := readCDDL(t)
	seen := map[string]bool{}
	var compare func(reflect.Type)
	compare = func(st reflect.Type) {
		rule := ruleName(st)
		if seen[rule] {
			return
		}
		seen[rule] = true
		pairs := c.maps[rule]
		if pairs == nil {
			t.Errorf("%v: there is no rule %s", st, rule)
			return
		}
		keys := map[uint64]bool{}
		for i := range st.NumField() {
			f := st.Field(i)
			tag := strings.Split(f.Tag.Get("cbor"), ",")
			key, err := strconv.ParseUint(tag[0], 10, 64)
			if err != nil || !slices.Contains(tag, "keyasint") {
				t.Fatalf("%v.%s: the tag %q", st, f.Name, f.Tag)
			}
			keys[key] = true
			p, ok := pairs[key]
			if !ok {
				t.Errorf("%s: no key %d, which is %s", rule, key, f.Name)
				continue
			}
			if p.name != f.Name || p.optional != slices.Contains(tag, "omitempty") {
				t.Errorf("%s: key %d is %s (optional %v), and in Go %s (%v)", rule, key, p.name, p.optional, f.Name, tag)
			}
			if err := c.fits(p.typ, f.Type, compare); err != nil {
				t.Errorf("%s.%s: %v", rule, p.name, err)
			}
		}
		for key, p := range pairs {
			if !keys[key] {
				t.Errorf("%s: %s has no key %d (%s)", rule, st, key, p.name)
			}
		}
	}
	compare(reflect.TypeFor[Frame]())
	compare(reflect.TypeFor[Message]())
	compare(reflect.TypeFor[Tip]())
	compare(reflect.TypeFor[Signaling]())
	compare(reflect.TypeFor[Peering]())
	compare(reflect.TypeFor[Mark]())
	compare(reflect.TypeFor[Revoke]())
	compare(reflect.TypeFor[HubEvent]())
	for rule := range c.maps {
		if !seen[rule] {
			t.Errorf("%s is the rule of no struct of the wire", rule)
		}
	}
}

// fits tells whether the type of a rule can hold what the Go type holds, and no
// number that it cannot. Structs are given to compare.
func (c cddl) fits(typ string, g reflect.Type, compare func(reflect.Type)) error {
	if g.Kind() == reflect.Pointer {
		return c.fits(typ, g.Elem(), compare)
	}
	if low, high, ok := c.bounds(typ); ok {
		if !g.ConvertibleTo(reflect.TypeFor[float64]()) {
			return fmt.Errorf("%s is a number, %v is none", typ, g)
		}
		one := big.NewInt(1)
		least, most := new(big.Int), new(big.Int).Lsh(one, uint(g.Bits()))
		most.Sub(most, one)
		if g.Kind() == reflect.Int32 || g.Kind() == reflect.Int64 {
			most.Rsh(most, 1)
			least.Not(most)
		}
		// Numbering from 1 and times from 1970 on are narrower than Go's types.
		if high.Cmp(most) != 0 || low.Cmp(least) != 0 && low.Cmp(one) > 0 || low.Cmp(least) < 0 {
			return fmt.Errorf("%s is %v to %v, %v is %v to %v", typ, low, high, g, least, most)
		}
		return nil
	}
	switch {
	case g.Name() == "RawMessage":
		return c.bodies(typ)
	case g.Kind() == reflect.String:
		if c.base(typ) != "tstr" {
			return fmt.Errorf("%s is no text", typ)
		}
	case g.Kind() == reflect.Float64:
		if c.resolve(typ) != "float" {
			return fmt.Errorf("%s is no float", typ)
		}
	case g.Kind() == reflect.Bool:
		if typ != "bool" {
			return fmt.Errorf("%s is no bool", typ)
		}
	case g == reflect.TypeFor[[]byte]():
		if typ != "bstr" {
			return fmt.Errorf("%s is no bytes", typ)
		}
	case g.Kind() == reflect.Slice:
		_, _, elem, ok := cddlList(typ)
		if !ok {
			return fmt.Errorf("%s is no list", typ)
		}
		return c.fits(elem, g.Elem(), compare)
	case g.Kind() == reflect.Struct:
		if typ != ruleName(g) {
			return fmt.Errorf("%s is not %s", typ, ruleName(g))
		}
		compare(g)
	default:
		return fmt.Errorf("no rule for %v", g)
	}
	return nil
}

// bodies holds what is carried as it came to the types that say what it is.
func (c cddl) bodies(typ string) error {
	for _, t := range strings.Split(c.resolve(typ), " / ") {
		if t != "message" && t != "tip" && t != "signaling" && t != "peering" && t != "mark" && t != "revoke" && t != "hub-event" && t != "{ * tstr => any }" {
			return fmt.Errorf("%s is no body", t)
		}
	}
	return nil
}

// resolve follows the names of simple types.
func (c cddl) resolve(typ string) string {
	for range 8 {
		next, ok := c.types[typ]
		if !ok {
			break
		}
		typ = next
	}
	return typ
}

// base is the kind of type that all alternatives of typ are of.
func (c cddl) base(typ string) string {
	base := ""
	for _, t := range strings.Split(c.resolve(typ), " / ") {
		t = c.resolve(t)
		b, _, _ := strings.Cut(t, " ")
		if strings.HasPrefix(t, `"`) {
			b = "tstr"
		} else if strings.Contains(t, " / ") {
			b = c.base(t)
		}
		if base != "" && base != b {
			return "several"
		}
		base = b
	}
	return base
}

var cddlRange = regexp.MustCompile(`^(-?\d+)\.\.(\d+)$`)

// bounds of a type of whole numbers.
func (c cddl) bounds(typ string) (low, high *big.Int, ok bool) {
	typ = c.resolve(typ)
	if typ == "uint" {
		typ = "0..18446744073709551615"
	}
	m := cddlRange.FindStringSubmatch(typ)
	if m == nil {
		return nil, nil, false
	}
	low, _ = new(big.Int).SetString(m[1], 10)
	high, _ = new(big.Int).SetString(m[2], 10)
	return low, high, true
}

var cddlListForm = regexp.MustCompile(`^\[(\d+)\*(\d*) ([a-z0-9-]+)\]$`)

// cddlList takes "[1*16 era]" apart; most is -1 where there is no limit.
func cddlList(typ string) (least, most int, elem string, ok bool) {
	m := cddlListForm.FindStringSubmatch(typ)
	if m == nil {
		return 0, 0, "", false
	}
	least, _ = strconv.Atoi(m[1])
	if most = -1; m[2] != "" {
		most, _ = strconv.Atoi(m[2])
	}
	return least, most, m[3], true
}

// Every vector is a frame by the rules of the file.
func TestFrameVectorsFollowCDDL(t *testing.T) {
	c := readCDDL(t)
	for name, v := range readVectors[frameVector](t, "frames") {
		var tree any
		if err := Unmarshal(unhex(t, v.CBOR), &tree); err != nil {
			t.Fatal(err)
		}
		if err := c.valid(tree, "frame"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for hex, says := range map[string]string{
		"a1 00 01":                            "0 kinds",
		"a1 0e a1 01 20":                      "uint64",
		"a1 0e a1 03 01":                      "tstr",
		"a1 07 a3 01 01 02 61 78 03 00":       "log",
		"a1 05 a3 01 01 02 01 03 81 a1 04 00": "ordinal",
		"a1 04 a4 01 01 02 01 03 01 04 80":    "[1*512 item]",
		"a1 05 a2 01 01 02 01":                "Results is missing",
	} {
		var tree any
		if err := Unmarshal(unhex(t, hex), &tree); err != nil {
			t.Fatal(err)
		}
		if err := c.valid(tree, "frame"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", hex, err, says)
		}
	}
}

var (
	cddlSize   = regexp.MustCompile(`^tstr \.size \((\d+)\.\.(\d+)\)$`)
	cddlRegexp = regexp.MustCompile(`^tstr \.regexp "(.*)"$`)
)

// valid tells whether a decoded data item is of a type.
func (c cddl) valid(v any, typ string) error {
	if pairs, ok := c.maps[typ]; ok {
		return c.validMap(v, typ, pairs)
	}
	if low, high, ok := c.bounds(typ); ok {
		n := wholeNumber(v)
		if n == nil || n.Cmp(low) < 0 || n.Cmp(high) > 0 {
			return fmt.Errorf("%v is not %s (%v to %v)", v, typ, low, high)
		}
		return nil
	}
	if least, most, elem, ok := cddlList(typ); ok {
		list, isList := v.([]any)
		if !isList || len(list) < least || most >= 0 && len(list) > most {
			return fmt.Errorf("%v is not %s", v, typ)
		}
		for _, e := range list {
			if err := c.valid(e, elem); err != nil {
				return err
			}
		}
		return nil
	}
	resolved := c.resolve(typ)
	if choices := strings.Split(resolved, " / "); len(choices) > 1 {
		var errs []error
		for _, choice := range choices {
			err := c.valid(v, choice)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	good := false
	switch x := v.(type) {
	case bool:
		good = resolved == "bool"
	case map[any]any:
		good = resolved == "{ * tstr => any }"
		for k := range x {
			_, isText := k.(string)
			good = good && isText
		}
	case string:
		if m := cddlSize.FindStringSubmatch(resolved); m != nil {
			low, _ := strconv.Atoi(m[1])
			high, _ := strconv.Atoi(m[2])
			good = low <= len(x) && len(x) <= high
		} else if m := cddlRegexp.FindStringSubmatch(resolved); m != nil {
			good = regexp.MustCompile("^(?:" + m[1] + ")$").MatchString(x)
		} else {
			good = resolved == "tstr" || resolved == strconv.Quote(x)
		}
	}
	if !good {
		return fmt.Errorf("%v is not %s", v, typ)
	}
	return nil
}

func (c cddl) validMap(v any, rule string, pairs map[uint64]cddlPair) error {
	m, ok := v.(map[any]any)
	if !ok {
		return fmt.Errorf("%v is not %s", v, rule)
	}
	kinds := 0
	for key, p := range pairs {
		value, there := m[key]
		if !there {
			if !p.optional {
				return fmt.Errorf("%s: %s is missing", rule, p.name)
			}
			continue
		}
		if _, isMap := c.maps[p.typ]; isMap && rule == "frame" {
			kinds++
		}
		if err := c.valid(value, p.typ); err != nil {
			return fmt.Errorf("%s.%s: %w", rule, p.name, err)
		}
	}
	if rule == "frame" && kinds != 1 {
		return fmt.Errorf("frame: %d kinds", kinds)
	}
	return nil
}

// wholeNumber is v, or nil where it is none.
func wholeNumber(v any) *big.Int {
	switch n := v.(type) {
	case uint64:
		return new(big.Int).SetUint64(n)
	case int64:
		return big.NewInt(n)
	}
	return nil
}
