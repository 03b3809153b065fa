package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// comments are the comments of struct fields, by type and Go name of the field.
type comments map[string]map[string]string

// readComments reads the comments of every struct type declared in dir.
func readComments(dir string) (comments, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := comments{}
	fset := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if st, ok := spec.Type.(*ast.StructType); ok {
					out[spec.Name.Name] = fieldComments(st)
				}
			}
			return true
		})
	}
	return out, nil
}

func fieldComments(st *ast.StructType) map[string]string {
	out := map[string]string{}
	for _, f := range st.Fields.List {
		group := f.Doc
		if group == nil {
			group = f.Comment
		}
		for _, name := range f.Names {
			out[name.Name] = strings.Join(strings.Fields(group.Text()), " ")
		}
	}
	return out
}

// field is one line of a table of fields.
type field struct {
	Name     string // as in JSON, with the way to it: "list[].msgId"
	Type     string // in words
	Optional bool   // in a request: may be missing; in a response or an event: is there only if it says something
	Doc      string
}

// missing in a field's comment says what holds without it, so the field is optional.
const missing = "Missing:"

// fieldsOf flattens a struct type to the fields of its JSON: embedded structs
// are part of it, those of objects and lists of objects follow with a path.
func (c comments) fieldsOf(t reflect.Type) ([]field, error) {
	return c.appendFields(nil, "", t, 0)
}

// maxNesting is deeper than anything a person would write by hand.
const maxNesting = 6

func (c comments) appendFields(out []field, prefix string, t reflect.Type, depth int) ([]field, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%v: nested deeper than %d", t, maxNesting)
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous && sf.Tag.Get("json") == "" {
			var err error
			if out, err = c.appendFields(out, prefix, sf.Type, depth); err != nil {
				return nil, err
			}
			continue
		}
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		doc := c[t.Name()][sf.Name]
		if name == "" || name == "-" || !sf.IsExported() || doc == "" {
			return nil, fmt.Errorf("%v: the field %s has no JSON name or no comment", t, sf.Name)
		}
		words, inner, err := typeWords(sf.Type)
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, sf.Name, err)
		}
		path := prefix + name
		out = append(out, field{
			Name: path, Type: words, Doc: prose(doc, sf.Name, name),
			Optional: strings.Contains(","+options+",", ",omitempty,") || strings.Contains(doc, missing),
		})
		if inner == nil {
			continue
		}
		path += strings.Repeat("[]", strings.Count(words, "list of "))
		if out, err = c.appendFields(out, path+".", inner, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// prose is a field's comment for readers of JSON: it begins with Go's name of
// the field, which stays only where that is an ordinary word.
func prose(doc, goName, jsonName string) string {
	rest, ok := strings.CutPrefix(doc, goName)
	if !ok || strings.ToLower(goName[1:]) == goName[1:] {
		return doc
	}
	return "`" + jsonName + "`" + rest
}

// typeWords says what JSON a Go type is, and which struct its fields are in.
func typeWords(t reflect.Type) (words string, inner reflect.Type, err error) {
	switch t.Kind() {
	case reflect.Pointer:
		return typeWords(t.Elem())
	case reflect.String:
		return "string", nil, nil
	case reflect.Bool:
		return "boolean", nil, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer", nil, nil
	case reflect.Float64:
		return "number", nil, nil
	case reflect.Struct:
		return "object", t, nil
	case reflect.Map:
		if t.Elem().Kind() == reflect.String {
			return "object of strings", nil, nil
		}
	case reflect.Slice:
		words, inner, err = typeWords(t.Elem())
		return "list of " + words, inner, err
	}
	return "", nil, fmt.Errorf("no words for the type %v", t)
}
