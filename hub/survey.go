package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const (
	surveyBytes = 96 << 10 // of the entries and names in one frame of states, about
	// surveyLooks is how many entries one survey looks at before it leaves the rest
	// to the next.
	surveyLooks = 100_000
	// maxCount is how far back unread messages are counted in a log, in entries: an
	// account that only sends has never read anything, and all of it would be looked
	// at each time.
	maxCount = 10 * protocol.MaxUnread
)

// survey answers how conversations stand, from the connections that read.
func (h *Hub) survey(s *session, in *protocol.Survey) error {
	for _, it := range in.Items {
		if len(it.Log) > protocol.MaxLogName {
			h.drop(s.login, "survey", errors.New("a log with too long a name"))
			return nil
		}
	}
	h.metrics.surveys.Inc()
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	out := &protocol.States{ID: in.ID, Items: []protocol.State{}}
	// Head is to be true together with the rest, though others write meanwhile.
	err := h.store.Snapshot(ctx, func(v store.View) error {
		size, looks := 0, uint64(0)
		for _, it := range in.Items {
			if size > surveyBytes || looks > surveyLooks {
				break
			}
			state, looked, err := h.stand(ctx, v, s.user, it)
			if err != nil {
				return fmt.Errorf("%s: %w", it.Log, err)
			}
			looks += looked
			size += 128 + len(state.Log) + len(state.Name)
			if state.Last != nil {
				size += len(state.Last.Body)
			}
			out.Items = append(out.Items, state)
		}
		return nil
	})
	if err != nil { // the terminal asks again
		h.log.Warn("survey not answered", "user", s.user, "terminal", s.terminal, "err", err)
		return nil
	}
	f := &protocol.Frame{States: out}
	people := crew{most: surveyBytes}
	for _, st := range out.Items {
		people.add(h.peopleOfState(ctx, s.user, st)...)
	}
	f.People = people.list
	h.publish(protocol.TopicToTerminal(h.app, s.user, s.terminal), f, 1)
	return nil
}

// peopleOfState are those whom a conversation is with, and whom its last entry is
// about.
func (h *Hub) peopleOfState(ctx context.Context, user string, st protocol.State) (out []protocol.Person) {
	if st.Last != nil {
		out = h.peopleIn(ctx, st.Log, st.Last)
	}
	if kind, x, y := protocol.ParseLog(st.Log); kind == protocol.LogC2C {
		out = append(out, h.peopleOf(ctx, "", []string{protocol.Peer(x, y, user)})...)
	}
	return out
}

// stand says how a conversation stands, and at how many entries it has looked for
// that, at most.
func (h *Hub) stand(ctx context.Context, v store.View, user string, it protocol.SurveyItem) (out protocol.State, looked uint64, err error) {
	out.Log = it.Log
	kind, x, y := protocol.ParseLog(it.Log)
	if kind != protocol.LogC2C && kind != protocol.LogGroup {
		out.Gone = true
		return out, 0, nil
	}
	r, err := v.Reader(ctx, h.app, user, it.Log)
	if errors.Is(err, store.ErrNotFound) {
		out.Gone = true
		return out, 0, nil
	}
	if err != nil {
		return out, 0, err
	}
	out.Head, out.Read, out.Cleared = r.Head, r.Read, r.Cleared
	counts := true
	if kind == protocol.LogGroup {
		g, err := v.Group(ctx, h.app, x)
		if ignore(err, store.ErrNotFound) != nil {
			return out, 0, err
		}
		m, err := v.Member(ctx, h.app, x, user)
		if ignore(err, store.ErrNotFound) != nil {
			return out, 0, err
		}
		out.Type, out.Name, out.Face, out.RecvOpt = g.Type, g.Name, g.Face, m.RecvOpt
		counts = g.Type != protocol.GroupMeeting && m.RecvOpt != protocol.RecvNot
	} else if out.PeerRead, err = v.ReadUpTo(ctx, h.app, protocol.Peer(x, y, user), r.ID); err != nil {
		return out, 0, err
	}
	before := it.Before
	if before == 0 {
		before = r.Head + 1
	}
	low, end := scan(r, before)
	if low >= end {
		return out, 1, nil
	}
	last, _, err := v.Page(ctx, h.app, user, r.ID, low, end, 1, maxRangeBytes)
	if err != nil {
		return out, 0, err
	}
	looked = end - low
	if len(last) > 0 {
		out.Last = &last[0]
		looked = end - last[0].Seq
	}
	if !counts {
		return out, looked, nil
	}
	low = max(r.Least(), r.Read+1)
	if end > maxCount {
		low = max(low, end-maxCount)
	}
	if low < end {
		out.Unread, err = v.Unread(ctx, h.app, user, r.ID, low, end, protocol.MaxUnread)
		looked += end - low
	}
	return out, looked, err
}
