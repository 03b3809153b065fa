package localapi

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func TestStreamsAreBounded(t *testing.T) {
	var logged strings.Builder
	s := NewStreams(slog.New(slog.NewTextHandler(&logged, nil)))
	held, err := s.open("held") // the oldest, but in use
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxSets - 1 {
		if err := s.add(fmt.Sprint("s", n), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.add("s0", 2); err != nil { // now s1 is the oldest
		t.Fatal(err)
	}
	if err := s.add("new", 1); err != nil {
		t.Fatal(err)
	}
	if len(s.sets) != maxSets || s.sets["s1"] != nil || s.sets["held"] != held || s.sets["s0"].mask.load() != 3 || s.sets["new"] == nil {
		t.Errorf("%d sets, s1 %v, held %v", len(s.sets), s.sets["s1"], s.sets["held"])
	}
	if !strings.Contains(logged.String(), "stream=s1") {
		t.Errorf("nothing is said of it: %s", logged.String())
	}

	// All in use: refused, not forgotten.
	all := NewStreams(slog.New(slog.DiscardHandler))
	for n := range maxSets {
		if _, err := all.open(fmt.Sprint("s", n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := all.open("one more"); protocol.AsError(err).Code != protocol.CodeNetReqCountLimit {
		t.Errorf("one more: %v", err)
	}
}

func TestStreamsForgetWhatIsEmpty(t *testing.T) {
	s := NewStreams(slog.New(slog.DiscardHandler))
	set, err := s.open("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.add("a", 1); err != nil {
		t.Fatal(err)
	}
	s.close("a", set)
	if s.sets["a"] == nil {
		t.Error("the listeners did not outlive the stream")
	}
	s.remove("a", 1)
	if len(s.sets) != 0 {
		t.Error("an empty set is kept")
	}
	if set, err = s.open("b"); err != nil {
		t.Fatal(err)
	}
	s.close("b", set)
	if len(s.sets) != 0 {
		t.Error("a stream without listeners leaves a set")
	}
}

// Every category of an event can be asked for, and each listener's method of
// the registry is bound.
func TestCategories(t *testing.T) {
	for _, e := range protocol.Events() {
		if bits := bitsOf(e.Listen); bits == 0 || bits == everyCategory {
			t.Errorf("%s: categories %v", e.Name, e.Listen)
		}
	}
	table := protocol.NewTable[protocol.Caller]()
	NewStreams(slog.New(slog.DiscardHandler)).Bind(table)
	unbound := table.Unbound(protocol.Local)
	for _, m := range protocol.Methods() {
		if strings.HasSuffix(m.Name, "Listener") && slices.Contains(unbound, m.Name) {
			t.Errorf("%s is not bound", m.Name)
		}
	}
}
