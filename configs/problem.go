package configs

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration, for the person who
// has to put it right.
type Problem struct {
	File string // "" when the value does not come from a file
	Line int    // from 1; 0 when no one line is to blame
	Key  string // "hub.keepalive"; "" when it is not about one key
	Text string // what is wrong, with the value and what is allowed
}

// String is "file:line: key: text", as editors and compilers write it.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteString(":" + strconv.Itoa(p.Line))
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// maxShown is how many problems one error lists; a file of another kind has
// thousands.
const maxShown = 20

// Problems is the error of Load and Validate: everything that is wrong, a line
// each, never empty.
type Problems []Problem

func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// orNil keeps an empty list from becoming an error that is not nil.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// quote shows a value in a message, short and with its strange bytes escaped.
func quote(value string) string {
	const most = 80
	if len(value) > most {
		return strconv.QuoteToASCII(value[:most]) + "…"
	}
	return strconv.QuoteToASCII(value)
}
