package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// talk is two honest boards that go on talking, one word at a time, while
// something is done to them or beside them.
type talk struct {
	a, b   *actor
	rounds atomic.Int64 // over: said, heard, answered, heard
	stop   chan struct{}
	done   chan struct{}
	since  [2]int64 // when their links came up
}

// talk starts it. The boards' links must be up.
func (h *house) talk(a, b *actor) *talk {
	t := &talk{a: a, b: b, stop: make(chan struct{}), done: make(chan struct{})}
	t.since = t.links()
	go func() {
		defer close(t.done)
		for n := 0; ; n++ {
			select {
			case <-t.stop:
				return
			default:
			}
			if !t.say(a, b, fmt.Sprintf("ping %d", n)) || !t.say(b, a, fmt.Sprintf("pong %d", n)) {
				return
			}
			t.rounds.Add(1)
		}
	}()
	return t
}

// say has a message sent and heard.
func (t *talk) say(from, to *actor, text string) bool {
	h := from.h
	_, err := client.Call(h.ctx, from.board.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: to.user, Text: text})
	if err != nil {
		h.t.Errorf("%s cannot say %q: %v", from.user, text, err)
		return false
	}
	to.await(text, func(ev []event) bool {
		for _, e := range slices.Backward(ev) {
			if e.str("text") == text && e.sender() == from.user {
				return true
			}
		}
		return false
	})
	return true
}

func (e event) sender() string {
	from, _ := e.data["sender"].(map[string]any)
	s, _ := from["userId"].(string)
	return s
}

// goesOn waits for some more rounds: whoever was served before still is.
func (t *talk) goesOn() {
	t.a.h.t.Helper()
	want := t.rounds.Load() + 3
	t.a.h.poll("the honest boards' talk to go on", func() bool {
		select {
		case <-t.done:
			t.a.h.t.Fatal("the honest boards' talk has ended")
		default:
		}
		return t.rounds.Load() >= want
	})
}

func (t *talk) links() [2]int64 { return [2]int64{t.a.status().LinkSince, t.b.status().LinkSince} }

// unbroken fails the test if one of the two links has been down since the
// beginning.
func (t *talk) unbroken() {
	t.a.h.t.Helper()
	if now := t.links(); now != t.since {
		t.a.h.t.Errorf("an honest board's link was down: up since %d, before %d", now, t.since)
	}
}

// end ends the talk: each word was heard once and in order.
func (t *talk) end() {
	h := t.a.h
	h.t.Helper()
	close(t.stop)
	<-t.done
	n := int(t.rounds.Load())
	for _, x := range []struct {
		who, from *actor
		word      string
	}{{t.a, t.b, "pong"}, {t.b, t.a, "ping"}} {
		var got, want []string
		for _, e := range x.who.journal() {
			if s := e.str("text"); strings.HasPrefix(s, x.word+" ") && e.sender() == x.from.user {
				got = append(got, s)
			}
		}
		for i := range n {
			want = append(want, fmt.Sprintf("%s %d", x.word, i))
		}
		if !slices.Equal(got, want) {
			h.t.Errorf("%s heard %d words of %d, or not in order", x.who.user, len(got), n)
		}
	}
	h.t.Logf("%d rounds of talk", n)
}
