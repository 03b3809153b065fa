// Package logging is how the two programs write their logs: lines on stderr
// for people and containers, entries with fields for systemd's journal.
//
// Info marks the events of a life, a packet is debug. A UserSig, a key or a
// message's text is never logged.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/journal"
)

// New makes the process's log. level is debug, info, warn or error; anything
// else is info.
func New(w io.Writer, level string) (*slog.Logger, *slog.LevelVar) {
	lv := new(slog.LevelVar)
	SetLevel(lv, level)
	if f, ok := w.(*os.File); ok && isJournal(f) {
		return slog.New(&journald{level: lv}), lv
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: lv})), lv
}

// SetLevel sets lv by a level's name; an unknown name changes nothing.
func SetLevel(lv *slog.LevelVar, level string) {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) == nil {
		lv.Set(l)
	}
}

// isJournal tells whether f is the stream that systemd connected to its
// journal: $JOURNAL_STREAM holds its device and inode (systemd.exec(5)).
func isJournal(f *os.File) bool {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino) && journal.Enabled()
}

// journald sends records to systemd's journal. The message holds the
// attributes too, so that plain journalctl shows them.
type journald struct {
	level  *slog.LevelVar
	attrs  []slog.Attr
	prefix string
}

func (h *journald) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *journald) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

func (h *journald) WithGroup(name string) slog.Handler {
	c := *h
	c.prefix += name + "."
	return &c
}

func (h *journald) Handle(_ context.Context, r slog.Record) error {
	text, vars := h.entry(r)
	if err := journal.Send(text, priority(r.Level), vars); err != nil {
		_, err = fmt.Fprintln(os.Stderr, text) // the journal takes this stream as well
		return err
	}
	return nil
}

func (h *journald) entry(r slog.Record) (text string, vars map[string]string) {
	var b strings.Builder
	b.WriteString(r.Message)
	vars = make(map[string]string)
	add := func(key string, v slog.Value) {
		s := v.Resolve().String()
		vars[fieldName(key)] = s
		if strings.ContainsAny(s, " \"=\n") {
			s = strconv.Quote(s)
		}
		b.WriteString(" " + key + "=" + s)
	}
	for _, a := range h.attrs {
		add(a.Key, a.Value)
	}
	r.Attrs(func(a slog.Attr) bool { add(h.prefix+a.Key, a.Value); return true })
	return b.String(), vars
}

// fieldName makes a journal field of a key: A-Z 0-9 _ only, and ours.
func fieldName(key string) string {
	return "HERALD_" + strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, key)
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
