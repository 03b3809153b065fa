package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

func TestEventLines(t *testing.T) {
	at := noon.Unix() - 3600
	indoor := protocol.UserInfo{UserID: "indoor"}
	for _, c := range []struct {
		o    protocol.Occurrence
		want string
	}{
		{occur(t, protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: "hello", Sender: indoor, UserID: "indoor", Timestamp: at}), `11:00:00  indoor → me  "hello"`},
		{occur(t, protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: `say "hi"\`, Sender: protocol.UserInfo{UserID: "door"}, UserID: "indoor", IsSelf: true, Timestamp: at - 86400}), `2026-07-29 11:00:00  me → indoor  "say \"hi\"\\"`},
		{occur(t, protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: "\x1b[31mred\a\r\n\u009b2J\u202etxt\x7f", Sender: indoor, Timestamp: at}), `11:00:00  indoor → me  "\x1b[31mred\a\r\n\u009b2J\u202etxt\x7f"`},
		{occur(t, protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: "日本 👩‍👩‍👧 ünï", Sender: indoor, Timestamp: at}), `11:00:00  indoor → me  "日本 👩‍👩‍👧 ünï"`},
		{occur(t, protocol.OnRecvC2CCustomMessage, protocol.C2CCustomEvent{CustomData: "x", Sender: indoor, Timestamp: at}), `11:00:00  indoor → me  custom "x"`},
		{occur(t, protocol.OnRecvGroupTextMessage, protocol.GroupTextEvent{GroupID: "house", Text: "x", Sender: indoor, Timestamp: at}), `11:00:00  indoor → group house  "x"`},
		{occur(t, protocol.OnRecvGroupCustomMessage, protocol.GroupCustomEvent{GroupID: "house", CustomData: "x", IsSelf: true, Timestamp: at}), `11:00:00  me → group house  custom "x"`},
		{occur(t, protocol.OnMessageStatusChanged, protocol.MessageStatusEvent{MsgID: "m-1", Status: 1}), "12:00:00  message m-1 sent"},
		{occur(t, protocol.OnMessageStatusChanged, protocol.MessageStatusEvent{MsgID: "m-1", Status: 2, Code: 20003, Msg: "no such account"}), "12:00:00  message m-1 not sent: no such account (code 20003)"},
		{occur(t, protocol.OnConnecting, protocol.Empty{}), "12:00:00  link: connecting"},
		{occur(t, protocol.OnConnectSuccess, protocol.Empty{}), "12:00:00  link: up"},
		{occur(t, protocol.OnConnectFailed, protocol.Error{Code: 9508, Msg: "refused"}), "12:00:00  link: down: refused (code 9508)"},
		{occur(t, protocol.OnKickedOffline, protocol.Error{Code: 6208, Msg: "elsewhere"}), "12:00:00  login ended: elsewhere (code 6208)"},
		{occur(t, protocol.OnReceiveNewInvitation, protocol.InvitationEvent{InviteID: "I", Inviter: "door", InviteeList: []string{"a", "b"}, Data: "x"}), `12:00:00  door invites a, b (I)  "x"`},
		{occur(t, protocol.OnInviteeAccepted, protocol.InviteeEvent{InviteID: "I", Invitee: "a", Data: "x"}), `12:00:00  a accepts (I)  "x"`},
		{occur(t, protocol.OnInviteeRejected, protocol.InviteeEvent{InviteID: "I", Invitee: "a", Data: "x"}), `12:00:00  a rejects (I)  "x"`},
		{occur(t, protocol.OnInvitationCancelled, protocol.CancelledEvent{InviteID: "I", Inviter: "door", Data: "x"}), `12:00:00  door cancels (I)  "x"`},
		{occur(t, protocol.OnInvitationTimeout, protocol.InvitationTimeoutEvent{InviteID: "I", InviteeList: []string{"a", "b"}}), "12:00:00  no answer of a, b (I)"},
		{occur(t, protocol.OnStoreReplaced, protocol.StoreReplacedEvent{Reason: "bad page", SetAside: "/f"}), "12:00:00  the store was damaged and is replaced: bad page; the old one is /f"},
		{occur(t, protocol.OnMediaChanged, protocol.MediaChangedEvent{Kind: "camera", State: "failed", Error: "it was pulled out"}), "12:00:00  the camera is failed: it was pulled out"},
		{occur(t, protocol.OnMediaChanged, protocol.MediaChangedEvent{Kind: "camera", State: "running"}), "12:00:00  the camera is running"},
		{occur(t, protocol.OnMemberEnter, protocol.MembersEvent{GroupID: "house", MemberList: []protocol.GroupMemberInfo{{UserID: "a"}, {UserID: "b"}}}), "12:00:00  group house: a, b joined"},
		{occur(t, protocol.OnMemberKicked, protocol.MembersEvent{GroupID: "house", OpUser: &protocol.GroupMemberInfo{UserID: "door"}, MemberList: []protocol.GroupMemberInfo{{UserID: "a"}}, Reason: "late"}), `12:00:00  group house: a put out by door  "late"`},
		{occur(t, protocol.OnMemberInfoChanged, protocol.MembersChangedEvent{GroupID: "house", InfoList: []protocol.MemberChangeInfo{{UserID: "a", MuteTime: new(int64(90))}, {UserID: "b", MuteTime: new(int64)}, {UserID: "c", NameCard: new("Cee")}}}), `12:00:00  group house: a may not speak for 1m30s, b may speak again, c is called "Cee"`},
		{occur(t, protocol.OnGroupInfoChanged, protocol.GroupChangedEvent{GroupID: "house", OpUser: &protocol.GroupMemberInfo{}, GroupInfo: protocol.GroupChanged{Owner: "a", GroupChange: protocol.GroupChange{GroupName: new("Home"), AllMuted: new(true)}}}), `12:00:00  group house: name "Home", owner a, ordinary members may not speak by the operator`},
		{occur(t, protocol.OnReceiveRESTCustomData, protocol.GroupNoticeEvent{GroupID: "house", CustomData: "x"}), `12:00:00  group house: the operator says "x"`},
		{occur(t, protocol.OnApplicationProcessed, protocol.ApplicationProcessedEvent{GroupID: "house", OpUser: protocol.GroupMemberInfo{UserID: "door"}, IsAgreeJoin: true}), `12:00:00  group house: door lets you in`},
		{occur(t, protocol.OnApplicationProcessed, protocol.ApplicationProcessedEvent{GroupID: "house"}), `12:00:00  group house: the operator refuses`},
		{occur(t, protocol.OnGroupRecycled, protocol.OneGroupEvent{GroupID: "house", OpUser: &protocol.GroupMemberInfo{}}), `12:00:00  group house is ended, as nothing was said in it for long`},
		{occur(t, protocol.OnGroupDismissed, protocol.OneGroupEvent{GroupID: "house", OpUser: &protocol.GroupMemberInfo{}}), `12:00:00  group house is dismissed by the operator`},
		{occur(t, protocol.OnFriendApplicationListAdded, protocol.FriendApplicationsEvent{ApplicationList: []protocol.FriendApplication{{UserID: "a", AddWording: "hi", Type: protocol.ApplicationReceived}}}), `12:00:00  friends: a wants to be a friend  "hi"`},
		{occur(t, protocol.OnBlackListDeleted, protocol.FriendsGoneEvent{UserIDList: []string{"a"}}), "12:00:00  blacklist: a taken off"},
	} {
		sh := newShell("", nil, nil)
		if got := sh.eventLine(client.Event{Name: c.o.Info.Name, Data: c.o.JSON}); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	sh := newShell("", nil, nil)
	for _, c := range []struct{ name, data, want string }{
		{"gap", `{"from":3,"to":9,"reason":"trimmed"}`, "12:00:00  gap: the events 3 to 9 are not kept any more"},
		{"gap", `{"from":300,"to":0,"reason":"replaced"}`, "12:00:00  gap: the daemon has begun a new journal"},
		{"im.onSomethingNew", `{"a":1}`, `12:00:00  im.onSomethingNew {"a":1}`},
		{"im.onRecvC2CTextMessage", "\x1b{", `12:00:00  im.onRecvC2CTextMessage \x1b{`},
	} {
		if got := sh.eventLine(client.Event{Name: c.name, Data: json.RawMessage(c.data)}); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for _, e := range protocol.Events() { // none is shown as raw JSON
		if got := sh.eventLine(client.Event{Name: e.Name, Data: json.RawMessage("{}")}); strings.Contains(got, "{") {
			t.Errorf("%s: %s", e.Name, got)
		}
	}
}

// What a terminal would obey is escaped in JSON too, and stays the same JSON.
func TestSafeJSON(t *testing.T) {
	in, err := json.Marshal("a\u009b\u202e\u007f\u2028\U000e0041\u00ad日👩‍👧\\")
	if err != nil {
		t.Fatal(err)
	}
	out := safeJSON(string(in))
	if strings.ContainsAny(out, "\u009b\u202e\u007f\U000e0041") || !strings.Contains(out, "日👩‍👧") {
		t.Errorf("%+q", out)
	}
	var a, b string
	if json.Unmarshal(in, &a) != nil || json.Unmarshal([]byte(out), &b) != nil || a != b {
		t.Errorf("%+q became %+q", a, b)
	}
}

// follower runs "herald events" and gives its lines.
type follower struct {
	t         *testing.T
	out, errs *bufio.Reader
	cancel    context.CancelFunc
	code      chan int
}

func (d *daemon) follow(args ...string) *follower {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	out, outW := io.Pipe()
	errs, errW := io.Pipe()
	f := &follower{t: d.t, out: bufio.NewReader(out), errs: bufio.NewReader(errs), cancel: cancel, code: make(chan int, 1)}
	go func() {
		code := execute(ctx, append(args, "--socket", d.sock), newShell("", outW, errW))
		outW.Close()
		errW.Close()
		f.code <- code
	}()
	d.t.Cleanup(func() { cancel(); out.Close(); errs.Close() })
	return f
}

func (f *follower) expect(from *bufio.Reader, want string) {
	f.t.Helper()
	got, err := from.ReadString('\n')
	if err != nil || !strings.Contains(got, want) {
		f.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestEventsFollows(t *testing.T) {
	d := newDaemon(t)
	text := func(s string) protocol.Occurrence {
		return occur(t, protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: s, Sender: protocol.UserInfo{UserID: "indoor"}})
	}
	d.journal.append(text("old"))
	f := d.follow("events")
	f.expect(f.errs, "herald: connected to "+d.sock+" (version "+protocol.BuildVersion+", position 1)")
	d.journal.append(text("one"))
	f.expect(f.out, `indoor → me  "one"`)

	d.end()
	f.expect(f.errs, "herald: interrupted: the daemon has ended the stream; trying again")
	d.journal.append(text("two")) // while nobody listens
	d.start()
	f.expect(f.errs, "connected again")
	f.expect(f.out, `indoor → me  "two"`)
	f.cancel()
	if code := <-f.code; code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestEventsJSON(t *testing.T) {
	d := newDaemon(t)
	d.journal.moments = make(chan protocol.Occurrence, 1)
	d.journal.append(occur(t, protocol.OnStoreReplaced, protocol.StoreReplacedEvent{}))
	d.journal.append(occur(t, protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: "\u009b"}))
	f := d.follow("events", "--json", "--from", "1", "--listen", "simple,sdk")
	f.expect(f.errs, "connected")
	line, err := f.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, `{"pos":2,"event":"im.onRecvC2CTextMessage","data":{"eventType":"onRecvC2CTextMessage"`) || !strings.Contains(line, `\u009b`) {
		t.Errorf("%v %s", err, line)
	}
	d.journal.moments <- occur(t, protocol.OnConnecting, protocol.Empty{})
	f.expect(f.out, `{"pos":0,"event":"im.onConnecting","data":{"eventType":"onConnecting"}}`)
}

func TestSpansAndSizes(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3 * time.Hour: "3h00m", 49 * time.Hour: "2d01h"} {
		if got := span(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 32 << 20: "32.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	var b bytes.Buffer
	newShell("", &b, nil).columns(" ", [][]string{{"a", "ü", "x"}, {"bbb", "c", ""}})
	if b.String() != " a    ü  x\n bbb  c\n" {
		t.Errorf("%q", b.String())
	}
}
