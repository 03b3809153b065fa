package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// api calls a method of a board and tells the code that it is refused with.
func api[Req, Res any](t *testing.T, a *actor, m protocol.Method[Req, Res], req Req) (res Res, code protocol.Code) {
	t.Helper()
	res, err := client.Call(a.h.ctx, a.board.Client(), m, req)
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		return res, e.Code
	case err != nil:
		t.Fatal(err)
	}
	return res, 0
}

// made makes a text and sends it.
func (a *actor) made(t *testing.T, to, group, text string) (protocol.SendResponse, protocol.Code) {
	t.Helper()
	key, code := api(t, a, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: text})
	if code != 0 {
		return protocol.SendResponse{}, code
	}
	return api(t, a, protocol.SendMessage, protocol.SendMessageRequest{Receiver: to, GroupID: group, MessageKey: key.MessageKey})
}

// says lists what a board's history with somebody says, the newest first.
func (a *actor) says(t *testing.T, user, group string) []protocol.MessageInfo {
	t.Helper()
	if group != "" {
		res, code := api(t, a, protocol.GetGroupHistory, protocol.GroupHistoryRequest{GroupID: group, Count: 100})
		if code != 0 {
			t.Fatal(code)
		}
		return res.MessageList
	}
	res, code := api(t, a, protocol.GetC2CHistory, protocol.C2CHistoryRequest{UserID: user, Count: 100})
	if code != 0 {
		t.Fatal(code)
	}
	return res.MessageList
}

// revoked tells whether one of the events says that a message was taken back.
func revoked(msgID string) func([]event) bool {
	return func(events []event) bool {
		return slices.ContainsFunc(events, func(ev event) bool {
			return ev.Name == protocol.OnRecvMessageRevoked.Info().Name && ev.str("msgID") == msgID
		})
	}
}

func TestRevoke(t *testing.T) {
	h := newHouse(t, "")
	must(t, h.hub.Stop())
	must(t, h.hub.Configure("[limits]\ngroup_rate = 0\nrevoke_window = \"3s\"\n"))
	h.startHub()
	door, indoor := h.actor("door"), h.actor("indoor")
	phone := h.platform("phone", "door", "phone")
	late, _ := door.made(t, "indoor", "", "said, and kept")
	since := time.Now()
	soon, _ := door.made(t, "indoor", "", "said in a hurry")
	revoke := func(a *actor, id, user string) protocol.Code {
		_, code := api(t, a, protocol.RevokeMessage, protocol.RevokeRequest{MsgID: id, UserID: user})
		return code
	}
	if code := revoke(indoor, soon.MsgID, "door"); code != protocol.CodeSvrGroupRevokeMsgDeny {
		t.Error("taken back by another:", code)
	}
	if code := revoke(door, soon.MsgID, "phone"); code != protocol.CodeInvalidParameters {
		t.Error("in another conversation:", code)
	}
	if code := revoke(phone, soon.MsgID, "indoor"); code != 0 {
		t.Error("from another terminal of the sender:", code)
	}
	if code := revoke(door, soon.MsgID, "indoor"); code != 0 {
		t.Error("once more:", code)
	}
	for _, a := range []*actor{door, indoor} {
		a.await("the revoke", revoked(soon.MsgID))
	}
	for _, a := range []struct {
		*actor
		with string
	}{{door, "indoor"}, {indoor, "door"}, {phone, "indoor"}} {
		h.poll("the status", func() bool {
			m := a.says(t, a.with, "")[0]
			return m.MsgID == soon.MsgID && m.Status == protocol.StatusRevoked && m.ElemType == 0 && m.Msg.Text == ""
		})
	}
	// One that has not been sent leaves the outbox, and nobody hears of it.
	door.proxy.Refuse(true)
	door.proxy.Cut()
	door.awaitLink("down")
	unsent, _ := door.made(t, "indoor", "", "never said")
	kept := door.send("indoor", "said later")
	if !unsent.Queued || len(door.says(t, "indoor", "")) != 4 {
		t.Error(unsent, door.says(t, "indoor", ""))
	}
	if code := revoke(door, late.MsgID, "indoor"); code != protocol.CodeNetDisconnect {
		t.Error("without a link:", code)
	}
	if code := revoke(door, unsent.MsgID, "indoor"); code != 0 {
		t.Error("unsent:", code)
	}
	if got := door.says(t, "indoor", ""); len(got) != 3 || got[0].MsgID != kept.MsgID || got[0].Status != protocol.StatusSending {
		t.Error(got)
	}
	time.Sleep(time.Until(since.Add(3500 * time.Millisecond))) // the window is a time of the hub's clock
	door.proxy.Refuse(false)
	indoor.await("what was kept", func(events []event) bool { return slices.Contains(texts(events), "said later") })
	if all := texts(indoor.journal()); slices.Contains(all, "never said") {
		t.Error(all)
	}
	if code := revoke(door, late.MsgID, "indoor"); code != protocol.CodeRevokeTimeLimitExceed {
		t.Error("after its time:", code)
	}
	if m := indoor.says(t, "door", ""); m[len(m)-1].Msg.Text != "said, and kept" {
		t.Error(m)
	}
}

