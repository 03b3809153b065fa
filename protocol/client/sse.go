package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine is the longest line of a stream, in bytes: an event's data is one.
const maxLine = 1 << 20

// errTooLong ends a stream for good: the event would come again.
var errTooLong = &stopError{fmt.Errorf("an event is over %d bytes", maxLine)}

// block is what stands between two empty lines of a stream.
type block struct {
	hello   bool // it greets: the stream has begun
	version string
	last    uint64

	hasPos bool
	pos    uint64
	name   string // empty: it is no event
	data   []byte
}

// reader reads server-sent events (WHATWG HTML §9.2.6) as the daemon writes
// them, and takes what it does not know as the standard says: not at all.
type reader struct {
	in *bufio.Scanner
}

func newReader(r io.Reader) *reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	return &reader{in: s}
}

// next returns the next block. A block that the stream's end cuts off is lost.
func (r *reader) next() (b block, err error) {
	some := false
	for r.in.Scan() {
		line := r.in.Bytes()
		if len(line) == 0 {
			if some {
				return b, nil
			}
			continue
		}
		some = true
		if err := b.take(line); err != nil {
			return b, err
		}
	}
	switch err := r.in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return b, errTooLong
	case err != nil:
		return b, err
	}
	return b, io.EOF
}

func (b *block) take(line []byte) error {
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "": // a comment
		b.greeting(string(value))
	case "id":
		pos, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil {
			return &stopError{fmt.Errorf("an event's id %q is not a position", value[:min(len(value), 64)])}
		}
		b.pos, b.hasPos = pos, true
	case "event":
		b.name = string(value)
	case "data":
		if len(b.data) > 0 {
			b.data = append(b.data, '\n')
		}
		b.data = append(b.data, value...)
		if len(b.data) > maxLine {
			return errTooLong
		}
	}
	return nil
}

// greeting recognises ": herald <version> at <position>".
func (b *block) greeting(s string) {
	rest, ok := strings.CutPrefix(s, "herald ")
	version, at, cut := strings.Cut(rest, " at ")
	last, err := strconv.ParseUint(at, 10, 64)
	if ok && cut && err == nil {
		b.hello, b.version, b.last = true, version, last
	}
}
