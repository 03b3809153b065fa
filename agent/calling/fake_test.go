package calling

import (
	"context"
	"fmt"
	"sync"

	"github.com/herald-im/herald/protocol"
)

// network is what the fake media connect over.
type network struct {
	mu     sync.Mutex
	boards int
	next   int
	peers  map[string]*fakePeer // by SDP
	cut    bool
	open   int // peers that are not closed
	made   int // peers in all
}

func newNetwork() *network { return &network{peers: make(map[string]*fakePeer)} }

// setCut cuts the network, or mends it. Peers notice.
func (n *network) setCut(cut bool) {
	n.mu.Lock()
	n.cut = cut
	var all []*fakePeer
	for _, p := range n.peers {
		if p.other != nil && !p.closed {
			all = append(all, p)
		}
	}
	n.mu.Unlock()
	if cut {
		for _, p := range all {
			p.say(PeerDisconnected)
		}
	}
}

// fakeMedia stands in for camera, microphone, speaker and pion.
type fakeMedia struct {
	net *network

	mu       sync.Mutex
	begun    int
	hold     chan struct{} // Begin waits for it; nil: it does not
	fail     error
	none     bool // there is no camera
	broken   bool // what the camera is told fails
	front    bool
	camera   bool
	muted    bool
	handFree bool
}

func (m *fakeMedia) Begin(context.Context, bool) error {
	m.mu.Lock()
	m.begun++
	hold, err := m.hold, m.fail
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return err
}

func (m *fakeMedia) End() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun--
}

func (m *fakeMedia) used() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begun
}

func (m *fakeMedia) Connect(c Connecting) (Peer, error) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.net.open++
	m.net.made++
	return &fakePeer{net: m.net, c: c, calls: make(chan PeerState, 64), done: make(chan struct{})}, nil
}

func (m *fakeMedia) SetCamera(front, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.none && on || m.broken {
		return errNoCamera
	}
	m.front, m.camera = front, on
	return nil
}

func (m *fakeMedia) SetMute(muted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.muted = muted
}

func (m *fakeMedia) SetHandsFree(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handFree = on
}

func (m *fakeMedia) ViewSelf(context.Context, string) (View, error) {
	return nil, fmt.Errorf("nothing to see")
}

func (m *fakeMedia) Level() int { return 7 }
func (m *fakeMedia) Figures() (*protocol.CallCamera, *protocol.CallSound) {
	return &protocol.CallCamera{Device: "front", Streams: []protocol.CallStream{}}, &protocol.CallSound{Echo: "off"}
}
func (m *fakeMedia) NetworkChanged(func()) {}

// fakePeer connects with the peer whose SDP it is given.
type fakePeer struct {
	net    *network
	c      Connecting
	calls  chan PeerState
	done   chan struct{}
	once   sync.Once
	sdp    string
	other  *fakePeer
	closed bool

	servers []protocol.ICEServer // that it was given last
}

// say calls back, in order, on a goroutine of the peer.
func (p *fakePeer) say(s PeerState) {
	p.once.Do(func() {
		go func() {
			defer close(p.done)
			for s := range p.calls {
				p.c.State(s)
			}
		}()
	})
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if !p.closed {
		p.calls <- s
	}
}

func (p *fakePeer) describe() string {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.net.next++
	p.sdp = fmt.Sprintf("fake %d", p.net.next)
	p.net.peers[p.sdp] = p
	return p.sdp
}

func (p *fakePeer) Offer(context.Context) (string, error) { return p.describe(), nil }

func (p *fakePeer) Restart(context.Context) (string, error) { return p.describe(), nil }

func (p *fakePeer) Answer(_ context.Context, offer string) (string, error) {
	p.net.mu.Lock()
	p.other = p.net.peers[offer]
	p.net.mu.Unlock()
	if p.other == nil {
		return "", fmt.Errorf("no such offer")
	}
	p.c.Candidate("candidate")
	return p.describe(), nil
}

func (p *fakePeer) Accept(answer string) error {
	p.net.mu.Lock()
	p.other = p.net.peers[answer]
	cut := p.net.cut
	p.net.mu.Unlock()
	if p.other == nil {
		return fmt.Errorf("no such answer")
	}
	if !cut {
		p.say(PeerConnected)
		p.other.say(PeerConnected)
	}
	return nil
}

func (p *fakePeer) AddCandidate(string) error { return nil }

func (p *fakePeer) SetServers(servers []protocol.ICEServer) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.servers = servers
	return nil
}

func (p *fakePeer) Stats() PeerStats { return PeerStats{Level: 9, Path: "host/host"} }

func (p *fakePeer) View(context.Context, string) (View, error) {
	return nil, fmt.Errorf("nothing to see")
}

func (p *fakePeer) Close() {
	p.net.mu.Lock()
	if p.closed {
		p.net.mu.Unlock()
		return
	}
	p.closed = true
	p.net.open--
	close(p.calls)
	p.net.mu.Unlock()
	p.once.Do(func() { close(p.done) })
	<-p.done
}
