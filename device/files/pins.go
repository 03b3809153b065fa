package files

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

// The bucket "files" of the board's store has two more in it: owners, whose keys
// are an owner, a zero and a hash, with sealed nothing behind; and uploads, whose
// keys are their names.
var (
	rootBucket    = []byte("files")
	ownersBucket  = []byte("owners")
	uploadsBucket = []byte("uploads")
)

// maxOwner is the longest name of an owner, in bytes.
const maxOwner = 512

func checkOwner(owner string) error {
	if owner == "" || len(owner) > maxOwner || strings.ContainsRune(owner, 0) {
		return fmt.Errorf("files: %q cannot own files", protocol.Clip(owner))
	}
	return nil
}

func ownerKey(owner, hash string) []byte { return []byte(owner + "\x00" + hash) }

// Pin makes owner an owner of files that are here, so that they stay until Unpin,
// and returns once that is on disk. Doing it again does nothing. It does all or
// nothing: fs.ErrNotExist is in the error's chain when one of the files is not
// here; CodeNetReqCountLimit says that too many would be pinned.
func (s *Store) Pin(owner string, hashes ...string) error {
	if err := checkOwner(owner); err != nil {
		return err
	}
	if err := s.pin(owner, hashes); err != nil {
		return err
	}
	return s.commitPins(owner, hashes...)
}

func (s *Store) pin(owner string, hashes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := int64(0)
	for i, hash := range hashes {
		e := s.entries[hash]
		if e == nil || !protocol.ValidHash(hash) {
			return fmt.Errorf("the file %s is not on this board: %w", protocol.Clip(hash), fs.ErrNotExist)
		}
		if e.owners == 0 && !slices.Contains(hashes[:i], hash) {
			more += room(e.size)
		}
	}
	if more > 0 && s.pinned+more > s.opts.Spool {
		return errSpool(s.pinned, s.opts.Spool)
	}
	for _, hash := range hashes {
		s.addOwner(owner, s.entries[hash])
	}
	return nil
}

// addOwner is in memory only. The lock is held.
func (s *Store) addOwner(owner string, e *entry) {
	if slices.Contains(s.owners[owner], e.name) {
		return
	}
	s.owners[owner] = append(s.owners[owner], e.name)
	s.own(e, 1)
}

// commitPins has on disk what is in memory; if that fails it is taken back there.
func (s *Store) commitPins(owner string, hashes ...string) error {
	err := s.opts.DB.Do(func(tx *bbolt.Tx) error {
		b, err := bucket(tx, ownersBucket)
		if err != nil {
			return err
		}
		for _, hash := range hashes {
			if err := b.Put(ownerKey(owner, hash), store.Seal(nil)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.drop(owner, hashes...)
	}
	return err
}

// Unpin ends what owner owns; files that nobody else owns are cached from then
// on. It does not wait for the disk: what a crash brings back, Sweep ends.
func (s *Store) Unpin(owner string) {
	hashes := s.Owned(owner)
	s.drop(owner, hashes...)
	if len(hashes) == 0 {
		return
	}
	s.opts.DB.Go(func(tx *bbolt.Tx) error {
		b, err := bucket(tx, ownersBucket)
		if err != nil {
			return err
		}
		for _, hash := range hashes {
			if err := b.Delete(ownerKey(owner, hash)); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) {
		if err != nil {
			s.opts.Log.Debug("it could not be noted that files are not needed any more", "err", err)
		}
	})
}

// drop is in memory only. The file that was owned last is the one used last.
func (s *Store) drop(owner string, hashes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hash := range hashes {
		i := slices.Index(s.owners[owner], hash)
		if i < 0 {
			continue
		}
		s.owners[owner] = slices.Delete(s.owners[owner], i, i+1)
		if e := s.entries[hash]; e != nil {
			s.own(e, -1)
		}
	}
	if len(s.owners[owner]) == 0 {
		delete(s.owners, owner)
	}
}

// Owned are the hashes of owner's files.
func (s *Store) Owned(owner string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.owners[owner])
}

// Sweep ends what owners own who are not alive any more. Call it at the start,
// once it is known what waits to be sent. Uploads are not asked for.
func (s *Store) Sweep(alive func(owner string) bool) {
	s.mu.Lock()
	var all []string
	for owner := range s.owners {
		if _, upload := uploadName(owner); !upload {
			all = append(all, owner)
		}
	}
	s.mu.Unlock()
	for _, owner := range all {
		if !alive(owner) {
			s.Unpin(owner)
		}
	}
}

// bucket makes the bucket if it is not there.
func bucket(tx *bbolt.Tx, name []byte) (*bbolt.Bucket, error) {
	root, err := tx.CreateBucketIfNotExists(rootBucket)
	if err != nil {
		return nil, err
	}
	return root.CreateBucketIfNotExists(name)
}

// readOwners reads both buckets at the start and removes the rows that say
// nothing any more.
func (s *Store) readOwners() error {
	var stale [][]byte
	missing := 0
	err := s.opts.DB.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket(rootBucket)
		if root == nil {
			return nil
		}
		if b := root.Bucket(uploadsBucket); b != nil {
			if err := b.ForEach(s.readUpload); err != nil {
				return err
			}
		}
		b := root.Bucket(ownersBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			owner, hash, _ := bytes.Cut(k, []byte{0})
			_, whole := store.Unseal(v)
			e := s.entries[string(hash)]
			name, isUpload := uploadName(string(owner))
			switch {
			case !whole, !protocol.ValidHash(string(hash)), isUpload && s.uploads[name] == nil:
				stale = append(stale, bytes.Clone(k))
			case e == nil:
				missing++
				stale = append(stale, bytes.Clone(k))
			default:
				s.addOwner(string(owner), e)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if missing > 0 {
		s.opts.Log.Warn("files that were to be kept are not there", "folder", s.opts.Dir, "files", missing)
	}
	if len(stale) == 0 {
		return nil
	}
	return s.opts.DB.Do(func(tx *bbolt.Tx) error {
		b, err := bucket(tx, ownersBucket)
		if err != nil {
			return err
		}
		for _, k := range stale {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}
