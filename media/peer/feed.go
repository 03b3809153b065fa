package peer

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/rtp"
)

// Source is something whose media a Peer or a Viewer can be sent: *VideoTracks, *AudioTrack or *RemoteTrack.
type Source interface {
	// choose gives the feed for an end that takes these codecs, nil if there is none.
	choose(can []Codec) *feed
	kind() Kind
}

// feed hands the packets of one stream to those who follow it.
type feed struct {
	codec    Codec
	keyframe func()      // asks the stream's encoder for a key frame; may be nil; must not block
	watched  func(n int) // told the number of followers when it becomes 0 or leaves 0; may be nil

	mu        sync.Mutex
	next      uint64
	senders   []*outgoing                // that send it
	followers atomic.Pointer[[]follower] // replaced as a whole, so that publish takes no lock
}

type follower struct {
	id  uint64
	get func(*rtp.Packet)
}

// Follow calls get with each packet from now on, until stop. get must return at once, and neither it nor who it gives the
// packet to may change the packet. A call may still be under way when stop returns.
func (f *feed) Follow(get func(*rtp.Packet)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.next
	f.next++
	f.set(append(slices.Clone(f.list()), follower{id, get}))
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.set(slices.DeleteFunc(slices.Clone(f.list()), func(o follower) bool { return o.id == id }))
	}
}

// join has a sender counted in when it is decided what the stream may take.
func (f *feed) join(o *outgoing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.senders = append(f.senders, o)
}

func (f *feed) leave(o *outgoing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.senders = slices.DeleteFunc(f.senders, func(x *outgoing) bool { return x == o })
}

func (f *feed) sending() []*outgoing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.senders)
}

func (f *feed) list() []follower {
	if p := f.followers.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *feed) set(list []follower) {
	before := len(f.list())
	f.followers.Store(&list)
	if f.watched != nil && (before == 0) != (len(list) == 0) {
		f.watched(len(list)) // under the lock, so that the last call tells the last number
	}
}

func (f *feed) publish(p *rtp.Packet) {
	for _, o := range f.list() {
		o.get(p)
	}
}

func (f *feed) askKeyframe() {
	if f.keyframe != nil {
		f.keyframe()
	}
}
