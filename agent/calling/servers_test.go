package calling

import (
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// look waits until what it sees in the board's loop is there.
func look(t *testing.T, b *board, what string, seen func() bool) {
	t.Helper()
	b.until(what, func() bool {
		ok, err := get(t.Context(), b.Machine, func() (bool, error) { return seen(), nil })
		if err != nil {
			t.Fatal(err)
		}
		return ok
	})
}

// A call that outlasts the credentials of its servers asks for others, and looks for a new path with them. Whoever logs in
// next has none of this account's.
func TestNewServersInACall(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor","type":1}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	door.state(protocol.CallConnected)
	indoor.state(protocol.CallConnected)

	server := func(name string) []protocol.ICEServer {
		return []protocol.ICEServer{{URLs: []string{"turn:" + name}, Username: name, Credential: "x"}}
	}
	for _, b := range []*board{door, indoor} {
		look(t, b, "the answer of the hub", func() bool { return !b.ice.until.IsZero() })
		look(t, b, "the loop", func() bool {
			b.ice.servers, b.ice.until = server("old"), time.Now().Add(-time.Second)
			return true
		})
		// The hub of this test has no relay, and says so.
		look(t, b, "another answer of the hub", func() bool { return len(b.ice.servers) == 0 && time.Now().Before(b.ice.until) })
		look(t, b, "the loop", func() bool { b.ice.servers = server("new"); return true })
	}
	door.posts.add(door.networkChanged)
	indoor.posts.add(indoor.networkChanged)
	for _, b := range []*board{door, indoor} {
		look(t, b, "a restart with the new servers", func() bool {
			c := b.Machine.call
			if c == nil {
				return false
			}
			p, ok := c.members[0].peer.(*fakePeer)
			if !ok {
				return false
			}
			p.net.mu.Lock()
			defer p.net.mu.Unlock()
			return len(p.servers) == 1 && p.servers[0].Username == "new"
		})
	}
	door.posts.add(door.loggedOut)
	look(t, door, "the loop without servers", func() bool { return len(door.ice.servers) == 0 && door.ice.until.IsZero() })
}

// Who answers faster than the hub names its servers uses them all the same: without
// them he may have no path.
func TestServersThatComeLate(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	asked := &fetching{done: make(chan struct{})}
	look(t, indoor, "the answer of the hub", func() bool { return !indoor.ice.until.IsZero() && indoor.ice.fetching == nil })
	look(t, indoor, "the loop", func() bool {
		indoor.ice = iceCache{fetching: asked, asked: time.Now().Add(time.Hour)}
		return true
	})
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	var p *fakePeer
	look(t, indoor, "a connection", func() (is bool) {
		p, is = indoor.Machine.call.members[0].peer.(*fakePeer)
		return is
	})
	asked.servers = []protocol.ICEServer{{URLs: []string{"turn:late"}}}
	close(asked.done)
	indoor.state(protocol.CallConnected)
	p.net.mu.Lock()
	if len(p.servers) != 1 || p.servers[0].URLs[0] != "turn:late" {
		t.Errorf("the servers are %+v", p.servers)
	}
	p.net.mu.Unlock()
	h.over(door, indoor)
}

// What one account has asked for is not the next one's.
func TestServersOfAnotherAccount(t *testing.T) {
	h := newHouse(t)
	door := h.board("door")
	look(t, door, "the answer of the hub", func() bool { return !door.ice.until.IsZero() && door.ice.fetching == nil })
	var asked *fetching
	look(t, door, "a question", func() bool {
		door.ice = iceCache{}
		door.fetchServers()
		asked = door.ice.fetching
		door.loggedOut()
		return true
	})
	<-asked.done
	look(t, door, "the loop", func() bool { return true })
	if !door.ice.until.IsZero() || door.ice.fetching != nil {
		t.Errorf("%+v", door.ice)
	}
}
