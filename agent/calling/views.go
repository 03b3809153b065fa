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
	View
}

// add keeps a view until it ends; false: there are too many.
func (v *views) add(user string, w View) (id string, ok bool) {
	id = rand.Text()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.open) >= maxViews {
		return "", false
	}
	if v.open == nil {
		v.open = make(map[string]openView)
	}
	v.open[id] = openView{user, w}
	return id, true
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
	if ok {
		w.Close()
	}
	return ok
}

// endOf ends all views of a user.
func (v *views) endOf(user string) {
	v.mu.Lock()
	var ended []View
	for id, w := range v.open {
		if w.user == user {
			ended = append(ended, w)
			delete(v.open, id)
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

// show keeps a view that make makes until it ends.
func (m *Machine) show(ctx context.Context, user string, make func(context.Context) (View, error)) (id, answer string, err error) {
	w, err := make(ctx)
	if err != nil {
		return "", "", err
	}
	id, ok := m.views.add(user, w)
	if !ok {
		w.Close()
		return "", "", protocol.Errorf(protocol.CodeNetReqCountLimit, "%d pictures are shown already", maxViews)
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
