package chaos

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// secure has the hub listen to the network, so that it speaks TLS, and returns
// its authority's certificate.
func (h *house) secure() (ca string) {
	h.t.Helper()
	must(h.t, h.hub.Stop())
	_, port, err := net.SplitHostPort(h.hub.MQTT)
	must(h.t, err)
	for i, arg := range h.hub.Args {
		if arg == "--mqtt" {
			h.hub.Args[i+1] = net.JoinHostPort("0.0.0.0", port)
		}
	}
	h.startHub()
	return filepath.Join(h.hub.Data, "ca.crt")
}

func (h *house) secureActor(name string, args ...string) *actor {
	a := h.idle(name, name, args...)
	for i, arg := range a.board.Args {
		if arg == "--hub" {
			a.board.Args[i+1] = "mqtts://" + a.proxy.Addr()
		}
	}
	a.start()
	a.follow()
	return a
}

// TestTLS: a hub that listens to the network speaks TLS with a certificate of its
// own authority; a board with that authority's certificate logs in, one without
// it does not, and says why.
func TestTLS(t *testing.T) {
	h := newHouse(t, "")
	ca := h.secure()
	door, indoor := h.secureActor("door", "--ca", ca), h.secureActor("indoor", "--ca", ca)
	door.awaitLink("up")
	indoor.awaitLink("up")
	door.send("indoor", "over TLS")
	indoor.await("the message", func(ev []event) bool { return len(texts(ev)) == 1 })

	stranger := h.secureActor("stranger")
	h.poll("the stranger's refusal", func() bool {
		e := stranger.status().LastError
		return e != nil && strings.Contains(e.Msg, "certificate")
	})
	if st := stranger.status(); st.LoginStatus != protocol.LoggingIn {
		t.Errorf("login status %d", st.LoginStatus)
	}
}
