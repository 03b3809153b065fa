package device

import (
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// insert puts a message with a file into the history of a group, and returns its
// id and the file's hash.
func (b *board) insert(text string) (id, hash string) {
	b.t.Helper()
	m, err := b.insertGroupMessage(b.t.Context(), anybody, protocol.InsertGroupRequest{GroupID: "g", Sender: "indoor", MessageKey: b.makeFileOf(text)})
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := b.session.message(m.MsgID)
	if err != nil {
		b.t.Fatal(err)
	}
	return m.MsgID, info.Msg.UUID
}

// here tells which of the files the board has.
func (b *board) here(hashes ...string) string {
	var out []string
	for _, hash := range hashes {
		out = append(out, fmt.Sprint(b.filePath(hash) != ""))
	}
	return strings.Join(out, " ")
}

// TestInsertedFilesStay: nobody else has the file of a message that was put into
// the board's own history. It stays as long as the message does.
func TestInsertedFilesStay(t *testing.T) {
	for name, remove := range map[string]func(b *board, id string) error{
		"message": func(b *board, id string) error {
			_, err := b.deleteMessages(t.Context(), anybody, protocol.DeleteMessagesRequest{MsgIDList: []string{id}})
			return err
		},
		"conversation": func(b *board, id string) error {
			_, err := b.deleteConversation(t.Context(), anybody, protocol.ConversationRequest{ConversationID: "group_g"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			cfg := config(t, h.addr)
			cfg.Files.Cache = 1 // what nobody owns goes at once
			b := start(t, cfg)
			b.mustLogin()
			id, hash := b.insert("a file")
			if got := b.here(hash); got != "true" {
				t.Fatal("not here to begin with")
			}
			b = b.again()
			if got := b.here(hash); got != "true" {
				t.Fatal("gone before the login")
			}
			b.mustLogin()
			if got := b.here(hash); got != "true" {
				t.Fatal("gone with the login")
			}
			if err := remove(b, id); err != nil {
				t.Fatal(err)
			}
			if got := b.here(hash); got != "false" {
				t.Error("it stays without its message")
			}
		})
	}
}

// TestRevokeInserted: what nobody else has is taken back without the hub.
func TestRevokeInserted(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	id, _ := b.insert("a file")
	h.stop()
	b.link("down")
	if _, err := b.revokeMessage(t.Context(), anybody, protocol.RevokeRequest{GroupID: "g", MsgID: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.session.message(id); code(err) != protocol.CodeInvalidParameters {
		t.Error(err)
	}
}

// TestInsertTwice: a message is put there once, and its file with it.
func TestInsertTwice(t *testing.T) {
	h := newHub(t)
	cfg := config(t, h.addr)
	cfg.Files.Cache = 1
	b := start(t, cfg)
	b.mustLogin()
	r := protocol.InsertGroupRequest{GroupID: "g", Sender: "indoor", MessageKey: b.makeFile()}
	first, err := b.insertGroupMessage(t.Context(), anybody, r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.insertGroupMessage(t.Context(), anybody, r); err != nil || again != first {
		t.Fatal(first, again, err)
	}
	info, err := b.session.message(first.MsgID)
	if err != nil {
		t.Fatal(err)
	}
	r.GroupID = "h"
	if _, err := b.insertGroupMessage(t.Context(), anybody, r); code(err) != protocol.CodeInvalidParameters {
		t.Error(err)
	}
	if got := b.here(info.Msg.UUID); got != "true" {
		t.Fatal("the second time has let go of it")
	}
	if _, err := b.deleteMessages(t.Context(), anybody, protocol.DeleteMessagesRequest{MsgIDList: []string{first.MsgID}}); err != nil {
		t.Fatal(err)
	}
	if got := b.here(info.Msg.UUID); got != "false" {
		t.Error("somebody still keeps it")
	}
}

// TestInsertedFilesLeaveRoom: files of such messages leave half of the spool to
// those that are to be sent. The oldest go.
func TestInsertedFilesLeaveRoom(t *testing.T) {
	h := newHub(t)
	cfg := config(t, h.addr)
	cfg.Files.Cache, cfg.Files.Spool = 1, 10*4096
	b := start(t, cfg)
	b.mustLogin()
	var list []string
	for i := range 4 {
		_, hash := b.insert(strings.Repeat(fmt.Sprint(i), 2*4096))
		list = append(list, hash)
	}
	if got := b.here(list...); got != "false false true true" {
		t.Error(got)
	}
}
