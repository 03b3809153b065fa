package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// fakeMessages answers the methods of messages as a test wants it, and keeps what
// was asked. It is also where the daemon has its files.
type fakeMessages struct {
	asked   []string
	page    protocol.HistoryResponse
	list    protocol.ConversationListResponse
	message protocol.MessageInfo
	files   map[string]string // by uuid
}

func (f *fakeMessages) bind(t *protocol.Table[protocol.Caller]) {
	f.files = map[string]string{}
	key := func() protocol.MessageKeyResponse { return protocol.MessageKeyResponse{MessageKey: "key"} }
	page := func() protocol.HistoryResponse { return f.page }
	bindMessage(t, f, protocol.CreateTextMessage, key)
	bindMessage(t, f, protocol.CreateImageMessage, key)
	bindMessage(t, f, protocol.CreateFileMessage, key)
	bindMessage(t, f, protocol.CreateSoundMessage, key)
	bindMessage(t, f, protocol.CreateVideoMessage, key)
	bindMessage(t, f, protocol.CreateLocationMessage, key)
	bindMessage(t, f, protocol.SendMessage, func() protocol.SendResponse { return protocol.SendResponse{MsgID: "m-1"} })
	bindMessage(t, f, protocol.GetC2CHistory, page)
	bindMessage(t, f, protocol.GetGroupHistory, page)
	bindMessage(t, f, protocol.GetConversationList, func() protocol.ConversationListResponse { return f.list })
	bindMessage(t, f, protocol.GetMessage, func() protocol.MessageResponse { return protocol.MessageResponse{Message: f.message} })
}

func bindMessage[Req, Res any](t *protocol.Table[protocol.Caller], f *fakeMessages, m protocol.Method[Req, Res], res func() Res) {
	protocol.Bind(t, m, func(_ context.Context, _ protocol.Caller, r Req) (Res, error) {
		b, err := json.Marshal(r)
		_, name, _ := strings.Cut(m.Info().Name, ".")
		f.asked = append(f.asked, name+" "+string(b))
		return res(), err
	})
}

// was returns what was asked since it was called last.
func (f *fakeMessages) was() string {
	defer func() { f.asked = nil }()
	return strings.Join(f.asked, "\n")
}

func (f *fakeMessages) put(content string) (uuid string) {
	sum := sha256.Sum256([]byte(content))
	uuid = hex.EncodeToString(sum[:])
	f.files[uuid] = content
	return uuid
}

func (f *fakeMessages) Receive(_ context.Context, body io.Reader, name string, _ int64) (string, int64, string, error) {
	b, err := io.ReadAll(body)
	return "upload:" + name, int64(len(b)), f.put(string(b)), err
}

func (f *fakeMessages) Open(_ context.Context, uuid string) (io.ReadSeekCloser, error) {
	content, ok := f.files[uuid]
	if !ok {
		return nil, protocol.Errorf(protocol.CodeSvrResNotFound, "uuid: there is no such file")
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader(content), io.NopCloser(nil)}, nil
}

// aMessage is the id of one.
const aMessage = "7trx6uzv4hbqmo5f-2k"

func textMessage(sender, text string) protocol.MessageInfo {
	return protocol.MessageInfo{MsgID: aMessage, Timestamp: noon.Unix(), Sender: sender, Status: protocol.StatusSent, IsRead: true,
		ElemType: protocol.ElemText, Msg: protocol.MessageElem{Text: text}}
}

func fileMessage(uuid, name string, size int) protocol.MessageInfo {
	return protocol.MessageInfo{MsgID: aMessage, Timestamp: noon.Unix(), Sender: "indoor", Status: protocol.StatusSent,
		ElemType: protocol.ElemFile, Msg: protocol.MessageElem{UUID: uuid, Name: name, Size: int64(size)}}
}

func TestHistory(t *testing.T) {
	d := newDaemon(t)
	mine := textMessage("door", "who is it")
	mine.IsSelf, mine.IsPeerRead = true, true
	d.messages.page.MessageList = []protocol.MessageInfo{fileMessage(d.messages.put("hello"), "a.txt", 5), mine, textMessage("indoor", "me\x1b[2J")}
	const lines = `12:00:00  indoor: "me\x1b[2J"` + "\n" +
		`12:00:00  me: "who is it"  (read)` + "\n" +
		`12:00:00  indoor: file "a.txt", 5 B  (new)  ` + aMessage + "\n"
	for _, c := range []struct {
		args       []string
		asked, err string
	}{
		{[]string{"history", "indoor"}, `getC2CHistoryMessageList {"userId":"indoor","count":20}`,
			"herald: earlier: herald history indoor --before " + aMessage + "\n"},
		{[]string{"history", "--group", "house", "--count", "3", "--before", aMessage}, `getGroupHistoryMessageList {"groupId":"house","count":3,"msgId":"` + aMessage + `"}`,
			"herald: earlier: herald history --group house --before " + aMessage + "\n"},
	} {
		code, out, errs := d.herald("", c.args...)
		if asked := d.messages.was(); code != 0 || out != lines || errs != c.err || asked != c.asked {
			t.Errorf("%q: exit %d, asked %s\n%s%s", c.args, code, asked, out, errs)
		}
	}
	if code, out, errs := d.herald("", "history", "indoor", "--json"); code != 0 || !strings.HasPrefix(out, `{"status":true,"messageList":[{"msgId":"`) || errs != "" {
		t.Errorf("--json: %d %s%s", code, out, errs)
	}
	d.messages.page = protocol.HistoryResponse{IsFinished: true}
	if code, out, errs := d.herald("", "history", "indoor"); code != 0 || out != "" || errs != "herald: nothing was said\n" {
		t.Errorf("nothing: %d %q %q", code, out, errs)
	}
	d.messages.page.Offline = true
	if code, _, errs := d.herald("", "history", "indoor"); code != 0 || !strings.Contains(errs, "there is no link") {
		t.Errorf("offline: %d %q", code, errs)
	}
}

