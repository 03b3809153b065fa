// Package chaos holds the tests that let Herald's programs talk while life
// happens to them: they are killed, their connections cut, their disks filled.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// messagesPerStream is how many messages each of the six streams (two senders,
// each to two accounts and a group) sends. HERALD_CHAOS multiplies it.
const messagesPerStream = 400

// TestExactlyOnceInOrder: whatever was accepted by the local API is stored
// once, raised once in each receiver's journal, and in the sender's order,
// while at random moments senders, receivers and the hub are killed and their
// connections cut, delayed and left dead.
func TestExactlyOnceInOrder(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { exactlyOnce(t, "") })
	t.Run("postgres", func(t *testing.T) { exactlyOnce(t, databases.Postgres(t)) })
}

func exactlyOnce(t *testing.T, db string) {
	h := newHouse(t, db)
	seed := seedOf(t)
	rnd := rand.New(rand.NewPCG(seed, 1))

	senders := []*actor{h.actor("s1"), h.actor("s2")}
	receivers := []*actor{h.actor("r1"), h.actor("r2")}
	all := append(append([]*actor(nil), senders...), receivers...)
	h.group("yard", protocol.GroupMeeting, all...)

	n := messagesPerStream * h.factor
	var streams []*stream
	for _, s := range senders {
		for _, r := range receivers {
			streams = append(streams, &stream{from: s, to: r.user})
		}
		streams = append(streams, &stream{from: s, group: "yard"})
	}
	var sending sync.WaitGroup
	progress := make(chan struct{}, 1<<16)
	for _, st := range streams {
		sending.Add(1)
		go func() {
			defer sending.Done()
			st.run(h.ctx, n, progress)
		}()
	}
	go func() {
		sending.Wait()
		close(progress)
	}()
	h.wreak(rnd, all, n*len(streams), progress)
	h.heal(all)

	for _, r := range all {
		r.awaitDrained()
	}
	for _, r := range all {
		r.awaitAccepted(streams)
		r.check(streams)
	}
	h.checkStored(streams)
	total, unknown := 0, 0
	for _, st := range streams {
		total += len(st.accepted)
		unknown += n - len(st.accepted)
	}
	t.Logf("%d messages accepted, %d calls without an answer", total, unknown)
	if total < n*len(streams)*9/10 {
		t.Errorf("only %d of %d messages were accepted: the test has tested little", total, n*len(streams))
	}
}

// stream is a program on a sender's board that sends numbered texts to one
// account or group, one after another.
type stream struct {
	from     *actor
	to       string // account
	group    string
	accepted map[int]string // number → msgId
}

func (s *stream) name() string { return s.from.user + ">" + s.to + s.group }

// run sends n messages. A call that got no answer may have been accepted or
// not: its number is left out of accepted and never used again.
func (s *stream) run(ctx context.Context, n int, progress chan<- struct{}) {
	s.accepted = make(map[int]string, n)
	c := s.from.board.Client()
	for i := range n {
		text := fmt.Sprintf("%s #%d", s.name(), i)
		res, err := s.send(ctx, c, text)
		for errors.As(err, new(*client.UnreachableError)) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond) // the daemon is down: nothing was sent
			res, err = s.send(ctx, c, text)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			s.accepted[i] = res.MsgID
		}
		progress <- struct{}{}
	}
}

func (s *stream) send(ctx context.Context, c *client.Client, text string) (protocol.SendResponse, error) {
	if s.group != "" {
		return client.Call(ctx, c, protocol.SendGroupTextMessage, protocol.GroupTextRequest{Text: text, GroupID: s.group})
	}
	return client.Call(ctx, c, protocol.SendC2CTextMessage, protocol.C2CTextRequest{Text: text, UserID: s.to})
}

// parse takes a stream's text apart.
func parse(text string) (name string, n int, ok bool) {
	name, num, ok := strings.Cut(text, " #")
	n, err := strconv.Atoi(num)
	return name, n, ok && err == nil
}

// seen is what an actor's journal holds of one stream.
type seen struct {
	last  int
	count map[int]int
	msgID map[int]string
}

// forActor tells whether an actor is to get a stream's messages.
func (s *stream) forActor(a *actor) bool { return s.from != a && (s.to == "" || s.to == a.user) }

// awaitAccepted waits until an actor has heard as much as was accepted for it.
func (a *actor) awaitAccepted(streams []*stream) {
	a.h.t.Helper()
	n := 0
	for _, st := range streams {
		if st.forActor(a) {
			n += len(st.accepted)
		}
	}
	a.await("all that was accepted for it", func(events []event) bool { return len(texts(events)) >= n })
}

