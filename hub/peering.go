package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Peering: the hub hands on what terminals of one call say to one another to
// connect. Nothing of it is stored, and it goes past the writer: it is what keeps
// two people waiting who have picked up already.

const (
	maxSignalTime   = 30 * time.Second // for which a signal may be of use
	signalsPerSec   = 100              // of one terminal
	signalsAtOnce   = 300              // of one terminal: a call of several begins with many
	asksPerSec      = 5                // of the database, for one terminal
	asksAtOnce      = 20
	maxKnownCalls   = 4096 // whose people are kept in memory
	maxPeopleOfCall = 256
	knowCallsFor    = 10 * time.Minute // then the database is asked again: it forgets old invitations
)

// callName names a call: whoever began it, and the room_id that he gave it.
type callName struct {
	inviter string
	room    uint32
}

// callBook knows who may signal whom: the inviter of one call, and those who have
// accepted or may still. The database knows it too; this saves asking it for each
// signal.
type callBook struct {
	mu    sync.Mutex
	calls map[callName]knownCall
	turns uint64 // rises when something is forgotten
}

type knownCall struct {
	people []string
	until  time.Time
}

// forget has the next signal of a call ask the database: its people are others.
func (b *callBook) forget(n callName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.calls, n)
	b.turns++
}

// get is the people of a call that is known; turn is for put.
func (b *callBook) get(n callName, now time.Time) (people []string, turn uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.calls[n]
	return c.people, b.turns, ok && now.Before(c.until)
}

// put keeps what was read after get, unless an invitation has come in between: it
// may not have been seen.
func (b *callBook) put(n callName, turn uint64, people []string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if turn != b.turns {
		return
	}
	if b.calls == nil || len(b.calls) >= maxKnownCalls {
		b.calls = make(map[callName]knownCall)
	}
	b.calls[n] = knownCall{people, now.Add(knowCallsFor)}
}

// errAsks: a terminal asks for more calls than anybody is in.
var errAsks = errors.New("too many signals for calls that the hub does not know")

// people are those who may signal one another for a call; none if the hub knows of
// no such call. That is not remembered, or strangers would push out what is.
func (h *Hub) people(s *session, n callName, now time.Time) ([]string, error) {
	people, turn, ok := h.book.get(n, now)
	if ok || n.room == 0 {
		return people, nil
	}
	if !s.asks.AllowN(now, 1) {
		return nil, errAsks
	}
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	people, err := h.store.PeopleOfCall(ctx, h.app, n.inviter, n.room, maxPeopleOfCall, now.Add(-keepInvites))
	if err != nil {
		return nil, fmt.Errorf("who is in the call cannot be read: %w", err)
	}
	if len(people) > 0 {
		h.book.put(n, turn, people, now)
	}
	return people, nil
}

// signal hands a signal on. What cannot be handed on is dropped: its sender says
// it again.
func (h *Hub) signal(s *session, f *protocol.Frame, now time.Time) {
	in := f.Signal
	if s.signals == nil { // frames of one session come one at a time
		s.signals, s.asks = rate.NewLimiter(signalsPerSec, signalsAtOnce), rate.NewLimiter(asksPerSec, asksAtOnce)
	}
	if !s.signals.AllowN(now, 1) {
		h.drop(s.login, "signals", errors.New("too many signals"))
		return
	}
	p, err := protocol.DecodePeering(in.Body)
	switch {
	case err != nil:
	case p.Kind == protocol.PeeringAbsent:
		err = errors.New("a signal that is the hub's alone")
	case !protocol.ValidUserID(in.To):
		err = errors.New("a signal to nobody")
	case in.ToTerm != "" && !protocol.ValidTerminal(in.ToTerm):
		err = errors.New("a signal to no terminal")
	}
	if err != nil {
		h.drop(s.login, "signal", err)
		return
	}
	people, err := h.people(s, callName{p.Inviter, p.Room}, now)
	if err != nil {
		h.drop(s.login, "signal", err)
		return
	}
	if !slices.Contains(people, s.user) || !slices.Contains(people, in.To) {
		h.metrics.drop("uninvited")
		h.complain(slog.LevelInfo, "a signal of or to somebody who is not invited to the call is refused",
			"user", s.user, "terminal", s.terminal, "to", in.To, "inviter", p.Inviter, "room", p.Room)
		return
	}
	topics := h.signalTopics(s, in)
	if len(topics) == 0 {
		h.metrics.drop("offline")
		h.tellAbsent(s, in, p, now)
		return
	}
	exp := now.Add(maxSignalTime).UnixMilli()
	if f.Exp != 0 {
		exp = min(exp, f.Exp)
	}
	out := &protocol.Frame{Exp: exp, Signal: &protocol.Signal{
		From: s.user, Term: s.terminal, Time: now.UnixMilli(), Body: in.Body, To: in.To, ToTerm: in.ToTerm,
	}}
	h.metrics.signals.Inc()
	for _, topic := range topics {
		h.publish(topic, out, 1)
	}
}

