package device

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// maxPeople bounds whom a board knows by name: friends stay, of the others one goes
// for each that comes beyond it.
const maxPeople = 5000

var (
	peopleName = []byte("people")
	syncedKey  = []byte{0} // no userId has a zero byte; there once friends were asked for
)

// person is how an account shows itself, and what this one calls it.
type person struct {
	Nick   string `cbor:"1,keyasint,omitempty"`
	Face   string `cbor:"2,keyasint,omitempty"`
	Remark string `cbor:"3,keyasint,omitempty"`
	Friend bool   `cbor:"4,keyasint,omitempty"`
}

// people is whom an account's board knows by name: by userId, and by groupId, a zero
// byte and userId what one is called in a group.
type people struct {
	mu     sync.Mutex
	known  map[string]person
	synced bool          // friends were asked for
	turn   uint64        // rises with what the account's log tells
	wanted chan struct{} // somebody is to look whether they were
}

// wake has friends asked for, if they were not yet.
func (p *people) wake() {
	select {
	case p.wanted <- struct{}{}:
	default:
	}
}

func cardKey(group, user string) string { return group + "\x00" + user }

// open reads what was known before.
func (p *people) open(s *session) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known, p.synced = make(map[string]person), false
	if p.wanted == nil {
		p.wanted = make(chan struct{}, 1)
	}
	return s.d.db.View(func(tx *bbolt.Tx) error {
		b := s.account(tx).Bucket(peopleName)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if bytes.Equal(k, syncedKey) {
				p.synced = true
				return nil
			}
			var x person
			if v, ok := store.Unseal(v); ok && protocol.Unmarshal(v, &x) == nil {
				p.known[string(k)] = x
			}
			return nil
		})
	})
}

// of is a person, and what he is called in a group, if it is one's.
func (p *people) of(user, group string) (x person, card string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if group != "" {
		card = p.known[cardKey(group, user)].Nick
	}
	return p.known[user], card
}

// showName is what people see of an account: the remark, the nickname or the userId.
func (p *people) showName(user string) (name, face string) {
	x, _ := p.of(user, "")
	switch {
	case x.Remark != "":
		return x.Remark, x.Face
	case x.Nick != "":
		return x.Nick, x.Face
	}
	return user, x.Face
}

// Limits of what is kept of one person, in bytes: a hub is not to fill the board.
const (
	maxName = 2 * protocol.MaxProfileValue
	maxCard = 2 * protocol.MaxFriendRemark // or remark
)

// short is a text that is no longer than one of its kind may be; empty for another.
func short(text string, limit int) string {
	if len(text) > limit {
		return ""
	}
	return text
}

// alter changes the one that a key stands for.
type alter func(key string, f func(*person))

// update has people changed, all at once, and returns who is another than before, and
// who has gone for them.
func (p *people) update(f func(alter)) (changed map[string]person, gone []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed = make(map[string]person)
	f(func(key string, g func(*person)) {
		old := p.known[key]
		x := old
		g(&x)
		if x == old {
			return
		}
		changed[key] = x
		if x == (person{}) {
			delete(p.known, key)
		} else {
			p.known[key] = x
		}
	})
	return changed, p.shrink(changed)
}

// shrink lets go of those who are too many: of friends last.
func (p *people) shrink(fresh map[string]person) (gone []string) {
	for _, friends := range [...]bool{false, true} {
		for key, x := range p.known {
			if len(p.known) <= maxPeople {
				return gone
			}
			if _, is := fresh[key]; !is && x.Friend == friends {
				delete(p.known, key)
				gone = append(gone, key)
			}
		}
	}
	return gone
}

// meet takes what a frame says of those in it.
func (s *session) meet(list []protocol.Person) {
	s.keepPeople(func(change alter) {
		for _, x := range list {
			if !protocol.ValidUserID(x.User) {
				continue
			}
			change(x.User, func(p *person) { p.Nick, p.Face = short(x.Nick, maxName), short(x.Face, maxName) })
			if x.Group != "" && protocol.ValidGroupID(x.Group) {
				change(cardKey(x.Group, x.User), func(p *person) { p.Nick = short(x.Card, maxCard) })
			}
		}
	})
}

