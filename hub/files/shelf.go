package files

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tus/tusd/v2/pkg/filestore"
	tus "github.com/tus/tusd/v2/pkg/handler"

	"github.com/herald-im/herald/protocol"
)

// uploadsDir is the directory within Limits.Dir where uploads gather.
const uploadsDir = "uploads"

// shelf is where uploads gather: tusd's store on disk, which has for each a file
// with its bytes and one about it (.info), with bounds. Whoever calls it for one
// upload has its turn.
type shelf struct {
	inner filestore.FileStore
	s     *Server

	mu    sync.Mutex
	half  map[string]half // unfinished uploads, by id
	users map[string]int  // how many each account has
	bytes int64           // that they have on disk
}

// half is an upload that is not finished.
type half struct {
	user, hash string
	size, have int64
	moved      time.Time // when bytes came last
}

func newShelf(dir string, s *Server) (*shelf, error) {
	sh := &shelf{inner: filestore.FileStore{Path: dir, DirModePerm: 0o700, FileModePerm: 0o600}, s: s, half: make(map[string]half), users: make(map[string]int)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		id := strings.TrimSuffix(e.Name(), infoSuffix)
		if _, known := sh.half[id]; known {
			continue
		}
		if h, ok := sh.read(id); ok {
			sh.put(id, h)
		} else if err := sh.remove(id); err != nil {
			return nil, err
		}
	}
	return sh, nil
}

const infoSuffix = ".info"

func (sh *shelf) path(id string) string { return filepath.Join(sh.inner.Path, id) }

// remove removes an upload's files: the bytes first, whose name must never be found
// by an upload that begins, see disk.put.
func (sh *shelf) remove(id string) error {
	for _, path := range [...]string{sh.path(id), sh.path(id + infoSuffix)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// read is what the disk says of an upload. false: it is not there, or its .info was
// half written as the process ended.
func (sh *shelf) read(id string) (h half, ok bool) {
	text, err := os.ReadFile(sh.path(id + infoSuffix))
	if err != nil {
		return h, false
	}
	var info tus.FileInfo
	if err := json.Unmarshal(text, &info); err != nil || info.ID != id {
		return h, false
	}
	bytes, err := os.Stat(sh.path(id))
	if err != nil || !bytes.Mode().IsRegular() || bytes.Size() > info.Size {
		return h, false
	}
	h = half{info.MetaData["user"], info.MetaData["hash"], info.Size, bytes.Size(), bytes.ModTime()}
	return h, protocol.ValidUserID(h.user) && protocol.ValidHash(h.hash)
}

func (sh *shelf) put(id string, h half) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old, known := sh.half[id]
	if !known {
		sh.users[h.user]++
	}
	sh.bytes += h.have - old.have
	sh.half[id] = h
}

// drop forgets an upload, if there is one.
func (sh *shelf) drop(id string) error {
	if err := sh.remove(id); err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h, known := sh.half[id]
	if !known {
		return nil
	}
	delete(sh.half, id)
	sh.bytes -= h.have
	if sh.users[h.user]--; sh.users[h.user] == 0 {
		delete(sh.users, h.user)
	}
	return nil
}

// state finds an unfinished upload. One whose files are damaged is dropped.
func (sh *shelf) state(id string) (h half, ok bool, err error) {
	sh.mu.Lock()
	_, known := sh.half[id]
	sh.mu.Unlock()
	if !known {
		return h, false, nil
	}
	if h, ok = sh.read(id); !ok {
		return h, false, sh.drop(id)
	}
	sh.put(id, h)
	return h, true, nil
}

func (sh *shelf) stats() (uploads, bytes int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return int64(len(sh.half)), sh.bytes
}

// stale lists the uploads that have not moved since before.
func (sh *shelf) stale(before time.Time) (ids []string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, h := range sh.half {
		if h.moved.Before(before) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (sh *shelf) full(user string) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.users[user] >= maxHalf
}

// NewUpload is tusd's. One that has begun before goes on.
func (sh *shelf) NewUpload(ctx context.Context, info tus.FileInfo) (tus.Upload, error) {
	h := half{user: info.MetaData["user"], hash: info.MetaData["hash"], size: info.Size, moved: sh.s.cfg.Now()}
	if _, there, err := sh.state(info.ID); err != nil {
		return nil, sh.s.failure("begin an upload", err)
	} else if there {
		return sh.GetUpload(ctx, info.ID)
	}
	if sh.full(h.user) {
		return nil, tus.NewError("ERR_TOO_MANY", "the account has too many unfinished uploads: finish some", http.StatusTooManyRequests)
	}
	if err := sh.s.Room(h.size); err != nil {
		return nil, sh.s.failure("begin an upload", err)
	}
	if err := sh.remove(info.ID); err != nil {
		return nil, sh.s.failure("begin an upload", err)
	}
	upload, err := sh.inner.NewUpload(ctx, info)
	if err != nil {
		return nil, sh.s.failure("begin an upload", errors.Join(err, sh.remove(info.ID)))
	}
	sh.put(info.ID, h)
	return &piece{upload, sh, info.ID}, nil
}

// GetUpload is tusd's.
func (sh *shelf) GetUpload(ctx context.Context, id string) (tus.Upload, error) {
	upload, err := sh.inner.GetUpload(ctx, id)
	switch {
	case errors.Is(err, tus.ErrNotFound):
		return nil, err
	case err != nil:
		return nil, sh.s.failure("read an upload", err)
	}
	return &piece{upload, sh, id}, nil
}

// AsTerminatableUpload is tusd's.
func (sh *shelf) AsTerminatableUpload(u tus.Upload) tus.TerminatableUpload { return u.(*piece) }

// piece is an upload as tusd sees it.
type piece struct {
	tus.Upload
	shelf *shelf
	id    string
}

// Terminate is tusd's.
func (p *piece) Terminate(context.Context) error {
	if err := p.shelf.drop(p.id); err != nil {
		return p.shelf.s.failure("end an upload", err)
	}
	return nil
}

// WriteChunk is tusd's. What it has written counts, also when it fails.
func (p *piece) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	s := p.shelf.s
	n, err := p.Upload.WriteChunk(ctx, offset, &careful{src: src, s: s})
	s.bytesIn.Add(uint64(n))
	if h, ok := p.shelf.read(p.id); ok {
		h.moved = s.cfg.Now()
		p.shelf.put(p.id, h)
	}
	if err != nil {
		err = s.failure("write an upload", err)
	}
	return n, err
}

// careful reads as long as the disk has room.
type careful struct {
	src  io.Reader
	s    *Server
	left int64 // until it is looked at again
}

// lookEvery is how many bytes are written before the disk's room is looked at
// again.
const lookEvery = 1 << 20

func (c *careful) Read(p []byte) (int, error) {
	if c.left <= 0 {
		if err := c.s.free(lookEvery); err != nil {
			return 0, err
		}
		c.left = lookEvery
	}
	n, err := c.src.Read(p)
	c.left -= int64(n)
	return n, err
}

// full tells whether err says that the disk is.
func full(err error) bool {
	return errors.Is(err, errNoRoom) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
