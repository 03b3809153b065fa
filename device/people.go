package device

import (
	"bytes"
	"slices"
	"sync"

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

// meet takes what a frame says of those in it.
func (s *session) meet(list []protocol.Person) {
	changes := make(map[string]person)
	for _, x := range list {
		if !protocol.ValidUserID(x.User) {
			continue
		}
		s.people.change(changes, x.User, func(p *person) { p.Nick, p.Face = x.Nick, x.Face })
		if x.Group != "" && protocol.ValidGroupID(x.Group) {
			s.people.change(changes, cardKey(x.Group, x.User), func(p *person) { p.Nick = x.Card })
		}
	}
	s.keepPeople(changes)
}

// change notes what becomes of one, if it is another than before.
func (p *people) change(changes map[string]person, key string, f func(*person)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, changed := changes[key]
	if !changed {
		x = p.known[key]
	}
	old := x
	f(&x)
	if x != old {
		changes[key] = x
	}
}

// keepPeople has what has changed known at once, and written down with what comes
// next. Names come again with each frame: one that is lost does no harm.
func (s *session) keepPeople(changes map[string]person) {
	if len(changes) == 0 {
		return
	}
	gone := s.people.put(changes)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() {
			return nil
		}
		return s.writePeople(tx, changes, gone)
	}, func(err error) {
		if err != nil {
			s.log.Debug("names could not be written down", "err", err)
		}
	})
	s.showNames(changes)
}

func (s *session) writePeople(tx *bbolt.Tx, changes map[string]person, gone []string) error {
	b, err := s.account(tx).CreateBucketIfNotExists(peopleName)
	if err != nil {
		return err
	}
	for key, x := range changes {
		if x == (person{}) {
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
	for _, key := range gone {
		if err := b.Delete([]byte(key)); err != nil {
			return err
		}
	}
	return nil
}

// put takes changes and returns who has gone for them.
func (p *people) put(changes map[string]person) (gone []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, x := range changes {
		if x == (person{}) {
			delete(p.known, key)
		} else {
			p.known[key] = x
		}
	}
	for key, x := range p.known {
		if len(p.known) <= maxPeople {
			break
		}
		if _, fresh := changes[key]; !fresh && !x.Friend {
			delete(p.known, key)
			gone = append(gone, key)
		}
	}
	return gone
}

// syncPeople asks the hub for the account's friends and its own profile, once: from
// then on its log tells. It ends with the session.
func (s *session) syncPeople() {
	for {
		select {
		case <-s.people.wanted:
		case <-s.ctx.Done():
			return
		}
		s.people.mu.Lock()
		synced := s.people.synced
		s.people.mu.Unlock()
		if synced {
			continue
		}
		if err := s.askPeople(); err != nil && s.ctx.Err() == nil { // the next link brings it
			s.log.Debug("the friends could not be asked for", "err", err)
		}
	}
}

func (s *session) askPeople() error {
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
	changes := make(map[string]person)
	s.people.befriended(changes, friends.InfoList)
	s.people.unfriendOthers(changes, friends.InfoList)
	for _, u := range self.InfoList {
		s.people.change(changes, u.UserID, func(p *person) { p.Nick, p.Face = u.NickName, u.FaceURL })
	}
	s.keepPeople(changes)
	return s.write(func(tx *bbolt.Tx) error {
		b, err := s.account(tx).CreateBucketIfNotExists(peopleName)
		if err == nil {
			err = b.Put(syncedKey, nil)
		}
		if err == nil {
			s.people.mu.Lock()
			s.people.synced = true
			s.people.mu.Unlock()
		}
		return err
	})
}

// befriended notes that accounts are in the friend list.
func (p *people) befriended(changes map[string]person, list []protocol.FriendInfo) {
	for _, f := range list {
		p.change(changes, f.UserID, func(x *person) {
			*x = person{Nick: f.UserInfo.NickName, Face: f.UserInfo.FaceURL, Remark: f.FriendRemark, Friend: true}
		})
	}
}

// unfriendOthers notes that no other account is in the friend list.
func (p *people) unfriendOthers(changes map[string]person, list []protocol.FriendInfo) {
	in := make(map[string]bool, len(list))
	for _, f := range list {
		in[f.UserID] = true
	}
	var out []string
	p.mu.Lock()
	for user, x := range p.known {
		if x.Friend && !in[user] {
			out = append(out, user)
		}
	}
	p.mu.Unlock()
	for _, user := range out {
		p.change(changes, user, unfriend)
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
// within the transaction that records it. Should that fail, reopen is to be called.
func (s *session) learn(tx *bbolt.Tx, ev protocol.HubEvent) (map[string]person, error) {
	changes := make(map[string]person)
	var friends protocol.FriendsEvent
	var left protocol.FriendsGoneEvent
	var self protocol.SelfInfoEvent
	switch {
	case ev.As(protocol.OnFriendListAdded.Info().Name, &friends), ev.As(protocol.OnFriendProfileChanged.Info().Name, &friends):
		s.people.befriended(changes, friends.InfoList)
	case ev.As(protocol.OnFriendListDeleted.Info().Name, &left):
		for _, user := range left.UserIDList {
			s.people.change(changes, user, unfriend)
		}
	case ev.As(protocol.OnSelfInfoUpdated.Info().Name, &self):
		s.people.change(changes, s.user, func(p *person) { p.Nick, p.Face = self.Info.NickName, self.Info.FaceURL })
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return changes, s.writePeople(tx, changes, s.people.put(changes))
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
	p.mu.Unlock()
	p.wake()
}
