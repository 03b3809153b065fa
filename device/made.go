package device

import (
	"crypto/rand"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

const (
	maxMade  = 1000      // messages of an account that were made, those sent among them
	madeTime = 24 * 3600 // seconds that a messageKey is good for
)

var madeName = []byte("made")

// madeMessage is a message that a program has made. It stays for a while when it
// is sent, so that sent twice it goes once: also when the program, or the board,
// was started anew in between.
type madeMessage struct {
	Body cbor.RawMessage `cbor:"1,keyasint"`
	At   int64           `cbor:"2,keyasint"` // Unix seconds
	Sent string          `cbor:"3,keyasint,omitempty"`
	Log  string          `cbor:"4,keyasint,omitempty"` // that it was sent to
}

// owner is the name under which the files of a made message are kept.
func owner(key string) string { return "made " + key }

// newKey names a message that is being made.
func newKey() string { return "k-" + rand.Text()[:13] } // 65 random bits

// makeMessage keeps a message under a key.
func (s *session) makeMessage(key string, m protocol.Message) (protocol.MessageKeyResponse, error) {
	if err := s.d.db.Room(); err != nil {
		return protocol.MessageKeyResponse{}, err
	}
	body, err := protocol.Marshal(m)
	if err != nil {
		return protocol.MessageKeyResponse{}, err
	}
	// What is long for itself and within bounds in its parts, a text with many to whom it is meant.
	if len(body) > protocol.MaxBodyBytes {
		return protocol.MessageKeyResponse{}, protocol.Errorf(protocol.CodeMsgBodySizeLimit, "the message has %d bytes, over the limit of %d", len(body), protocol.MaxBodyBytes)
	}
	made := madeMessage{Body: body, At: s.d.clock.seconds()}
	var gone []string
	err = s.write(func(tx *bbolt.Tx) error {
		b, err := s.madeBucket(tx)
		if err != nil {
			return err
		}
		if gone, err = s.clearMade(b, made.At); err != nil {
			return err
		}
		return putMade(b, key, made)
	})
	if err != nil {
		return protocol.MessageKeyResponse{}, err
	}
	for _, k := range gone {
		s.d.files.store.Unpin(owner(k))
	}
	return protocol.MessageKeyResponse{MessageKey: key}, nil
}

func (s *session) madeBucket(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	return s.account(tx).CreateBucketIfNotExists(madeName)
}

func putMade(b *bbolt.Bucket, key string, made madeMessage) error {
	v, err := protocol.Marshal(made)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), store.Seal(v))
}

// getMade finds a made message. CodeInvalidParameters: there is none.
func getMade(b *bbolt.Bucket, key string, now int64) (made madeMessage, err error) {
	var v []byte
	ok := false
	if b != nil {
		v, ok = store.Unseal(b.Get([]byte(key)))
	}
	if !ok || protocol.Unmarshal(v, &made) != nil || made.At+madeTime < now {
		return made, protocol.Errorf(protocol.CodeInvalidParameters, "messageKey: there is no message %q: it was not made, or over a day ago", protocol.Clip(key))
	}
	made.Body = slices.Clone(made.Body)
	return made, nil
}

// clearMade makes room: what is too old goes, then the oldest that were sent. gone
// are the keys of those that went.
func (s *session) clearMade(b *bbolt.Bucket, now int64) (gone []string, err error) {
	if now-s.madeCleared < madeTime/24 && b.Stats().KeyN < maxMade {
		return nil, nil
	}
	s.madeCleared = now
	type aged struct {
		key string
		at  int64
	}
	var sent []aged
	left := 0
	err = b.ForEach(func(k, v []byte) error {
		var made madeMessage
		v, ok := store.Unseal(v)
		switch {
		case !ok || protocol.Unmarshal(v, &made) != nil || made.At+madeTime < now:
			gone = append(gone, string(k))
			return nil
		case made.Sent != "":
			sent = append(sent, aged{string(k), made.At})
		}
		left++
		return nil
	})
	if err != nil {
		return nil, err
	}
	if left >= maxMade {
		if len(sent) == 0 {
			return nil, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d messages were made and not sent: send some first", left)
		}
		slices.SortFunc(sent, func(a, b aged) int { return int(a.at - b.at) })
		for _, a := range sent[:len(sent)/4+1] {
			gone = append(gone, a.key)
		}
	}
	for _, k := range gone {
		if err := b.Delete([]byte(k)); err != nil {
			return nil, err
		}
	}
	return gone, nil
}
