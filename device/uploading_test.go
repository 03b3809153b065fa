package device

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// makeFile makes a message with a file.
func (b *board) makeFile() (key string) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("what a file says"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	res, err := b.createFile(b.t.Context(), anybody, protocol.CreateFileRequest{FilePath: path, FileName: "notes.txt"})
	if err != nil {
		b.t.Fatal(err)
	}
	return res.MessageKey
}

func (b *board) sendMade(key string) (protocol.SendResponse, error) {
	return b.sendMessage(b.t.Context(), anybody, protocol.SendMessageRequest{MessageKey: key, Receiver: "indoor"})
}

// filesTaken is a hub that has every file already.
func filesTaken(*protocol.Call) *protocol.Reply {
	body, err := protocol.Marshal(protocol.PutFileResponse{Done: true})
	if err != nil {
		panic(err)
	}
	return &protocol.Reply{Body: body}
}

// TestRefusalNotWritten: the hub refuses a file, and that cannot be written down.
// The caller hears that the message is queued, and the event says the rest.
func TestRefusalNotWritten(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.timing.send = time.Minute
	b.mustLogin()
	ids := func(tx *bbolt.Tx) *bbolt.Bucket { return b.session.account(tx).Bucket([]byte("mirror")).Bucket([]byte("ids")) }
	refusal := &protocol.Reply{Code: protocol.CodeSvrResSizeLimit, Msg: "too much"}
	h.answer = func(*protocol.Call) *protocol.Reply {
		waiting, err := b.session.pending()
		if err == nil { // nothing can be written where a bucket is
			err = b.db.Do(func(tx *bbolt.Tx) error {
				_, err := ids(tx).CreateBucket([]byte(waiting[0].msgID))
				return err
			})
		}
		if err != nil {
			t.Error(err)
		}
		return refusal
	}
	res, err := b.sendMade(b.makeFile())
	if err != nil || !res.Queued {
		t.Fatal(res, err)
	}
	h.with(func() { h.answer = func(*protocol.Call) *protocol.Reply { return refusal } })
	if err := b.db.Do(func(tx *bbolt.Tx) error { return ids(tx).DeleteBucket([]byte(res.MsgID)) }); err != nil {
		t.Fatal(err)
	}
	b = b.again()
	b.mustLogin()
	if got, want := b.await(1, byStatus), fmt.Sprintf("%s 2 %d", res.MsgID, refusal.Code); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}
