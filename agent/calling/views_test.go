package calling

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// fakeView is a picture shown in no page.
type fakeView struct {
	done chan struct{}
	once sync.Once
}

func newFakeView() *fakeView              { return &fakeView{done: make(chan struct{})} }
func (v *fakeView) Answer() string        { return "answer" }
func (v *fakeView) Close()                { v.once.Do(func() { close(v.done) }) }
func (v *fakeView) Done() <-chan struct{} { return v.done }
func (v *fakeView) ended() (is bool) {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

func viewing(t *testing.T) *Machine {
	m := &Machine{posts: posts{ready: make(chan struct{}, 1)}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { m.cancel(); m.under.Wait() })
	return m
}

// However many pages ask at once, no more views are made than may be shown.
func TestViewsAreBounded(t *testing.T) {
	m := viewing(t)
	const pages = 4 * maxViews
	made, free, refused := make(chan *fakeView, pages), make(chan struct{}), make(chan error, pages)
	var asking sync.WaitGroup
	for range pages {
		asking.Go(func() {
			_, _, err := m.show(t.Context(), "", func(context.Context) (View, error) {
				v := newFakeView()
				made <- v
				<-free
				return v, nil
			})
			if err != nil {
				refused <- err
			}
		})
	}
	for range pages - maxViews {
		select {
		case err := <-refused:
			if e := protocol.AsError(err); e.Code != protocol.CodeNetReqCountLimit {
				t.Errorf("a page too many: %v", err)
			}
		case <-time.After(20 * time.Second):
			close(free)
			t.Fatalf("%d views are made at once", len(made))
		}
	}
	close(free)
	asking.Wait()
	if len(made) != maxViews || len(refused) != 0 {
		t.Fatalf("%d views were made, %d more refused", len(made), len(refused))
	}
	// One that ends gives its place up, and so does one that cannot be made.
	v := <-made
	v.Close()
	failed := errors.New("no such picture")
	for {
		_, _, err := m.show(t.Context(), "", func(context.Context) (View, error) { return nil, failed })
		if errors.Is(err, failed) {
			break // the place is given back by a goroutine of its own
		}
	}
	if _, _, err := m.show(t.Context(), "", func(context.Context) (View, error) { return newFakeView(), nil }); err != nil {
		t.Errorf("after one has failed: %v", err)
	}
}

// A view that is ended while it is made does not stay.
func TestViewEndedWhileMade(t *testing.T) {
	m := viewing(t)
	v := newFakeView()
	_, _, err := m.show(t.Context(), "indoor", func(context.Context) (View, error) {
		m.views.endOf("door")
		m.views.endOf("indoor")
		return v, nil
	})
	if err == nil || !v.ended() {
		t.Errorf("%v, ended %v", err, v.ended())
	}
	id, _, err := m.show(t.Context(), "indoor", func(context.Context) (View, error) { return newFakeView(), nil })
	if err != nil || m.EndView("door", id) || !m.EndView("indoor", id) || m.EndView("indoor", id) {
		t.Errorf("%v", err)
	}
}
