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
func (b *board) makeFile() (key string) { return b.makeFileOf("what a file says") }

func (b *board) makeFileOf(text string) (key string) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
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
	ids := func(tx *bbolt.Tx) *bbolt.Bucket {
		return b.session.account(tx).Bucket([]byte("mirror")).Bucket([]byte("ids"))
	}
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

// TestAnswerWrittenWithoutLink: the link breaks while an answer is being written
// down. What comes of it waits neither for the link nor for another login: files
// that the hub has lost go up once more, and those that it has are let go of.
func TestAnswerWrittenWithoutLink(t *testing.T) {
	noneLeft(t)
	for name, code := range map[string]protocol.Code{"taken": 0, "lost": protocol.CodeSvrResNotFound} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.send = 0 })
			b.mustLogin()
			h.answer = filesTaken
			h.judge = func(*protocol.Item) (protocol.Code, string) {
				h.judge = nil
				return code, "no such file"
			}
			// The pull that this brings shows that the answer was handed to the store.
			release := h.answerLate(b, &protocol.Frame{Heads: &protocol.Heads{Items: []protocol.Head{{Log: protocol.GroupLog("g"), Seq: 1}}}})
			if _, err := b.sendMade(b.makeFile()); err != nil {
				t.Fatal(err)
			}
			h.await(t, 0, 1, isPull)
			items, err := b.session.box.Head(1, 1)
			if err != nil || len(items) != 1 {
				t.Fatal(items, err)
			}
			h.cut()
			h.await(t, 0, 2, isHello)
			close(release)
			if code != 0 {
				h.await(t, 0, 2, isAppend)
			}
			for owner := b.session.fileOwner(items[0].IDEpoch, items[0].IDNumber); len(b.files.store.Owned(owner)) > 0; {
				if t.Context().Err() != nil {
					t.Fatal("the files are kept for ever")
				}
				time.Sleep(time.Millisecond) // a state of another goroutine, without an event
			}
		})
	}
}

// TestLostTooOften: a hub that loses a file again and again gets it a few times,
// then the message has failed.
func TestLostTooOften(t *testing.T) {
	h := newHub(t)
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.send = 0 })
	b.mustLogin()
	h.with(func() {
		h.answer = filesTaken
		h.judge = func(*protocol.Item) (protocol.Code, string) { return protocol.CodeSvrResNotFound, "no such file" }
	})
	res, err := b.sendMade(b.makeFile())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.await(1, byStatus), fmt.Sprintf("%s 2 %d", res.MsgID, protocol.CodeSvrResNotFound); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	b.db.Ping()
	h.await(t, 0, 1+maxReuploads, isAppend)
	u := &b.session.uploads
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.again) != 0 {
		t.Error("the count of them is kept for ever:", u.again)
	}
}
