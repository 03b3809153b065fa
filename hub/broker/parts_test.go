package broker

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a", false}, {"a", "a/b", false}, {"a/b", "a/c", false},
		{"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"a/+", "a/", true},
		{"+/b", "a/b", true}, {"+", "a", true}, {"+", "/a", false}, {"+/+", "/a", true}, {"/+", "/a", true},
		{"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false},
		{"#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false}, {"a/#", "b/a", false},
		{"a/b/#", "a", false}, {"a/+/#", "a/b", true}, {"a/+/#", "a", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true},
		// mochi's auth.MatchTopic lets these pass:
		{"in/alice", "in/alice/bob", false}, {"in/+", "in/a/b", false},
		// Invalid ones match themselves at most.
		{"a#", "ab", false}, {"#/a", "b/a", false}, {"a/#/c", "a/b/c", false}, {"", "", true}, {"", "a", false}, {"a", "", false},
	} {
		if got := Match(c.filter, c.topic); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

// Match against the definition written as a regular expression.
func TestMatchByDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(levels ...string) string {
		parts := make([]string, 1+rng.IntN(4))
		for i := range parts {
			parts[i] = levels[rng.IntN(len(levels))]
		}
		return strings.Join(parts, "/")
	}
	matched := 0
	for range 50_000 {
		filter, topic := pick("", "a", "b", "+", "+", "#"), pick("", "a", "b")
		if !validFilter(filter) || topic == "" {
			continue
		}
		re := regexp.QuoteMeta(filter)
		re = strings.ReplaceAll(re, `\+`, `[^/]*`)
		if rest, ok := strings.CutSuffix(re, "/#"); ok {
			re = rest + "(/.*)?"
		} else if re == "#" {
			re = ".*"
		}
		want := regexp.MustCompile("^" + re + "$").MatchString(topic)
		if want {
			matched++
		}
		if got := Match(filter, topic); got != want {
			t.Fatalf("Match(%q, %q) = %v", filter, topic, got)
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matches: the test tests little", matched)
	}
}

// mochi's index decides who gets a message; it must agree with Match. It does not for filters like
// +/#, which should cover a single level, too; those get less than they should, never more.
func TestIndexAgreesWithMatch(t *testing.T) {
	r := start(t, newDesk(), Limits{Subscriptions: 1})
	filters := []string{"a", "a/b", "a/+", "a/#", "+", "+/b", "#", "/", "/+", "+/+", "a/+/c", "a//c", "a/b/#", "+/+/+"}
	for _, f := range filters {
		r.subscribed(t, f, f)
	}
	for _, topic := range []string{"a", "b", "a/b", "a/", "/", "/b", "a/b/c", "a//c", "b/b/b", "a/b/c/d"} {
		got := r.topics.Subscribers(topic).Subscriptions
		for _, f := range filters {
			if _, ok := got[f]; ok != Match(f, topic) {
				t.Errorf("%q under %q: the index says %v", topic, f, ok)
			}
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	const size = 70
	taken := map[uint16]bool{}
	for range size {
		id, ok := w.take(size)
		if !ok || taken[id] || id < 1 || id > size {
			t.Fatal(id, ok)
		}
		taken[id] = true
	}
	if _, ok := w.take(size); ok {
		t.Error("one too many")
	}
	w.release(64)
	w.release(64)
	w.release(0)
	w.release(65535)
	if id, ok := w.take(size); !ok || id != 64 {
		t.Error(id, ok)
	}
	if _, ok := w.take(size); ok {
		t.Error("one too many after a double release")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		if id := uint16(rng.IntN(size + 5)); rng.IntN(2) == 0 {
			w.release(id)
			delete(taken, id)
		} else if id, ok := w.take(size); ok != (len(taken) < size) || taken[id] {
			t.Fatal(id, ok, len(taken))
		} else if ok {
			taken[id] = true
		}
		if w.count != len(taken) {
			t.Fatal(w.count, len(taken))
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	if err := (Limits{}).withDefaults().validate(); err != nil {
		t.Error(err)
	}
	for _, l := range []Limits{
		{Connections: -1}, {Unacked: 65536}, {MaxKeepalive: 13 * time.Hour}, {MaxKeepalive: time.Millisecond},
		{QueueBytes: 1 << 20, TotalQueueBytes: 1 << 19}, {WriteTimeout: -1},
	} {
		if _, err := New(Config{Limits: l}, newDesk()); err == nil {
			t.Errorf("%+v is taken", l)
		} else if !strings.HasPrefix(err.Error(), "broker: limit ") {
			t.Errorf("%v does not name the limit", err)
		}
	}
	if _, err := New(Config{}, nil); err == nil {
		t.Error("no handler is taken")
	}
}
