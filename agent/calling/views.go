package calling

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/herald-im/herald/protocol"
)

// maxViews is how many pages may look at one board's pictures at a time.
const maxViews = 16

// views are the pictures of others that are shown in pages.
type views struct {
	mu   sync.Mutex
	open map[string]openView
}

type openView struct {
	user string
	View // nil: it is being made
}

// place keeps a place for a view; false: there are too many.
func (v *views) place(user string) (id string, ok bool) {
	id = rand.Text()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.open) >= maxViews {
		return "", false
	}
	if v.open == nil {
		v.open = make(map[string]openView)
	}
	v.open[id] = openView{user: user}
	return id, true
}

// put keeps a view in its place until it ends; false: it has ended while it was made.
func (v *views) put(id, user string, w View) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.open[id]
	if ok {
		v.open[id] = openView{user, w}
	}
	return ok
}

// end ends a view of a user; false: there is none of that id.
func (v *views) end(user, id string) bool {
	v.mu.Lock()
	w, ok := v.open[id]
	ok = ok && w.user == user
	if ok {
		delete(v.open, id)
	}
	v.mu.Unlock()
	if w.View != nil && ok {
		w.Close()
	}
	return ok
}

// endOf ends all views of a user.
func (v *views) endOf(user string) {
	v.mu.Lock()
	var ended []View
	for id, w := range v.open {
		if w.user != user {
			continue
		}
		if delete(v.open, id); w.View != nil {
			ended = append(ended, w)
		}
	}
	v.mu.Unlock()
	for _, w := range ended {
		w.Close()
	}
}

// ViewRemote shows somebody in the call to a viewer that made an SDP offer.
func (m *Machine) ViewRemote(ctx context.Context, user, offer string) (id, answer string, err error) {
	p, err := get(ctx, m, func() (Peer, error) {
		x, err := m.shown(user)
		switch {
		case err != nil:
			return nil, err
		case x.peer == nil || x.state != connected:
			return nil, protocol.Errorf(protocol.CodeCallWrongState, "%s is not connected yet", user)
		}
		return x.peer, nil
	})
	if err != nil {
		return "", "", err
	}
	return m.show(ctx, user, func(ctx context.Context) (View, error) { return p.View(ctx, offer) })
}

// ViewSelf shows the board's own picture to a viewer that made an SDP offer.
func (m *Machine) ViewSelf(ctx context.Context, offer string) (id, answer string, err error) {
	return m.show(ctx, "", func(ctx context.Context) (View, error) { return m.media.ViewSelf(ctx, offer) })
}

// show keeps a view that make makes until it ends. Its place is taken first: each view that is made uses up a connection,
// and calls need some too.
func (m *Machine) show(ctx context.Context, user string, make func(context.Context) (View, error)) (id, answer string, err error) {
	id, ok := m.views.place(user)
	if !ok {
		return "", "", protocol.Errorf(protocol.CodeNetReqCountLimit, "%d pictures are shown already", maxViews)
	}
	w, err := make(ctx)
	if err != nil {
		m.views.end(user, id)
		return "", "", err
	}
	if !m.views.put(id, user, w) {
		w.Close()
		return "", "", protocol.Errorf(protocol.CodeCallWrongState, "the view was ended while it was made")
	}
	m.async(func(ctx context.Context) func() {
		select {
		case <-w.Done():
		case <-ctx.Done():
		}
		m.views.end(user, id)
		return nil
	})
	return id, w.Answer(), nil
}

// EndView ends a view; false: there is none of that id.
func (m *Machine) EndView(user, id string) bool { return m.views.end(user, id) }
