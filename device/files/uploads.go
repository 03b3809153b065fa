package files

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

const (
	uploadScheme = "upload:"
	// uploadFor is how long an upload keeps its name. It is pinned until it is
	// claimed.
	uploadFor = 24 * time.Hour
	// maxUploads counts those that were claimed too, which leave first.
	maxUploads = 4096
)

// upload is a file that a program has sent here to make a message of.
type upload struct {
	Hash string `json:"hash"`
	Size int64  `json:"size"`
	At   int64  `json:"at"` // Unix seconds by the board's clock

	since time.Time // when it came, or this run began; its monotonic part counts
	old   bool      // of an earlier run
}

// uploadName tells whether a path, or an owner, is an upload.
func uploadName(path string) (name string, ok bool) { return strings.CutPrefix(path, uploadScheme) }

// Receive stores what a program sends as its file. The path that it returns is
// "upload:", a random word and, if the program gave a name, "/" and that name;
// Take takes it, for 24 hours. Errors are those of Take.
func (s *Store) Receive(ctx context.Context, src io.Reader, name string, limit int64) (path string, f File, err error) {
	if !validName(name) {
		return "", f, protocol.Errorf(protocol.CodeInvalidParameters, "name: %q is not the name of a file, 1 to %d bytes of UTF-8", protocol.Clip(name), protocol.MaxFileName)
	}
	var word [12]byte
	_, _ = rand.Read(word[:]) // never fails
	key := hex.EncodeToString(word[:])
	if name != "" {
		key += "/" + name
	}
	u := &upload{At: s.opts.now().Unix(), since: s.opts.now()}
	if !s.uploadRoom() {
		return "", f, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d files were uploaded within a day: make messages of them first", maxUploads)
	}
	path = uploadScheme + key
	if f, err = s.keep(ctx, cmp.Or(name, "the file"), src, path, 0, limit); err != nil {
		return "", f, err
	}
	u.Hash, u.Size = f.Hash, f.Size
	b, err := json.Marshal(u)
	if err == nil {
		err = s.opts.DB.Do(func(tx *bbolt.Tx) error {
			rows, err := bucket(tx, uploadsBucket)
			if err != nil {
				return err
			}
			return rows.Put([]byte(key), store.Seal(b))
		})
	}
	if err != nil {
		s.Unpin(path)
		return "", f, err
	}
	s.mu.Lock()
	s.uploads[key] = u
	s.mu.Unlock()
	return path, f, nil
}

// validName tells whether people may have called a file so; "" is no name.
func validName(name string) bool {
	return len(name) <= protocol.MaxFileName && utf8.ValidString(name) && name != "." && name != ".." &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '/' || unicode.IsControl(r) })
}

// claim makes owner the owner of an upload. Its name stays for its day, so that a
// program whose message could not be made may try again, but does not pin it.
func (s *Store) claim(name, owner string, limit int64) (File, error) {
	s.mu.Lock()
	u := s.uploads[name]
	s.mu.Unlock()
	gone := protocol.Errorf(protocol.CodeFileNotFound, "there is no %q: it was never uploaded, or over 24 hours ago", protocol.Clip(uploadScheme+name))
	switch {
	case u == nil:
		return File{}, gone
	case u.Size > limit:
		return File{}, errTooLarge(uploadScheme+name, limit)
	}
	if err := s.Pin(owner, u.Hash); err != nil {
		if _, here := s.Path(u.Hash); !here {
			return File{}, gone
		}
		return File{}, err
	}
	s.Unpin(uploadScheme + name)
	return File{Hash: u.Hash, Size: u.Size}, nil
}

// readUpload reads a row at the start. What is damaged is left to be dropped.
func (s *Store) readUpload(k, v []byte) error {
	u := &upload{since: s.opts.now(), old: true}
	if b, ok := store.Unseal(v); !ok || json.Unmarshal(b, u) != nil || !protocol.ValidHash(u.Hash) || u.Size < 1 {
		u = &upload{old: true} // of 1970
	}
	s.uploads[string(k)] = u
	return nil
}

// dropUploads ends the uploads of more than a day ago. What came in this run is
// as old as the monotonic clock says, since the board may have booted in 1970;
// of what came before, the board's date counts too.
func (s *Store) dropUploads() {
	now := s.opts.now()
	var names []string
	s.mu.Lock()
	for name, u := range s.uploads {
		if now.Sub(u.since) >= uploadFor || u.old && now.Sub(time.Unix(u.At, 0)) >= uploadFor {
			names = append(names, name)
			delete(s.uploads, name)
		}
	}
	s.mu.Unlock()
	for _, name := range names {
		s.Unpin(uploadScheme + name)
	}
	s.forgetUploads(names)
}

// uploadRoom tells whether there may be one more. If need be the oldest that was
// claimed makes room.
func (s *Store) uploadRoom() bool {
	oldest, found := "", (*upload)(nil)
	s.mu.Lock()
	if len(s.uploads) < maxUploads {
		s.mu.Unlock()
		return true
	}
	for name, u := range s.uploads {
		claimed := len(s.owners[uploadScheme+name]) == 0
		if claimed && (found == nil || cmp.Or(u.since.Compare(found.since), cmp.Compare(u.At, found.At)) < 0) {
			oldest, found = name, u
		}
	}
	delete(s.uploads, oldest)
	s.mu.Unlock()
	if found == nil {
		return false
	}
	s.forgetUploads([]string{oldest})
	return true
}

// forgetUploads removes their rows. It does not wait for the disk.
func (s *Store) forgetUploads(names []string) {
	if len(names) == 0 {
		return
	}
	s.opts.DB.Go(func(tx *bbolt.Tx) error {
		b, err := bucket(tx, uploadsBucket)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := b.Delete([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) {
		if err != nil {
			s.opts.Log.Debug("it could not be noted that uploads are gone", "err", err)
		}
	})
}
