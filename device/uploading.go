package device

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

const (
	maxWaiting    = 1000 // messages of an account whose files are on their way
	uploadsAtOnce = 2    // so that a picture does not wait for a video
	maxReuploads  = 3    // of a message in a session: the hub has lost its file and asks again
)

var waitingName = []byte("waiting")

// waitingMessage is a message whose files go up before it takes its place in the
// outbox.
type waitingMessage struct {
	outbox.Item
	n uint64 // its key
}

// uploads are the messages of an account that wait for their files.
type uploads struct {
	mu      sync.Mutex
	list    []waitingMessage // on disk, in order
	running map[uint64]context.CancelFunc
	again   map[string]int // how often files went up once more, by owner
	owners  []string       // of files that are not needed any more
	wake    chan struct{}
}

func (u *uploads) open(s *session) error {
	u.running, u.again, u.wake = make(map[uint64]context.CancelFunc), make(map[string]int), make(chan struct{}, 1)
	return s.d.db.Do(func(tx *bbolt.Tx) error {
		b, err := s.account(tx).CreateBucketIfNotExists(waitingName)
		if err != nil {
			return err
		}
		return b.ForEach(func(k, v []byte) error {
			it := outbox.Unseal(v)
			if it.Kind == protocol.ItemVoid || len(k) != 8 {
				s.log.Error("a message that waited for its files is damaged and lost")
				return nil
			}
			u.list = append(u.list, waitingMessage{it, binary.BigEndian.Uint64(k)})
			return nil
		})
	})
}

func waitingKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// pending lists the messages, the newest first.
func (u *uploads) pending(s *session) (out []pendingMessage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, w := range slices.Backward(u.list) {
		if p, is := s.asPending(w.Item); is {
			p.waiting = w.n
			out = append(out, p)
		}
	}
	return out
}

// put writes a message down, within a transaction. It becomes known with added.
func (u *uploads) put(s *session, tx *bbolt.Tx, w *waitingMessage) error {
	b := s.account(tx).Bucket(waitingName)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	w.n = n
	v, err := outbox.Seal(w.Item)
	if err != nil {
		return err
	}
	return b.Put(waitingKey(n), v)
}

// added has the files of messages brought up, which were put.
func (u *uploads) added(list ...waitingMessage) {
	u.mu.Lock()
	u.list = append(u.list, list...)
	u.mu.Unlock()
	u.look()
}

// letGo has the files of owners let go of. It may be called on the committer's
// goroutine.
func (u *uploads) letGo(owners ...string) {
	u.mu.Lock()
	u.owners = append(u.owners, owners...) // bounded by the operations under way in the store
	for _, owner := range owners {
		delete(u.again, owner)
	}
	u.mu.Unlock()
	u.look()
}

func (u *uploads) unpin(s *session) {
	u.mu.Lock()
	owners := u.owners
	u.owners = nil
	u.mu.Unlock()
	for _, owner := range owners {
		s.d.files.store.Unpin(owner)
	}
}

func (u *uploads) look() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *uploads) gone(n uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = slices.DeleteFunc(u.list, func(w waitingMessage) bool { return w.n == n })
}

// send accepts a message with files. It returns as session.post does.
func (u *uploads) send(ctx context.Context, s *session, it *outbox.Item, m protocol.Message, key string, h hooks) (protocol.SendResponse, error) {
	if err := s.d.db.Room(); err != nil {
		return protocol.SendResponse{}, err
	}
	it.QueuedAt, it.IDEpoch = s.d.clock.seconds(), s.box.Epoch()
	it.IDNumber = protocol.FirstIDNumber + rand.Uint64N(protocol.FirstIDNumber) // 40 random bits, in an epoch of its own
	// From here on the message is the owner of its files, and not what it was made as.
	name := s.fileOwner(it.IDEpoch, it.IDNumber)
	if err := s.d.files.keep(name, m.Files); err != nil {
		return protocol.SendResponse{}, err
	}
	var w waitingMessage
	id, ch, err := s.accept(it, queue{
		put: func(tx *bbolt.Tx) error {
			if u.count() >= maxWaiting {
				return protocol.Errorf(protocol.CodeNetReqCountLimit, "%d messages wait for their files to go up", maxWaiting)
			}
			w.Item = *it
			return u.put(s, tx, &w)
		},
		taken: func() { u.added(w) },
	}, h)
	if err != nil {
		s.d.files.store.Unpin(name)
		return protocol.SendResponse{}, err
	}
	s.d.files.store.Unpin(owner(key))
	return s.await(ctx, id, ch)
}

func (u *uploads) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list)
}

// withdraw takes a message off, within a transaction. outbox.ErrTaken: it is not
// there any more.
func (u *uploads) withdraw(s *session, tx *bbolt.Tx, n uint64) error {
	b := s.account(tx).Bucket(waitingName)
	if b.Get(waitingKey(n)) == nil {
		return outbox.ErrTaken
	}
	return b.Delete(waitingKey(n))
}