// keepPeople has what has changed known at once, and written down with what comes
// next. Names come again with each frame: one that is lost does no harm.
func (s *session) keepPeople(f func(alter)) {
	changed, gone := s.people.update(f)
	if len(changed) == 0 {
		return
	}
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() {
			return nil
		}
		return s.writePeople(tx, changed, gone)
	}, func(err error) {
		if err != nil {
			s.log.Debug("names could not be written down", "err", err)
		}
	})
	s.showNames(changed)
}

// writePeople writes those down who have changed or gone, as they are known by now:
// what the log has told of them since may be written already.
func (s *session) writePeople(tx *bbolt.Tx, changed map[string]person, gone []string) error {
	b, err := s.account(tx).CreateBucketIfNotExists(peopleName)
	if err != nil {
		return err
	}
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	for _, key := range slices.AppendSeq(gone, maps.Keys(changed)) {
		x, known := s.people.known[key]
		if !known {
			err = b.Delete([]byte(key))
		} else if v, e := protocol.Marshal(x); e != nil {
			err = e
		} else {
			err = b.Put([]byte(key), store.Seal(v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncPeople asks the hub for the account's friends and its own profile, once: from
// then on its log tells. It ends with the session.
func (s *session) syncPeople() {
	var again <-chan time.Time // after a failure: the link may stay for weeks
	for {
		select {
		case <-s.people.wanted:
		case <-again:
		case <-s.ctx.Done():
			return
		}
		again = nil
		s.people.mu.Lock()
		synced := s.people.synced
		s.people.mu.Unlock()
		if synced {
			continue
		}
		if err := s.askPeople(); err != nil && s.ctx.Err() == nil {
			s.log.Debug("the friends could not be asked for", "err", err)
			again = time.After(s.d.timing.friends)
		}
	}
}

func (s *session) askPeople() error {
	turn := s.people.turned()
	var friends protocol.FriendsResponse
	var self protocol.UsersResponse
	for _, q := range []struct {
		method   string
		req, res any
	}{
		{protocol.GetFriendList.Info().Name, protocol.Empty{}, &friends},
		{protocol.GetUsersInfo.Info().Name, protocol.UserListRequest{UserIDList: []string{s.user}}, &self},
	} {
		body, err := protocol.Marshal(q.req)
		if err == nil {
			body, err = s.ask(s.ctx, q.method, body)
		}
		if err == nil {
			err = protocol.Unmarshal(body, q.res)
		}
		if err != nil {
			return err
		}
	}
	changed, err := s.introduce(turn, friends.InfoList, self.InfoList)
	if err == nil {
		s.showNames(changed)
	}
	return err
}

// introduce takes who the account's friends are and what it calls itself, unless its
// log has told something since a turn: that may be newer.
func (s *session) introduce(turn uint64, friends []protocol.FriendInfo, self []protocol.UserFullInfo) (changed map[string]person, err error) {
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() {
			return errNotLoggedIn
		}
		if s.people.turned() != turn {
			s.people.wake()
			return nil
		}
		var gone []string
		changed, gone = s.people.update(func(change alter) {
			befriended(change, friends)
			s.people.unfriendOthers(change, friends)
			for _, u := range self {
				if u.UserID == s.user {
					rename(change, u.UserInfo)
				}
			}
		})
		if err := s.writePeople(tx, changed, gone); err != nil {
			return err
		}
		if err := s.account(tx).Bucket(peopleName).Put(syncedKey, nil); err != nil {
			return err
		}
		s.people.mu.Lock()
		s.people.synced = true
		s.people.mu.Unlock()
		return nil
	}, func(err error) {
		if err != nil {
			s.reopenPeople()
		}
		res <- err
	})
	return changed, <-res
}

// reopenPeople reads who is known anew: what was told last could not be written down.
func (s *session) reopenPeople() {
	if err := s.people.open(s); err != nil {
		s.log.Warn("names cannot be read", "err", err)
	}
}

func rename(change alter, u protocol.UserInfo) {
	change(u.UserID, func(p *person) { p.Nick, p.Face = short(u.NickName, maxName), short(u.FaceURL, maxName) })
}

// befriended notes that accounts are in the friend list.
func befriended(change alter, list []protocol.FriendInfo) {
	for _, f := range list {
		if !protocol.ValidUserID(f.UserID) {
			continue
		}
		rename(change, protocol.UserInfo{UserID: f.UserID, NickName: f.UserInfo.NickName, FaceURL: f.UserInfo.FaceURL})
		change(f.UserID, func(x *person) { x.Remark, x.Friend = short(f.FriendRemark, maxCard), true })
	}
}

// unfriendOthers notes that no other account is in the friend list. p.mu is held.
func (p *people) unfriendOthers(change alter, list []protocol.FriendInfo) {
	in := make(map[string]bool, len(list))
	for _, f := range list {
		in[f.UserID] = true
	}
	for user, x := range p.known {
		if x.Friend && !in[user] {
			change(user, unfriend)
		}
	}
}

func unfriend(p *person) { p.Remark, p.Friend = "", false }

// showNames tells programs of conversations with those whose names have changed.
func (s *session) showNames(changes map[string]person) {
	if !s.d.moments.watched() {
		return
	}
	var list []protocol.Conversation
	err := s.d.db.View(func(tx *bbolt.Tx) error {
		for user := range changes {
			if c := s.mirror.Conv(protocol.C2CLog(s.user, user)); c != nil && c.Visible() {
				list = append(list, s.conversation(tx, c, nil))
			}
		}
		return nil
	})
	if err != nil {
		s.log.Warn("programs could not be told of conversations", "err", err)
		return
	}
	slices.SortFunc(list, func(a, b protocol.Conversation) int { return bytes.Compare([]byte(a.UserID), []byte(b.UserID)) })
	showConversations(s.d, protocol.OnConversationChanged, list)
}

// learn takes from what the hub tells of friends and of oneself what they are called,
// within the transaction that records it. Should that fail, reopenPeople is to be
// called.
func (s *session) learn(tx *bbolt.Tx, ev protocol.HubEvent) (map[string]person, error) {
	var friends protocol.FriendsEvent
	var left protocol.FriendsGoneEvent
	var self protocol.SelfInfoEvent
	var f func(alter)
	switch {
	case ev.As(protocol.OnFriendListAdded.Info().Name, &friends), ev.As(protocol.OnFriendProfileChanged.Info().Name, &friends):
		f = func(change alter) { befriended(change, friends.InfoList) }
	case ev.As(protocol.OnFriendListDeleted.Info().Name, &left):
		f = func(change alter) {
			for _, user := range left.UserIDList {
				change(user, unfriend)
			}
		}
	case ev.As(protocol.OnSelfInfoUpdated.Info().Name, &self):
		f = func(change alter) {
			rename(change, protocol.UserInfo{UserID: s.user, NickName: self.Info.NickName, FaceURL: self.Info.FaceURL})
		}
	default:
		return nil, nil
	}
	s.people.told()
	return s.record(tx, f)
}

// record has people changed within a transaction. Should that fail, reopenPeople is to
// be called.
func (s *session) record(tx *bbolt.Tx, f func(alter)) (map[string]person, error) {
	changed, gone := s.people.update(f)
	if len(changed) == 0 {
		return nil, nil
	}
	return changed, s.writePeople(tx, changed, gone)
}

// told notes that the account's log has told something of people, or has not told all.
func (p *people) told() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
}

func (p *people) turned() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turn
}

// doubt has friends asked for anew: what the account's log has said of them was
// missed.
func (p *people) doubt(tx *bbolt.Tx, s *session) {
	if b := s.account(tx).Bucket(peopleName); b != nil {
		if err := b.Delete(syncedKey); err != nil {
			s.log.Warn("friends are not asked for anew", "err", err)
		}
	}
	p.mu.Lock()
	p.synced = false
	p.turn++
	p.mu.Unlock()
	p.wake()
}
