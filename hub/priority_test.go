package hub

import (
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// TestPriorityOfWhatIsNotKept: a message for those who are online, and one of a live
// room, is judged by its priority and arrives with it.
func TestPriorityOfWhatIsNotKept(t *testing.T) {
	now := time.Now() // stands still: all of it is said in one second
	r := newRig(t, sqlite(t), func(c *Config) { c.GroupRate, c.Now = 4, func() time.Time { return now } })
	ann, bob := r.online("ann", "t"), r.online("bob", "t")
	ann.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
	bob.mustCall("im.joinGroup", join("g"))
	arrives := func(group string, want uint8) {
		t.Helper()
		f := bob.until(func(f *protocol.Frame) bool { return f.Signal != nil && f.Signal.Rooms == nil && f.Signal.Kind == 0 })
		if f.Signal.Group != group || f.Signal.Priority != want {
			t.Errorf("%+v arrives, want priority %d", *f.Signal, want)
		}
	}
	online := func(priority uint8, number uint64) protocol.Code {
		return ann.call("device.sendOnline", protocol.SendOnlineRequest{
			GroupID: "g", Priority: priority, Message: text("x"), IDEpoch: 1, IDNumber: protocol.FirstIDNumber + number,
		}, nil)
	}
	for i, c := range []struct {
		priority uint8
		code     protocol.Code
	}{
		{protocol.PriorityLow, 0}, {protocol.PriorityLow, 0}, {protocol.PriorityLow, 0}, {protocol.PriorityLow, protocol.CodeSvrGroupSendMsgFreqLimit},
		{protocol.PriorityDefault, 0}, {protocol.PriorityDefault, protocol.CodeSvrGroupSendMsgFreqLimit},
		{protocol.PriorityHigh, 0}, {protocol.PriorityHigh, protocol.CodeSvrGroupSendMsgFreqLimit},
	} {
		if code := online(c.priority, uint64(i)); code != c.code {
			t.Errorf("message %d, priority %d: code %d, want %d", i+1, c.priority, code, c.code)
		} else if code == 0 {
			arrives("g", c.priority)
		}
	}
	if code := online(protocol.MaxPriority+1, 99); code != protocol.CodeInvalidParameters {
		t.Errorf("a priority that there is not: code %d", code)
	}
	ann.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
	bob.mustCall("im.joinGroup", join("room"))
	g, err := r.store.Group(t.Context(), r.app, "room")
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.live[protocol.TopicLive(r.app, "room", g.LiveEpoch)] = []*term{bob}
	r.mu.Unlock()
	it := toGroup("room", "x")
	it.Priority = protocol.PriorityLow
	if a := ann.append(it); a[0].Code != 0 {
		t.Fatal(a)
	}
	arrives("room", protocol.PriorityLow)
}
