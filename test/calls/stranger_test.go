package calls

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

// stranger is an account with a good UserSig whose terminal says what it likes.
type stranger struct {
	h              *house
	app            protocol.AppID
	user, terminal string
	boot           uint64
	conn           mqtt.Client
	overheard      atomic.Int64 // frames with messages or signals
}

func (h *house) stranger(user string) *stranger {
	h.t.Helper()
	sig, err := h.hub.UserSig(h.ctx, user)
	if err != nil {
		h.t.Fatal(err)
	}
	claims, err := usersig.Inspect(sig)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &stranger{h: h, app: protocol.AppID(claims.AppID), user: user, terminal: "raw", boot: uint64(time.Now().UnixNano())}
	welcome := make(chan struct{}, 1)
	s.conn = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + h.hub.MQTT).SetProtocolVersion(4).
		SetClientID(protocol.ClientID(s.app, user, s.terminal)).SetUsername(protocol.Username(s.app, user)).SetPassword(sig).
		SetAutoReconnect(false).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		f, err := protocol.DecodeFrame(m.Payload())
		switch {
		case err == nil && f.Welcome != nil:
			select {
			case welcome <- struct{}{}:
			default:
			}
		case err != nil || f.Signal != nil || f.Push != nil:
			s.overheard.Add(1)
		}
	}))
	s.wait(s.conn.Connect())
	h.t.Cleanup(func() { s.conn.Disconnect(0) })
	s.wait(s.conn.Subscribe(protocol.TopicToTerminal(s.app, user, s.terminal), 1, nil))
	s.send(&protocol.Frame{Hello: &protocol.Hello{Version: protocol.Version, Platform: s.terminal}})
	select {
	case <-welcome:
	case <-time.After(patience):
		h.t.Fatalf("%s: no welcome", user)
	}
	return s
}

func (s *stranger) wait(token mqtt.Token) {
	s.h.t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		s.h.t.Fatalf("%s: %v", s.user, token.Error())
	}
}

func (s *stranger) send(f *protocol.Frame) {
	s.h.t.Helper()
	f.Boot = s.boot
	b, err := protocol.EncodeFrame(f)
	if err != nil {
		s.h.t.Fatal(err)
	}
	s.wait(s.conn.Publish(protocol.TopicIn(s.app, s.user, s.terminal), 1, false, b))
}

// counter is a figure of the hub's /metrics; 0 if it is not there yet.
func (h *house) counter(name string) int {
	h.t.Helper()
	return int(h.metrics("http://"+h.hub.HTTP, http.DefaultTransport)[name])
}

// heard are the events that are not forgotten yet, without what comes all the time.
func (b *board) heard() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if !strings.HasPrefix(e, "UserVoiceVolume ") {
			out = append(out, e)
		}
	}
	return out
}

// Whoever is not in a call cannot speak in it and hears nothing of it, although he has
// an account and knows the call's name; nor can he go past the hub.
func TestStrangerInCall(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	s := h.stranger("mallory")
	for _, filter := range []string{"#", protocol.TopicTo(s.app, "indoor"), strings.Replace(protocol.TopicTo(s.app, "indoor"), "indoor", "+", 1)} {
		token := s.conn.Subscribe(filter, 1, nil)
		if !token.WaitTimeout(patience) {
			t.Fatalf("no answer to a subscription to %s", filter)
		}
		if granted := token.(*mqtt.SubscribeToken).Result()[filter]; granted != 0x80 {
			t.Errorf("a subscription to %s is granted: %d", filter, granted)
		}
	}
	h.connect(door, indoor)
	call := door.call()
	var before [2]int
	for i, b := range []*board{door, indoor} {
		before[i] = len(b.heard())
	}

	const uninvited, handedOn = `herald_hub_dropped_frames_total{reason="uninvited"}`, "herald_hub_signals_total"
	dropped := h.counter(uninvited)
	sent := 0
	for _, kind := range []protocol.PeeringKind{
		protocol.PeeringJoin, protocol.PeeringOffer, protocol.PeeringAnswer, protocol.PeeringCandidates, protocol.PeeringMedia, protocol.PeeringLeave,
	} {
		for _, to := range []string{"door", "indoor"} {
			body, err := protocol.Marshal(protocol.Peering{
				Kind: kind, Inviter: call.Inviter, Room: call.RoomID, Session: 1, Round: 1, SDP: "v=0\r\n", Reason: "mallory was here",
			})
			if err != nil {
				t.Fatal(err)
			}
			// He also says that he is the other one of the two.
			from := map[string]string{"door": "indoor", "indoor": "door"}[to]
			s.send(&protocol.Frame{Signal: &protocol.Signal{From: from, To: to, Body: body}})
			sent++
		}
	}
	for end := time.Now().Add(patience); h.counter(uninvited) < dropped+sent; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the hub refused %d of %d signals and handed on %d", h.counter(uninvited)-dropped, sent, h.counter(handedOn))
		}
	}
	if out := h.hub.Output(); !strings.Contains(out, "not invited to the call") || !strings.Contains(out, "mallory") {
		t.Error("the hub says nothing of it")
	}

	// A frame laid at the board's own door: the broker lets nobody else do that. It
	// may end the connection, so what the publish says does not count.
	body, err := protocol.Marshal(protocol.Peering{Kind: protocol.PeeringLeave, Inviter: call.Inviter, Room: call.RoomID})
	if err != nil {
		t.Fatal(err)
	}
	frame, err := protocol.EncodeFrame(&protocol.Frame{Signal: &protocol.Signal{From: "door", Time: time.Now().UnixMilli(), To: "indoor", Body: body}})
	if err != nil {
		t.Fatal(err)
	}
	s.conn.Publish(protocol.TopicTo(s.app, "indoor"), 1, false, frame).WaitTimeout(time.Second)

	h.picturesAfter(door, indoor)
	for i, b := range []*board{door, indoor} {
		if c := b.call(); c.State != protocol.CallConnected || c.RoomID != call.RoomID || len(c.Users) != 1 || c.Users[0].UserID == "mallory" {
			t.Errorf("%s: %+v", b.User, c)
		}
		if e := b.heard(); len(e) != before[i] {
			t.Errorf("%s: events came of it: %q", b.User, e)
		}
	}
	h.hangup(door, indoor)
	if n := s.overheard.Load(); n != 0 {
		t.Errorf("%d frames came to a stranger", n)
	}
}