// withdrawn ends the upload of a message that was taken off.
func (u *uploads) withdrawn(n uint64) {
	u.mu.Lock()
	if cancel := u.running[n]; cancel != nil {
		cancel()
	}
	u.mu.Unlock()
	u.gone(n)
}

// run brings files up until the session is over, and lets go of those that are
// there. It waits for what it has begun.
func (u *uploads) run(s *session) {
	var under sync.WaitGroup
	defer under.Wait()
	for {
		u.unpin(s)
		u.start(s, &under)
		select {
		case <-u.wake:
		case <-s.ctx.Done():
			return
		}
	}
}

func (u *uploads) start(s *session, under *sync.WaitGroup) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, w := range u.list {
		if len(u.running) >= uploadsAtOnce {
			return
		}
		if u.running[w.n] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(s.ctx)
		u.running[w.n] = cancel
		under.Go(func() {
			u.bring(ctx, s, w)
			cancel()
			u.mu.Lock()
			delete(u.running, w.n)
			u.mu.Unlock()
			u.look()
		})
	}
}

// bring brings a message's files up, then it into the outbox.
func (u *uploads) bring(ctx context.Context, s *session, w waitingMessage) {
	m, err := protocol.DecodeMessage(w.Body)
	for _, f := range m.Files {
		if err == nil {
			err = s.d.files.courier.Upload(ctx, f.Hash, f.Size, nil)
		}
	}
	if ctx.Err() != nil { // the session is over, or the message was taken back
		return
	}
	var refused *protocol.Error
	if errors.As(err, &refused) {
		err = u.fail(s, w, refused)
	} else if err == nil {
		err = u.hand(s, w)
	}
	if err != nil {
		s.log.Warn("what became of a message's files could not be written down; trying again", "err", err)
		select {
		case <-time.After(s.d.timing.send):
		case <-ctx.Done():
		}
	}
}

// hand puts a message into the outbox.
func (u *uploads) hand(s *session, w waitingMessage) error {
	it := w.Item
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		b := s.account(tx).Bucket(waitingName)
		if s.over() || b.Get(waitingKey(w.n)) == nil { // it was taken back
			return nil
		}
		if err := s.box.Put(tx, &it); err != nil {
			return err
		}
		return b.Delete(waitingKey(w.n))
	}, func(err error) {
		s.box.Committed(err)
		if err == nil {
			u.gone(w.n)
			s.wakeOutbox()
		}
		res <- err
	})
	return <-res
}

// fail gives a message up whose files the hub does not take.
func (u *uploads) fail(s *session, w waitingMessage, why *protocol.Error) error {
	id := s.itemID(w.Item)
	var waiter chan protocol.Ack
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		b := s.account(tx).Bucket(waitingName)
		if b.Get(waitingKey(w.n)) == nil { // it was taken back
			return nil
		}
		waiter = s.claim(id)
		if err := s.insertFailed(tx, w.Item, why.Code, why.Msg); err != nil {
			return err
		}
		if err := b.Delete(waitingKey(w.n)); err != nil || waiter != nil {
			return err
		}
		ev, err := protocol.OnMessageStatusChanged.New(protocol.MessageStatusEvent{MsgID: id, Status: protocol.StatusFailed, Code: why.Code, Msg: why.Msg})
		if err != nil {
			return err
		}
		return s.d.journal.Append(tx, ev)
	}, func(err error) {
		s.mirrored(err)
		s.d.journal.Committed(err)
		res <- err
	})
	if err := <-res; err != nil {
		if waiter != nil { // the event says it, once it is written down
			close(waiter)
		}
		return err
	}
	u.gone(w.n)
	s.d.files.store.Unpin(s.fileOwner(w.IDEpoch, w.IDNumber))
	s.log.Warn("a message with a file was not delivered", "code", why.Code, "err", why.Msg, "to", w.To)
	if waiter != nil {
		waiter <- protocol.Ack{Code: why.Code, Msg: why.Msg}
	}
	return nil
}

// back has a message wait for its files once more: the hub has lost one of them.
// false: it has done so too often.
func (u *uploads) back(s *session, tx *bbolt.Tx, it outbox.Item) (w waitingMessage, ok bool, err error) {
	owner := s.fileOwner(it.IDEpoch, it.IDNumber)
	u.mu.Lock()
	u.again[owner]++
	tries := u.again[owner]
	u.mu.Unlock()
	m, err := protocol.DecodeMessage(it.Body)
	if err != nil || len(m.Files) == 0 || tries > maxReuploads || !s.d.files.has(m.Files) {
		return w, false, nil
	}
	w.Item, w.Cseq = it, 0
	return w, true, u.put(s, tx, &w)
}
