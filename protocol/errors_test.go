package protocol

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// codeConstants reads the constants of type Code from their source, so that one
// that is left out of the table is found.
func codeConstants(t *testing.T) map[string]Code {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Code{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !isIdent(spec.Type, "Code") {
			return true
		}
		value, sign := spec.Values[0], ""
		if minus, ok := value.(*ast.UnaryExpr); ok {
			value, sign = minus.X, "-"
		}
		code, err := strconv.ParseInt(sign+value.(*ast.BasicLit).Value, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		out[spec.Names[0].Name] = Code(code)
		return true
	})
	return out
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func TestCodeTable(t *testing.T) {
	names, rows := map[string]bool{}, map[Code]bool{}
	for _, r := range Codes() {
		if rows[r.Code] || names[r.Name] {
			t.Errorf("%d %s is there twice", r.Code, r.Name)
		}
		rows[r.Code], names[r.Name] = true, true
		// One success has a code of its own: a friend request that waits.
		status := r.HTTP >= 400 && r.HTTP <= 599 || r.HTTP == 200 && r.Code == CodeSvrFriendshipAllowTypeNeedConfirm
		if r.Code == 0 || !status || r.Meaning == "" || r.Name == "" || strings.ToUpper(r.Name) != r.Name {
			t.Errorf("%+v", r)
		}
		if got, ok := r.Code.Row(); !ok || got != r || r.Code.HTTPStatus() != r.HTTP {
			t.Errorf("Row(%d) = %+v, %v", r.Code, got, ok)
		}
	}
	constants := codeConstants(t)
	for name, c := range constants {
		if !rows[c] {
			t.Errorf("%s (%d) is not in the table", name, c)
		}
	}
	if len(constants) != len(rows) {
		t.Errorf("%d constants, %d rows", len(constants), len(rows))
	}
	if _, ok := Code(0).Row(); ok {
		t.Error("0 is success and has no row")
	}
	if got := Code(1).HTTPStatus(); got != 500 {
		t.Errorf("a code that is not in the table: %d", got)
	}
}

func TestErrors(t *testing.T) {
	e := Errorf(CodeNotLoggedIn, "")
	if e.Msg != "not logged in" || e.Error() != "not logged in (code 6014)" {
		t.Error(e)
	}
	wrapped := fmt.Errorf("send: %w", e)
	if AsError(wrapped) != e || !errors.Is(wrapped, Errorf(CodeNotLoggedIn, "another sentence")) || errors.Is(wrapped, Errorf(CodeInternalError, "")) {
		t.Error("an Error is not found in a chain, or not told by its code")
	}
	if got := AsError(context.Canceled); got.Code != CodeInternalError || !strings.Contains(got.Msg, "canceled") {
		t.Error(got)
	}
	if AsError(nil) != nil {
		t.Error("nil became an error")
	}
	Codes()[0].Code = 1
	if Codes()[0].Code == 1 {
		t.Error("the table can be changed from outside")
	}
}
