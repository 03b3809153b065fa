package device

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

func (b *board) deleteTalk() {
	b.t.Helper()
	if _, err := b.deleteConversation(b.t.Context(), protocol.Caller{}, protocol.ConversationRequest{ConversationID: "c2c_indoor"}); err != nil {
		b.t.Fatal(err)
	}
}

// listed is how many conversations the list has.
func (b *board) listed() int {
	b.t.Helper()
	list, err := b.getConversationList(b.t.Context(), protocol.Caller{}, protocol.ConversationListRequest{Count: 10})
	if err != nil {
		b.t.Fatal(err)
	}
	return len(list.ConversationList)
}

// history is the talk's, the newest first.
func (b *board) history(count int) (texts []string) {
	b.t.Helper()
	res, err := b.getC2CHistory(b.t.Context(), protocol.Caller{}, protocol.C2CHistoryRequest{UserID: "indoor", Count: count})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range res.MessageList {
		texts = append(texts, m.Msg.Text)
	}
	return texts
}

// TestDeleteAgain: a conversation that was deleted and is shown again for what this
// board alone has of it can be deleted again.
func TestDeleteAgain(t *testing.T) {
	h := newHub(t)
	h.judge = func(it *protocol.Item) (protocol.Code, string) {
		if it.Kind == protocol.ItemC2C {
			return protocol.CodeSvrMsgPushDeny, "no"
		}
		return 0, ""
	}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	b.await(1, byText)
	b.deleteTalk()
	for _, again := range []func(){
		func() {
			_, err := b.setConversationDraft(t.Context(), protocol.Caller{}, protocol.DraftRequest{ConversationID: "c2c_indoor", DraftText: "I am"})
			if err != nil {
				t.Fatal(err)
			}
		},
		func() {
			if _, err := b.say("refused"); err == nil {
				t.Fatal("not refused")
			}
		},
	} {
		again()
		if n := b.listed(); n != 1 {
			t.Error(n)
		}
		b.deleteTalk()
		if n, texts := b.listed(), b.history(10); n != 0 || len(texts) != 0 {
			t.Error(n, texts)
		}
	}
	h.write(talk, "indoor", "1", true)
	b.await(2, byText)
	if got := lines(b.history(10)); got != "1" {
		t.Error(got)
	}
}