func TestConversations(t *testing.T) {
	d := newDaemon(t)
	last := textMessage("indoor", strings.Repeat("x", 100))
	d.messages.list.ConversationList = []protocol.Conversation{
		{UserID: "indoor", UnreadCount: 2, LastMessage: &last},
		{Type: protocol.ConversationGroup, GroupID: "house", ShowName: "At home", DraftText: "not yet"},
	}
	want := "WITH                   UNREAD  AT        LAST\n" +
		"indoor                 2       12:00:00  indoor: \"" + strings.Repeat("x", 50) + "…\n" +
		"group house (At home)                    draft \"not yet\"\n" +
		"and more (--count)\n"
	code, out, errs := d.herald("", "conversations", "--count", "2")
	if asked := d.messages.was(); code != 0 || out != want || errs != "" || asked != `getConversationList {"count":2}` {
		t.Errorf("exit %d, asked %s\n%s%s", code, asked, out, errs)
	}
	d.messages.list.ConversationList = nil
	if code, out, errs := d.herald("", "conversations"); code != 0 || out != "" || errs != "herald: there are none\n" {
		t.Errorf("none: %d %q %q", code, out, errs)
	}
}

func TestGet(t *testing.T) {
	t.Chdir(t.TempDir())
	d := newDaemon(t)
	d.messages.message = fileMessage(d.messages.put("hello"), "../../a.txt", 5)
	holds := func(path, want string) {
		t.Helper()
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	code, out, errs := d.herald("", "get", aMessage)
	if asked := d.messages.was(); code != 0 || out != "a.txt\n" || errs != "" || asked != `getMessage {"msgId":"`+aMessage+`"}` {
		t.Errorf("exit %d, asked %s: %q %q", code, asked, out, errs)
	}
	holds("a.txt", "hello")

	d.messages.message = fileMessage(d.messages.put("hello again"), "a.txt", 11)
	if code, out, errs := d.herald("", "get", aMessage); code != 1 || out != "" || !strings.Contains(errs, "--force replaces it") {
		t.Errorf("a file that is there: %d %q %q", code, out, errs)
	}
	holds("a.txt", "hello")
	if code, out, errs := d.herald("", "get", aMessage, "--force"); code != 0 || out != "a.txt\n" {
		t.Errorf("--force: %d %q %q", code, out, errs)
	}
	holds("a.txt", "hello again")
	if code, out, errs := d.herald("", "get", aMessage, "-o", "b"); code != 0 || out != "b\n" {
		t.Errorf("--output: %d %q %q", code, out, errs)
	}
	holds("b", "hello again")
	if code, out, errs := d.herald("", "get", aMessage, "--output", "-"); code != 0 || out != "hello again" {
		t.Errorf("to stdout: %d %q %q", code, out, errs)
	}

	if code, out, errs := d.herald("", "get", aMessage, "--json", "-o", "d"); code != 0 || out != `{"path":"d","uuid":"`+d.messages.message.Msg.UUID+`","size":11}`+"\n" || errs != "" {
		t.Errorf("--json: %d %q %q", code, out, errs)
	}
	holds("d", "hello again")
	if code, _, errs := d.herald("", "get", aMessage, "--json", "-o", "-"); code != 2 || !strings.Contains(errs, "--json") {
		t.Errorf("--json to stdout: %d %q", code, errs)
	}

	d.messages.message.Msg.Size = 12 // the daemon has less
	if code, out, errs := d.herald("", "get", aMessage, "--output", "c"); code != 1 || out != "" || !strings.Contains(errs, "after 11 of 12 bytes") {
		t.Errorf("broken off: %d %q %q", code, out, errs)
	}
	d.messages.message.Msg.UUID = strings.Repeat("0", 64)
	if code, _, errs := d.herald("", "get", aMessage, "--output", "c"); code != 1 || !strings.Contains(errs, "there is no such file") {
		t.Errorf("gone: %d %q", code, errs)
	}
	if code, out, _ := d.herald("", "get", aMessage, "--json", "-o", "c"); code != 1 || !strings.HasPrefix(out, `{"code":`) || strings.Count(out, "\n") != 1 {
		t.Errorf("gone with --json: %d %q", code, out)
	}
	d.messages.message = textMessage("indoor", "hello")
	if code, _, errs := d.herald("", "get", aMessage); code != 1 || !strings.Contains(errs, `has no file: it is "hello"`) {
		t.Errorf("a text: %d %q", code, errs)
	}
	if all, err := filepath.Glob(".herald-*"); err != nil || len(all) > 0 {
		t.Errorf("left behind: %q, %v", all, err)
	}
	if _, err := os.Stat("c"); err == nil {
		t.Error("a part of a file was kept")
	}
}

// What is saved is open to those to whom the user's umask opens files.
func TestGetMode(t *testing.T) {
	t.Chdir(t.TempDir())
	d := newDaemon(t)
	d.messages.message = fileMessage(d.messages.put("hello"), "a.txt", 5)
	for _, umask := range []int{0o077, 0o002} {
		before := syscall.Umask(umask)
		code, _, errs := d.herald("", "get", aMessage, "--force")
		syscall.Umask(before)
		info, err := os.Stat("a.txt")
		if code != 0 || err != nil || info.Mode() != fs.FileMode(0o666&^umask) {
			t.Errorf("umask %#o: exit %d, %v, %v %s", umask, code, info, err, errs)
		}
	}
}

func TestFileOf(t *testing.T) {
	zero := 0
	image := protocol.MessageInfo{MsgID: "m", ElemType: protocol.ElemImage, Msg: protocol.MessageElem{ImageList: []protocol.ImageInfo{{UUID: "small"}, {UUID: "large"}, {UUID: "original"}}}}
	video := protocol.MessageInfo{MsgID: "m", ElemType: protocol.ElemVideo, Msg: protocol.MessageElem{UUID: "film", Type: "mp4", Duration: &zero, Snapshot: &protocol.SnapshotInfo{UUID: "still"}}}
	sound := protocol.MessageInfo{MsgID: "m", ElemType: protocol.ElemSound, Msg: protocol.MessageElem{UUID: "sound", Duration: &zero}}
	for _, c := range []struct {
		m          protocol.MessageInfo
		small      bool
		uuid, name string
	}{
		{image, false, "original", "m.picture"},
		{image, true, "small", "m.picture"},
		{video, false, "film", "m.mp4"},
		{video, true, "still", "m.picture"},
		{sound, false, "sound", "m.sound"},
		{fileMessage("f", "/etc/passwd", 1), false, "f", "passwd"},
		{fileMessage("f", "..", 1), false, "f", aMessage},
		{fileMessage("f", ".profile", 1), false, "f", aMessage},
		{fileMessage("f", "a\nb", 1), false, "f", aMessage},
	} {
		if uuid, name, _ := fileOf(c.m, c.small); uuid != c.uuid || name != c.name {
			t.Errorf("%+v: %q %q", c.m.Msg, uuid, name)
		}
	}
}

// TestTipsInTheHistory: each change of a group is said as what it is.
func TestTipsInTheHistory(t *testing.T) {
	users := []string{"a", "b"}
	for kind, c := range map[protocol.TipKind]struct {
		more protocol.GroupTipInfo
		want string
	}{
		protocol.TipCreated: {want: "made the group"}, protocol.TipJoined: {want: "a, b joined"}, protocol.TipQuit: {want: "a, b left"},
		protocol.TipDismissed: {want: "ended the group"}, protocol.TipOwner: {want: "a, b owns the group now"},
		protocol.TipKicked:  {protocol.GroupTipInfo{Reason: "late"}, `a, b put out  "late"`},
		protocol.TipInvited: {want: "a, b added"}, protocol.TipAdmin: {want: "a, b made admin"}, protocol.TipNoAdmin: {want: "a, b no admin any more"},
		protocol.TipChanged:  {protocol.GroupTipInfo{GroupInfo: &protocol.GroupChange{GroupName: new("House")}}, `name "House"`},
		protocol.TipMuted:    {protocol.GroupTipInfo{InfoList: []protocol.MemberChangeInfo{{UserID: "a", MuteTime: new(int64(60))}}}, "a may not speak for 1m0s"},
		protocol.TipCard:     {protocol.GroupTipInfo{InfoList: []protocol.MemberChangeInfo{{UserID: "a", NameCard: new("cook")}}}, `a is called "cook"`},
		protocol.TipRecycled: {want: "the group is ended, as nothing was said in it for long"},
		99:                   {want: "changed the group"},
	} {
		tip := c.more
		tip.Type, tip.UserIDList = kind, users
		if got := sayTip(tip); got != c.want {
			t.Errorf("%d: %q, not %q", kind, got, c.want)
		}
	}
}