func TestReceipts(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	phone := h.platform("phone", "indoor", "phone")
	for i := range 3 {
		door.made(t, "indoor", "", fmt.Sprint("message ", i))
	}
	unread := func(a *actor) (n int) {
		res, _ := api(t, a, protocol.GetConversationList, protocol.ConversationListRequest{})
		for _, c := range res.ConversationList {
			n += c.UnreadCount
		}
		return n
	}
	for _, a := range []*actor{indoor, phone} {
		h.poll("three to be unread", func() bool { return unread(a) == 3 })
	}
	if m := door.says(t, "indoor", "")[0]; m.IsPeerRead || !m.IsRead || !m.IsSelf {
		t.Errorf("%+v", m)
	}
	if _, code := api(t, indoor, protocol.MarkC2CAsRead, protocol.MarkC2CRequest{UserID: "door"}); code != 0 {
		t.Fatal(code)
	}
	door.await("the receipt", func(events []event) bool {
		return slices.ContainsFunc(events, func(e event) bool {
			return e.Name == protocol.OnRecvC2CReadReceipt.Info().Name && strings.Contains(string(e.Data), `"userId":"indoor"`)
		})
	})
	for _, m := range door.says(t, "indoor", "") {
		if !m.IsPeerRead {
			t.Errorf("%+v", m)
		}
	}
	h.poll("the other terminal to know", func() bool { return unread(phone) == 0 })
	door.made(t, "indoor", "", "one more")
	if m := door.says(t, "indoor", ""); m[0].IsPeerRead || !m[1].IsPeerRead {
		t.Error(m)
	}
	h.poll("one to be unread", func() bool { return unread(phone) == 1 && unread(indoor) == 1 })
	if m := phone.says(t, "door", ""); m[0].IsRead || !m[1].IsRead {
		t.Error(m)
	}
}

func TestBlacklist(t *testing.T) {
	h := newHouse(t, "")
	door, salesman := h.actor("door"), h.actor("salesman")
	if _, code := api(t, door, protocol.AddToBlackList, protocol.UserListRequest{UserIDList: []string{"salesman"}}); code != 0 {
		t.Fatal(code)
	}
	if _, code := salesman.made(t, "door", "", "buy!"); code != protocol.CodeSvrMsgInPeerBlacklist {
		t.Error(code)
	}
	if m := salesman.says(t, "door", ""); len(m) != 1 || m[0].Status != protocol.StatusFailed {
		t.Error(m)
	}
	door.made(t, "salesman", "", "no, thank you") // the other way round it is open
	if m := door.says(t, "salesman", ""); len(m) != 1 || !m[0].IsSelf {
		t.Error(m)
	}
	if _, code := api(t, door, protocol.DeleteFromBlackList, protocol.UserListRequest{UserIDList: []string{"salesman"}}); code != 0 {
		t.Fatal(code)
	}
	if _, code := salesman.made(t, "door", "", "please"); code != 0 {
		t.Error(code)
	}
}

// TestOnlineOnly: what is for those who are online is in no history, and never queued.
func TestOnlineOnly(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	h.group("yard", protocol.GroupMeeting, door, indoor)
	send := func(to, group string) protocol.Code {
		key, _ := api(t, door, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: "typing to " + to + group})
		_, code := api(t, door, protocol.SendMessage, protocol.SendMessageRequest{Receiver: to, GroupID: group, MessageKey: key.MessageKey, OnlineUserOnly: true})
		return code
	}
	if a, b := send("indoor", ""), send("", "yard"); a != 0 || b != 0 {
		t.Fatal(a, b)
	}
	indoor.await("both", func(events []event) bool {
		all := texts(events)
		return slices.Contains(all, "typing to indoor") && slices.Contains(all, "typing to yard")
	})
	if len(door.says(t, "indoor", ""))+len(indoor.says(t, "door", "")) != 0 {
		t.Error("it is in a history")
	}
	if code := send("nobody", ""); code != protocol.CodeSvrMsgToAccountNotFound {
		t.Error(code)
	}
	door.proxy.Refuse(true)
	door.proxy.Cut()
	door.awaitLink("down")
	if code := send("indoor", ""); code != protocol.CodeNetDisconnect || door.status().Queue.Items != 0 {
		t.Error(code, door.status().Queue)
	}
}

