package device

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// insertedPrefix is what the names begin with under which the files of messages
// are kept that a program has put into the board's own history.
const insertedPrefix = "inserted "

func (s *session) insertedOwner(msgID string) string {
	return insertedPrefix + msgID + " " + protocol.Username(s.app, s.user)
}

// inserted is the message that an owner of files is of; "": of none of this account's.
func (s *session) inserted(owner string) (msgID string) {
	rest, is := strings.CutPrefix(owner, insertedPrefix)
	msgID, account, _ := strings.Cut(rest, " ")
	if !is || account != protocol.Username(s.app, s.user) {
		return ""
	}
	return msgID
}

func (d *Device) insertGroupMessage(_ context.Context, _ protocol.Caller, r protocol.InsertGroupRequest) (res protocol.InsertResponse, err error) {
	s, err := d.current()
	if err != nil {
		return res, err
	}
	if err := d.db.Room(); err != nil {
		return res, err
	}
	made, err := s.getMade(r.MessageKey)
	if err != nil {
		return res, err
	}
	m, err := protocol.DecodeMessage(made.Body)
	if err != nil {
		return res, err
	}
	id := protocol.MsgID(s.msgIDPrefix(s.box.Epoch()), firstLocal+rand.Uint64N(firstLocal)) // 42 random bits, in an epoch of its own
	if len(m.Files) == 0 || made.Sent != "" {
		return s.insertGroup(r, id)
	}
	s.inserting.Lock()
	defer s.inserting.Unlock()
	// Nobody else has them: from here on they are kept for as long as the message is.
	if err := d.files.keep(s.insertedOwner(id), m.Files); err != nil {
		return res, err
	}
	if res, err = s.insertGroup(r, id); err != nil || res.MsgID != id {
		d.files.store.Unpin(s.insertedOwner(id))
		return res, err
	}
	d.files.store.Unpin(owner(r.MessageKey))
	s.sweep()
	return res, nil
}

// insertGroup puts a made message into a group's history as id, or returns the id
// that it was put there as before.
func (s *session) insertGroup(r protocol.InsertGroupRequest, id string) (res protocol.InsertResponse, err error) {
	now, _ := s.d.clock.now()
	log := protocol.GroupLog(r.GroupID)
	err = s.write(func(tx *bbolt.Tx) error {
		made, err := getMade(s.account(tx).Bucket(madeName), r.MessageKey, now/1000)
		switch {
		case err != nil:
			return err
		case made.Sent != "" && made.Log == "local "+log: // put there before
			res.MsgID = made.Sent
			return nil
		case made.Sent != "":
			return protocol.Errorf(protocol.CodeInvalidParameters, "messageKey: the message %q has been sent", protocol.Clip(r.MessageKey))
		}
		res.MsgID = id
		row := mirror.Row{Entry: protocol.Entry{Time: now, Kind: protocol.EntryMessage, From: r.Sender, MsgID: id, Body: made.Body}}
		if err := s.mirror.Insert(tx, log, row); err != nil {
			return err
		}
		return s.noteSent(tx, r.MessageKey, id, "local "+log)
	})
	return res, err
}

// sweepInserted lets go of the files of inserted messages that are not there any
// more, and of the oldest beyond half of the spool: the rest of it is for what is
// to be sent.
func (s *session) sweepInserted() {
	s.inserting.Lock()
	defer s.inserting.Unlock()
	s.sweep()
}

func (s *session) sweep() {
	type held struct {
		owner string
		row   mirror.Row
	}
	var all []held
	s.d.files.store.Sweep(func(owner string) bool {
		id := s.inserted(owner)
		if id == "" {
			return true
		}
		var row mirror.Row
		there := false
		err := s.d.db.View(func(tx *bbolt.Tx) error {
			_, row, there = s.mirror.Find(tx, id)
			return nil
		})
		if there {
			all = append(all, held{owner, row})
		}
		return there || err != nil
	})
	slices.SortFunc(all, func(a, b held) int { // the newest first
		return cmp.Or(cmp.Compare(b.row.Entry.Time, a.row.Entry.Time), cmp.Compare(b.row.Pos.Seq, a.row.Pos.Seq), cmp.Compare(b.row.Pos.Sub, a.row.Pos.Sub))
	})
	bytes := int64(0)
	for _, h := range all {
		m, _ := protocol.DecodeMessage(h.row.Entry.Body) // it was decoded before it was put there
		for _, f := range m.Files {
			bytes += max(f.Size, leastFile)
		}
		if bytes > s.d.files.spool/2 {
			s.d.files.store.Unpin(h.owner)
		}
	}
}

// leastFile is what the smallest file takes, in bytes.
const leastFile = 4096
