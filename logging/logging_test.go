package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLevel(t *testing.T) {
	var b bytes.Buffer
	log, lv := New(&b, "warn")
	log.Info("hidden")
	SetLevel(lv, "debug")
	SetLevel(lv, "nonsense")
	log.Debug("shown")
	if s := b.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "shown") {
		t.Fatalf("log: %q", s)
	}
}

func TestJournalEntry(t *testing.T) {
	h := (&journald{level: new(slog.LevelVar)}).WithAttrs([]slog.Attr{slog.String("room", "device")}).WithGroup("link").(*journald)
	r := slog.NewRecord(time.Time{}, slog.LevelWarn, "no link", 0)
	r.AddAttrs(slog.String("err", "timed out"), slog.Int("try", 3))
	text, vars := h.entry(r)
	if want := `no link room=device link.err="timed out" link.try=3`; text != want {
		t.Errorf("text %q, want %q", text, want)
	}
	for k, want := range map[string]string{"HERALD_ROOM": "device", "HERALD_LINK_ERR": "timed out", "HERALD_LINK_TRY": "3"} {
		if vars[k] != want {
			t.Errorf("%s = %q, want %q", k, vars[k], want)
		}
	}
}