// TestGroupHistory: what was said before one joined, and after one left.
func TestGroupHistory(t *testing.T) {
	h := newHouse(t, "")
	owner, guest := h.actor("owner"), h.actor("guest")
	h.group("open", protocol.GroupMeeting, owner)
	h.group("closed", protocol.GroupWork, owner)
	said := func(group, text string) {
		if _, code := owner.made(t, "", group, text); code != 0 {
			t.Fatal(code)
		}
	}
	said("open", "before")
	said("closed", "before")
	if _, code := api(t, guest, protocol.JoinGroup, protocol.JoinGroupRequest{GroupID: "open"}); code != 0 {
		t.Fatal(code)
	}
	if _, code := api(t, owner, protocol.InviteUserToGroup, protocol.InviteToGroupRequest{GroupID: "closed", UserIDList: []string{"guest"}}); code != 0 {
		t.Fatal(code)
	}
	said("open", "while")
	said("closed", "while")
	heard := func(group string) (out []string) {
		for _, m := range guest.says(t, "", group) {
			if m.ElemType == protocol.ElemText && m.Status == protocol.StatusSent {
				out = append(out, m.Msg.Text)
			}
		}
		return out
	}
	h.poll("both messages", func() bool { return len(heard("open")) == 2 && len(heard("closed")) == 1 })
	if a, b := fmt.Sprint(heard("open")), fmt.Sprint(heard("closed")); a != "[while before]" || b != "[while]" {
		t.Error(a, b)
	}
	if _, code := api(t, guest, protocol.QuitGroup, protocol.GroupRequest{GroupID: "open"}); code != 0 {
		t.Fatal(code)
	}
	if _, code := api(t, owner, protocol.KickGroupMember, protocol.KickRequest{GroupID: "closed", UserID: "guest"}); code != 0 {
		t.Fatal(code)
	}
	said("open", "after")
	said("closed", "after")
	said("open", "long after")
	if _, code := guest.made(t, "", "closed", "let me in"); code != protocol.CodeSvrGroupPermissionDeny {
		t.Error(code)
	}
	if a, b := fmt.Sprint(heard("open")), fmt.Sprint(heard("closed")); a != "[while before]" || b != "[while]" {
		t.Error(a, b)
	}
	fresh := h.platform("fresh", "guest", "fresh") // which has all from the hub
	for group, want := range map[string]string{"open": "[while before]", "closed": "[while]"} {
		guest = fresh
		if got := fmt.Sprint(heard(group)); got != want {
			t.Error(group, got)
		}
	}
}

// TestSendingTwice: one key, one message, also over a restart of the board.
func TestSendingTwice(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	key, _ := api(t, door, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: "once"})
	req := protocol.SendMessageRequest{Receiver: "indoor", MessageKey: key.MessageKey}
	first, code := api(t, door, protocol.SendMessage, req)
	second, again := api(t, door, protocol.SendMessage, req)
	if code != 0 || again != 0 || first.MsgID != second.MsgID {
		t.Error(first, code, second, again)
	}
	door.board.Kill()
	door.start()
	door.awaitLink("up")
	third, code := api(t, door, protocol.SendMessage, req)
	if code != 0 || third.MsgID != first.MsgID {
		t.Error(third, code)
	}
	door.send("indoor", "the end")
	indoor.await("the end", func(events []event) bool { return slices.Contains(texts(events), "the end") })
	if n := len(indoor.says(t, "door", "")); n != 2 {
		t.Error(n, "messages")
	}
}

