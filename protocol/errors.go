package protocol

import (
	"errors"
	"fmt"
	"net/http"
)

// Code is an error code of the API, as spec'd by Tencent's IM documents.
// 0 is success.
type Code int32

// CodeRow is one line of the error table.
type CodeRow struct {
	Code    Code
	Name    string // the name in Tencent's documents
	HTTP    int    // status of the local API
	Meaning string
}

// Codes returns the error table in the order of the documents.
func Codes() []CodeRow { return append([]CodeRow(nil), codeRows...) }

var codeIndex = func() map[Code]CodeRow {
	m := make(map[Code]CodeRow, len(codeRows))
	for _, r := range codeRows {
		m[r.Code] = r
	}
	return m
}()

// Row returns the table's line for c; ok is false for a code that is not in it.
func (c Code) Row() (row CodeRow, ok bool) {
	row, ok = codeIndex[c]
	return row, ok
}

// HTTPStatus is the status the local API answers with for c.
func (c Code) HTTPStatus() int {
	if r, ok := c.Row(); ok {
		return r.HTTP
	}
	return http.StatusInternalServerError
}

// Error is what an API call fails with: a stable code for programs and a
// sentence for people that says which value was wrong.
type Error struct {
	// Code of the error table, for programs.
	Code Code `json:"code"`
	// Msg is a sentence for people that says which value was wrong.
	Msg string `json:"msg"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Msg, e.Code) }

// Is makes errors.Is compare by code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf makes an Error. Without a format the table's meaning is the sentence.
func Errorf(c Code, format string, args ...any) *Error {
	if format == "" {
		r, _ := c.Row()
		return &Error{Code: c, Msg: r.Meaning}
	}
	return &Error{Code: c, Msg: fmt.Sprintf(format, args...)}
}

// AsError finds the Error in err's chain. Any other error becomes
// CodeInternalError with a sentence that keeps its text, because a program
// must always get a code.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternalError, Msg: "internal error: " + err.Error()}
}

// invalid is the error for a parameter that is missing or not valid.
func invalid(format string, args ...any) *Error {
	return Errorf(CodeInvalidParameters, format, args...)
}