// check reads an actor's whole journal and compares it with what was accepted.
func (a *actor) check(streams []*stream) {
	t := a.h.t
	t.Helper()
	got := make(map[string]*seen)
	failed := 0
	for _, e := range a.journal() {
		switch e.Name {
		case protocol.OnRecvC2CTextMessage.Info().Name, protocol.OnRecvGroupTextMessage.Info().Name:
			name, n, ok := parse(e.str("text"))
			if !ok {
				t.Errorf("%s: strange text %q", a.user, e.str("text"))
				continue
			}
			s := got[name]
			if s == nil {
				s = &seen{last: -1, count: map[int]int{}, msgID: map[int]string{}}
				got[name] = s
			}
			s.count[n]++
			s.msgID[n] = e.str("msgId")
			if n <= s.last {
				t.Errorf("%s: %s #%d comes after #%d", a.user, name, n, s.last)
			}
			s.last = n
		case protocol.OnMessageStatusChanged.Info().Name:
			if e.num("status") == protocol.StatusFailed {
				failed++
			}
		}
	}
	if failed > 0 {
		t.Errorf("%s: %d accepted messages were refused later", a.user, failed)
	}
	for _, st := range streams {
		if !st.forActor(a) {
			if got[st.name()] != nil {
				t.Errorf("%s got messages of %s", a.user, st.name())
			}
			continue
		}
		s := got[st.name()]
		if s == nil {
			t.Errorf("%s got nothing of %s", a.user, st.name())
			continue
		}
		for n, id := range st.accepted {
			if s.count[n] != 1 {
				t.Errorf("%s: %s #%d was raised %d times", a.user, st.name(), n, s.count[n])
			} else if s.msgID[n] != id {
				t.Errorf("%s: %s #%d has msgId %s, its sender was told %s", a.user, st.name(), n, s.msgID[n], id)
			}
		}
		for n, c := range s.count {
			if c != 1 {
				t.Errorf("%s: %s #%d (no answer) was raised %d times", a.user, st.name(), n, c)
			}
		}
	}
}

// checkStored looks into the hub's database: every accepted message once, and
// logs without gaps.
func (h *house) checkStored(streams []*stream) {
	h.t.Helper()
	if err := h.hub.Stop(); err != nil {
		h.t.Errorf("the hub did not stop cleanly: %v", err)
	}
	ids := make(map[string]int)
	for _, log := range h.storedLogs() {
		for i, e := range log.entries {
			if e.seq != uint64(i+1) {
				h.t.Errorf("log %s: entry %d has seq %d", log.name, i+1, e.seq)
				break
			}
			if e.msgID != "" {
				ids[e.msgID]++
			}
		}
	}
	for _, st := range streams {
		for n, id := range st.accepted {
			if ids[id] != 1 {
				h.t.Errorf("%s #%d (%s) is stored %d times", st.name(), n, id, ids[id])
			}
		}
	}
}

// wreak does something bad each time another part of the messages was sent,
// until all are.
func (h *house) wreak(rnd *rand.Rand, all []*actor, total int, progress <-chan struct{}) {
	const wounds = 40
	next, done := total/wounds, 0
	for range progress {
		if done++; done < next {
			continue
		}
		next += 1 + rnd.IntN(2*total/wounds)
		a := all[rnd.IntN(len(all))]
		ms := func(limit int) time.Duration { return time.Duration(rnd.IntN(limit)) * time.Millisecond }
		switch rnd.IntN(8) {
		case 0, 1:
			h.t.Logf("%d: kill %s", done, a.user)
			a.board.Kill()
			h.later(ms(500), a.start)
		case 2:
			h.t.Logf("%d: kill the hub", done)
			h.hub.Kill()
			time.Sleep(ms(500)) // the outage itself
			h.startHub()
		case 3, 4:
			h.t.Logf("%d: cut %s", done, a.user)
			a.proxy.Cut()
		case 5:
			d := ms(30)
			h.t.Logf("%d: delay %s by %v", done, a.user, d)
			a.proxy.Delay(d)
			h.later(ms(2000), func() { a.proxy.Delay(0) })
		case 6:
			d := ms(3000)
			h.t.Logf("%d: %s's network is dead for %v", done, a.user, d)
			a.proxy.Stall(true)
			h.later(d, func() { a.proxy.Stall(false) })
		case 7:
			h.t.Logf("%d: cut everybody", done)
			for _, a := range all {
				a.proxy.Delay(0)
				a.proxy.Cut()
			}
		}
	}
}