// TestRefusals: what is wrong is refused with a code and a sentence, and nothing is
// half done.
func TestRefusals(t *testing.T) {
	h := newHouse(t, "")
	door := h.actor("door")
	h.actor("indoor")
	res := door.send("indoor", "hello")
	stranger := strings.Repeat("a", 16) + "-1"
	long := strings.Repeat("x", protocol.MaxTextBytes+1)
	key, _ := api(t, door, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: strings.Repeat("x", protocol.MaxTextBytes)})
	fine, code := api(t, door, protocol.SendMessage, protocol.SendMessageRequest{Receiver: "indoor", MessageKey: key.MessageKey})
	if code != 0 || fine.Queued {
		t.Error("8 KB:", fine, code)
	}
	before := door.view()
	for _, c := range []struct {
		method, body string
		code         protocol.Code
	}{
		{"im.createTextMessage", `{}`, 6017},
		{"im.createTextMessage", `{"text":5}`, 6017},
		{"im.createTextMessage", `{"text":"` + long + `"}`, 8001},
		{"im.sendC2CTextMessage", `{"userId":"indoor","text":"` + long + `"}`, 8001},
		{"im.createTextAtMessage", `{"text":"a","userIdList":[]}`, 6017},
		{"im.createTextAtMessage", `{"text":"a","userIdList":["a b"]}`, 7003},
		{"im.createCustomMessage", `{"customMsg":""}`, 6017},
		{"im.createImageMessage", `{"img":"/no/such/file.jpg"}`, 7004},
		{"im.createImageMessage", `{"img":"/"}`, 7007},
		{"im.createImageMessage", `{"img":"/dev/null"}`, 7007},
		{"im.createImageMessage", `{}`, 6017},
		{"im.createSoundMessage", `{"soundPath":"/x","soundDuration":-1}`, 6017},
		{"im.createVideoMessage", `{"videoFilePath":"/x","type":"mp4","duration":1}`, 6017},
		{"im.createVideoMessage", `{"videoFilePath":"/x","type":"../x","duration":1,"snapshotPath":"/y"}`, 6017},
		{"im.createFileMessage", `{"filePath":"/no/such/file","fileName":"x"}`, 7004},
		{"im.createFileMessage", `{"filePath":"upload:nothing","fileName":"x"}`, 7004},
		{"im.createLocationMessage", `{"desc":"x","latitude":91,"longitude":0}`, 6017},
		{"im.createLocationMessage", `{"desc":"x","longitude":0}`, 6017},
		{"im.createFaceMessage", `{"index":"one"}`, 6017},
		{"im.sendMessage", `{"receiver":"indoor"}`, 6017},
		{"im.sendMessage", `{"receiver":"indoor","messageKey":"k-none"}`, 6017},
		{"im.sendMessage", `{"receiver":"indoor","groupId":"g","messageKey":"k"}`, 6017},
		{"im.sendMessage", `{"receiver":"indoor","messageKey":"k","priority":4}`, 6017},
		{"im.revokeMessage", `{"msgId":"x","userId":"indoor"}`, 6017},
		{"im.revokeMessage", `{"msgId":"` + res.MsgID + `"}`, 6017},
		{"im.revokeMessage", `{"msgId":"` + stranger + `","userId":"indoor"}`, 6017},
		{"im.revokeMessage", `{"msgId":"` + stranger + `","groupId":"none"}`, 10010},
		{"im.getC2CHistoryMessageList", `{"userId":"indoor","count":101}`, 6017},
		{"im.getC2CHistoryMessageList", `{"userId":"indoor","msgId":"` + stranger + `"}`, 6017},
		{"im.getC2CHistoryMessageList", `{"count":1}`, 6017},
		{"im.getGroupHistoryMessageList", `{"groupId":""}`, 6017},
		{"im.getGroupHistoryMessageList", `{"groupId":"g","msgId":"` + res.MsgID + `"}`, 6017},
		{"im.markC2CMessageAsRead", `{"userId":"a b"}`, 7003},
		{"im.markGroupMessageAsRead", `{}`, 6017},
		{"im.deleteMessageFromLocalStorage", `{}`, 6017},
		{"im.deleteMessageFromLocalStorage", `{"msgId":"` + stranger + `"}`, 6017},
		{"im.deleteMessages", `{"msgIdList":["` + res.MsgID + `","` + stranger + `"]}`, 6017},
		{"im.insertGroupMessageToLocalStorage", `{"groupId":"g","sender":"x","messageKey":"k-none"}`, 6017},
		{"im.getConversationList", `{"count":-1}`, 6017},
		{"im.getConversationList", `{"nextSeq":-1}`, 6017},
		{"im.deleteConversation", `{"conversationId":"x"}`, 50002},
		{"im.setConversationDraft", `{"conversationId":"c2c_","draftText":"x"}`, 50002},
		{"im.setConversationDraft", `{"conversationId":"c2c_indoor","draftText":"` + long + `"}`, 8001},
		{"im.addToBlackList", `{"userIdList":[]}`, 6017},
		{"im.deleteFromBlackList", `{"userIdList":["a b"]}`, 7003},
		{"device.getMessage", `{"msgId":"` + stranger + `"}`, 6017},
		{"device.setLocalCustomData", `{"msgId":"` + stranger + `","localCustomData":"x"}`, 6017},
		{"device.downloadMessage", `{"msgId":"` + res.MsgID + `"}`, 6017},
		{"device.sendOnline", `{"userId":"indoor","message":"oA=="}`, 6017},
		{"device.putFile", `{}`, 6017},
	} {
		_, err := door.board.Client().CallRaw(h.ctx, c.method, []byte(c.body))
		var e *protocol.Error
		if !errors.As(err, &e) || e.Code != c.code || len(e.Msg) < 10 {
			t.Errorf("%s %.80s: %v, want %d", c.method, c.body, err, c.code)
		}
	}
	if after := door.view(); after != before {
		t.Error("something was done:", differ(before, after))
	}
	if q := door.status().Queue; q.Items != 0 {
		t.Error(q)
	}
}
