package chaos

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// warned waits for a line of the hub's log at WARN with all the words.
func (h *house) warned(words ...string) {
	h.t.Helper()
	h.poll("the hub to warn of "+strings.Join(words, " "), func() bool {
		for line := range strings.Lines(h.hub.Output()) {
			found := strings.Contains(line, "level=WARN")
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return true
			}
		}
		return false
	})
}

// TestNeighbour: an account with a good UserSig reaches for what is others': it
// is refused, the operator reads of it, and the others notice nothing.
func TestNeighbour(t *testing.T) {
	h := newStreet(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	terminal := door.status().Terminal
	talk := h.talk(door, indoor)
	hello, err := protocol.EncodeFrame(&protocol.Frame{Boot: 1, Bye: &protocol.Bye{Code: protocol.CodeLoginKickedOffByOther}})
	must(t, err)

	t.Run("publishes", func(t *testing.T) {
		for _, topic := range []string{
			protocol.TopicIn(h.app, "door", terminal), protocol.TopicIn(h.app, "mallory", "other"),
			strings.Replace(protocol.TopicIn(h.app, "mallory", "m"), "/in/", "/in/0", 1),
			protocol.TopicTo(h.app, "door"), protocol.TopicToTerminal(h.app, "door", terminal), protocol.TopicTo(h.app, "mallory"),
			protocol.TopicLive(h.app, "room", 1), protocol.TopicConfig(h.app, "door"), protocol.TopicConfig(h.app, "@all"),
			protocol.TopicReported(h.app, "door"), "$SYS/broker/uptime", "$share/g/" + protocol.TopicTo(h.app, "door"), "a/b",
		} {
			m := h.stranger("mallory", "m")
			m.publish(topic, hello)
			m.awaitEnd()
			h.warned("publish denied", "mallory", topic)
		}
		talk.goesOn()
	})
	t.Run("subscribes", func(t *testing.T) {
		filters := []string{
			"#", "+", "+/+/+/+/+", "im/#", protocol.Root(h.app) + "/#", protocol.Root(h.app) + "/to/+", protocol.TopicTo(h.app, "+") + "/+",
			protocol.TopicTo(h.app, "door"), protocol.TopicToTerminal(h.app, "door", terminal), protocol.TopicToTerminal(h.app, "mallory", "other"),
			protocol.TopicTo(h.app, "mallory") + "/+", protocol.TopicTo(h.app, "mallory") + "/#",
			protocol.TopicIn(h.app, "door", terminal), protocol.TopicIn(h.app, "mallory", "m"), protocol.TopicConfig(h.app, "door"),
			protocol.TopicConfig(h.app, "@all"), protocol.TopicReported(h.app, "door"), protocol.TopicLive(h.app, "room", 1),
			"$SYS/#", "$share/g/" + protocol.TopicTo(h.app, "mallory"), "$share/g/#", "",
		}
		m := h.stranger("mallory", "m")
		for _, f := range filters {
			if code := m.subscribe(f); len(code) != 1 || code[0] != 0x80 {
				t.Errorf("the subscription of %q is granted with % x", f, code)
			}
			h.warned("subscribe denied", "mallory", f)
		}
		talk.goesOn()
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, f := range m.frames {
			if f.Heads == nil { // of its own, which is none
				t.Errorf("it got %+v", f)
			}
		}
	})
	t.Run("wills", func(t *testing.T) {
		for _, topic := range []string{
			protocol.TopicIn(h.app, "door", terminal), protocol.TopicTo(h.app, "door"), protocol.TopicConfig(h.app, "door"), "$SYS/x",
		} {
			k := h.login("mallory", "m")
			k.willTopic, k.will = topic, string(hello)
			m, code := h.knock(k)
			if code != 5 {
				t.Errorf("a will on %s is answered with code %d", topic, code)
			}
			m.close()
			h.warned("will denied", "mallory", topic)
		}
		talk.goesOn()
	})
	t.Run("names", func(t *testing.T) {
		good := h.login("mallory", "m")
		for _, k := range []knock{
			{client: protocol.ClientID(h.app, "door", terminal), name: good.name},
			{client: protocol.ClientID(h.app, "door", terminal), name: protocol.Username(h.app, "door")},
			{client: protocol.ClientID(h.app+1, "mallory", "m"), name: good.name},
			{client: protocol.ClientID(h.app, "mallory", "m-m"), name: good.name},
			{client: protocol.ClientID(h.app, "mallory", ""), name: good.name},
			{client: protocol.ClientID(h.app, "mallory", strings.Repeat("m", 17)), name: good.name},
			{client: good.client, name: "mallory"},
			{client: good.client, name: protocol.Username(h.app, "Mallory")},
			{client: good.client, name: "0" + good.name},
			{client: "", name: good.name},
			{client: "door", name: "door"},
		} {
			k.password = good.password
			m, code := h.knock(k)
			if code == 0 {
				t.Errorf("the login %q as %q is let in", k.client, k.name)
			}
			m.close()
		}
		talk.goesOn()
	})
	talk.unbroken()
	talk.end()
}

// TestTakeover: somebody with the account's UserSig logs in as the very terminal
// that is online, again and again. The board comes back each time and loses
// nothing.
func TestTakeover(t *testing.T) {
	h := newStreet(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	terminal := door.status().Terminal
	talk := h.talk(door, indoor)
	for range 10 {
		thief := h.stranger("door", terminal)
		thief.awaitEnd() // the board has taken its place back
		talk.goesOn()
	}
	talk.end()
}

// TestStolenNumbers: somebody with the account's UserSig sends as the board's
// terminal, with numbers as high as they go. The board can send after it.
func TestStolenNumbers(t *testing.T) {
	for _, epoch := range []uint32{math.MaxUint32, math.MaxUint32 - 500, 1 << 31, 1<<31 + 1500} {
		t.Run(fmt.Sprint(epoch), func(t *testing.T) {
			h := newStreet(t, "")
			door, indoor := h.actor("door"), h.actor("indoor")
			door.send("indoor", "before")
			terminal := door.status().Terminal
			must(t, door.board.Stop())
			thief := h.stranger("door", terminal)
			thief.send(&protocol.Frame{Append: &protocol.Append{Epoch: epoch, Base: 1 << 40, First: 1 << 40, Items: []protocol.Item{text("indoor", "stolen")}}})
			thief.frame("an answer", func(f *protocol.Frame) bool { return f.Acks != nil || f.Bye != nil })
			thief.close()
			for i := range 3 {
				door.start()
				door.send("indoor", fmt.Sprintf("after %d", i))
				door.awaitDrained()
				must(t, door.board.Stop())
			}
			indoor.await("what the board sent", func(ev []event) bool {
				got := slices.DeleteFunc(texts(ev), func(s string) bool { return s == "stolen" })
				return slices.Equal(got, []string{"before", "after 0", "after 1", "after 2"})
			})
		})
	}
}

// TestStrangeGroups: a groupId is any printable text, and none of it means
// anything to topics, logs or SQL.
func TestStrangeGroups(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { strangeGroups(t, "") })
	t.Run("postgres", func(t *testing.T) { strangeGroups(t, databases.Postgres(t)) })
}

func strangeGroups(t *testing.T, db string) {
	h := newHouse(t, db)
	door, indoor := h.actor("door"), h.actor("indoor")
	ids := []string{
		" ", "  two  spaces ", "#", "+", "/", "a/b/#", "../../etc/passwd", "$SYS/#", "$1", "?", "%s%n%d", `"`, "'", "`", `\`, "'; DROP TABLE entries; --",
		"x' OR '1'='1", "group:x", "c2c:door:indoor", "user:indoor", "<script>alert(1)</script>", "{}", "null", "~" + strings.Repeat("!", 47),
	}
	for i, id := range ids {
		kind := protocol.GroupMeeting
		if i%2 == 1 {
			kind = protocol.GroupAVChatRoom
		}
		_, err := client.Call(h.ctx, door.board.Client(), protocol.CreateGroup, protocol.CreateGroupRequest{GroupType: kind, GroupID: id, GroupName: "'\"\\"})
		must(t, err)
		_, err = client.Call(h.ctx, indoor.board.Client(), protocol.JoinGroup, protocol.JoinGroupRequest{GroupID: id})
		must(t, err)
		h.poll("the message to "+id, func() bool { // whoever has just joined a live room may not listen yet
			_, err := client.Call(h.ctx, door.board.Client(), protocol.SendGroupTextMessage, protocol.GroupTextRequest{GroupID: id, Text: "in " + id})
			must(t, err)
			indoor.mu.Lock()
			defer indoor.mu.Unlock()
			return slices.ContainsFunc(indoor.events, func(e event) bool { return e.str("groupId") == id && e.str("text") == "in "+id })
		})
	}
	for _, e := range indoor.journal() {
		if s := e.str("text"); s != "" && s != "in "+e.str("groupId") {
			t.Errorf("the group %q got %q", e.str("groupId"), s)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", 49), "a\x00b", "a\nb", "ä", "\x7f", "@TGS#mine"} {
		_, err := client.Call(h.ctx, door.board.Client(), protocol.CreateGroup, protocol.CreateGroupRequest{GroupType: protocol.GroupMeeting, GroupID: id, GroupName: "g"})
		if id != "" && err == nil { // for "" the hub makes one
			t.Errorf("there is a group %q now", id)
		}
	}
}