// tellAbsent answers whoever looks for somebody of his call that his terminal is gone:
// where its connection was closed, as it is when the process ends, nobody need wait as
// long as for a network that may come back.
func (h *Hub) tellAbsent(s *session, in *protocol.Signal, p protocol.Peering, now time.Time) {
	if p.Kind != protocol.PeeringJoin || p.Session == 0 || !h.table.absent(in.To, in.ToTerm) {
		return
	}
	body, err := protocol.Marshal(protocol.Peering{Kind: protocol.PeeringAbsent, Inviter: p.Inviter, Room: p.Room, Session: p.Session})
	if err != nil {
		h.log.Error("a signal cannot be written", "err", err)
		return
	}
	h.publish(protocol.TopicToTerminal(h.app, s.user, s.terminal), &protocol.Frame{Exp: now.Add(maxSignalTime).UnixMilli(), Signal: &protocol.Signal{
		From: in.To, Term: in.ToTerm, Time: now.UnixMilli(), Body: body, To: s.user, ToTerm: s.terminal,
	}}, 1)
}

// signalTopics are where a signal goes: nowhere if whom it is for is not online, and
// not back to where it comes from.
func (h *Hub) signalTopics(s *session, in *protocol.Signal) (topics []string) {
	switch {
	case in.ToTerm != "":
		if (in.To != s.user || in.ToTerm != s.terminal) && h.table.find(in.To, in.ToTerm) != nil {
			topics = append(topics, protocol.TopicToTerminal(h.app, in.To, in.ToTerm))
		}
	case in.To == s.user:
		for _, t := range h.table.others(s.user, s.terminal) {
			topics = append(topics, protocol.TopicToTerminal(h.app, s.user, t))
		}
	case h.table.online(in.To):
		topics = append(topics, protocol.TopicTo(h.app, in.To))
	}
	return topics
}

// getInvitations lists what is open for the caller.
func (h *Hub) getInvitations(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.InvitationsResponse, err error) {
	res.Time, res.Invitations = c.now.UnixMilli(), []protocol.Invitation{}
	open, err := c.tx.OpenFor(ctx, c.App, c.User, protocol.MaxOpenInvites)
	if err != nil {
		return res, err
	}
	for _, i := range open {
		if i.Until > 0 && c.now.UnixMilli() >= i.Until {
			continue // the timer has not come by yet
		}
		x, ok, err := c.describe(ctx, i)
		if err != nil {
			return res, err
		}
		if ok {
			res.Invitations = append(res.Invitations, x)
		}
	}
	return res, nil
}

// describe says an invitation; false: its first step is not in the log any more.
func (c Caller) describe(ctx context.Context, i store.Invite) (out protocol.Invitation, ok bool, err error) {
	entries, err := c.tx.Entries(ctx, i.Log, i.Seq-1, i.Seq, 1, maxRangeBytes)
	if err != nil || len(entries) != 1 || entries[0].Kind != protocol.EntrySignaling {
		return out, false, err
	}
	s, _, err := protocol.DecodeSignaling(entries[0].Body)
	if err != nil {
		return out, false, err
	}
	invitees, err := c.tx.Invitees(ctx, c.App, i.ID)
	if err != nil {
		return out, false, err
	}
	out = protocol.Invitation{
		InviteID: i.ID, GroupID: i.Group, Inviter: i.Inviter, Terminal: i.Terminal, Data: s.Data, CreatedAt: i.Made, EndsAt: i.Until,
		InviteeList: []string{}, Accepted: []string{},
	}
	for _, x := range invitees {
		out.InviteeList = append(out.InviteeList, x.User)
		if x.Answer == protocol.SignalingAccept {
			out.Accepted = append(out.Accepted, x.User)
		}
	}
	return out, true, nil
}
