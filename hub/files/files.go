// Package files keeps the files of messages at the hub: it takes uploads, serves
// downloads and removes what is over its time or its room.
//
// A file is named by its SHA-256 and stored once for all who send it. Uploads
// follow the tus protocol (1.0.0, tusd's handler) under one name for each account
// and file, so that a terminal that knows nothing any more finds how far it had
// come. They gather on disk; once complete and found to be what they say, they are
// moved to where files are kept, on disk or in an S3 bucket. Downloads are plain
// HTTP with ranges.
//
// Who may do what is said by URLs that are signed with a secret of the app's keys
// and end soon (grant), and asked of the database again at each request: a URL
// alone gives a stranger nothing after its time, and nothing at all to whom the
// conversation is no longer open. Knowing a hash gives nothing either: who has not
// uploaded a file, all of it, must be shown it by a message.
//
// A row of the database says that a file is there. It is written after the bytes
// are on disk and removed before they are, so whatever breaks off leaves at most
// bytes that nobody finds, and the sweep takes those.
package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Config is what a Server is made of.
type Config struct {
	Limits
	App   protocol.AppID
	Store *store.Store
	// Write runs a function in the hub's write transaction and waits for the commit.
	Write func(func(context.Context, *store.Tx) error) error
	Now   func() time.Time
}

// Limits are what the operator sets. A zero value takes the default that its
// comment names; below zero is none where that makes sense.
type Limits struct {
	Dir       string        // where uploads gather, and files are kept without S3
	PublicURL string        // that boards are told, without a slash at its end; see Server.base
	MaxBytes  int64         // of all files; 10 GiB
	MinFree   int64         // room on the disk that uploads leave; 256 MiB
	MaxAge    time.Duration // since a message named the file last; 365 days, below 0: for ever
	UnusedFor time.Duration // how long what no message names is kept, and half an upload; 24 h
	URLFor    time.Duration // how long a URL to download is good; 10 min
	UploadFor time.Duration // how long a URL to upload is good; 24 h
	S3        S3
}

func (l *Limits) fill() {
	l.MaxBytes = cmp.Or(l.MaxBytes, 10<<30)
	l.MinFree = cmp.Or(l.MinFree, 256<<20)
	l.MaxAge = cmp.Or(l.MaxAge, 365*24*time.Hour)
	l.UnusedFor = cmp.Or(l.UnusedFor, 24*time.Hour)
	l.URLFor = cmp.Or(l.URLFor, 10*time.Minute)
	l.UploadFor = cmp.Or(l.UploadFor, 24*time.Hour)
}

const (
	maxTransfers  = 256 // requests at a time
	maxPerUser    = 8   // of them one account's
	maxHalf       = 32  // unfinished uploads of one account
	stallTime     = time.Minute
	sweepEvery    = 10 * time.Minute
	hashersAtOnce = 2
)

// Server serves the paths below Path. Run must follow New.
type Server struct {
	cfg    Config
	log    *slog.Logger
	vault  vault // where complete files go
	disk   *disk // where those are that were kept without S3
	shelf  *shelf
	tus    map[string]http.Handler // by method
	turns  turns
	busy   transfers
	hasher chan struct{} // as many as may hash at a time

	life context.Context // ends when Run is to end
	end  context.CancelFunc
	full chan struct{} // the sweep is needed now

	files, bytes       atomic.Int64 // that are kept, as of the last sweep and since
	uploads, downloads atomic.Uint64
	bytesIn, bytesOut  atomic.Uint64

	used    notes // files that were fetched; the sweep writes it
	missing notes // whose bytes were not there when they were asked for

	sweeping sync.Mutex // one sweep at a time; guards what follows
	orphans  map[string]time.Time
	checked  time.Time // when all rows and bytes were looked at

	complaints *rate.Limiter

	step func(string) error // nil but in tests: called after each step of completing an upload, and before a transfer begins
}

// New opens the directory. Its errors say what to do about them.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	cfg.fill()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of files (files.dir): %w", err)
	}
	cfg.Dir = dir
	for _, d := range []string{dir, filepath.Join(dir, uploadsDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the directory of files (files.dir): %w", err)
		}
	}
	s := &Server{
		cfg: cfg, log: log.With("room", "files"), disk: &disk{dir}, hasher: make(chan struct{}, hashersAtOnce),
		full: make(chan struct{}, 1), orphans: make(map[string]time.Time),
		complaints: rate.NewLimiter(1, 10),
	}
	s.vault = s.disk
	if cfg.S3.Bucket != "" {
		if s.vault, err = newBucket(cfg.S3, cfg.App); err != nil {
			return nil, err
		}
	}
	if s.shelf, err = newShelf(filepath.Join(dir, uploadsDir), s); err != nil {
		return nil, fmt.Errorf("read the unfinished uploads (files.dir): %w", err)
	}
	if s.tus, err = s.newTus(); err != nil {
		return nil, err
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Stats are the numbers of a server.
type Stats struct {
	Files, Bytes       int64 // kept
	Half, HalfBytes    int64 // unfinished uploads
	Uploads, Downloads uint64
	BytesIn, BytesOut  uint64
	Transfers          int // at present
}

// Stats may be called at any time.
func (s *Server) Stats() Stats {
	half, halfBytes := s.shelf.stats()
	return Stats{
		Files: s.files.Load(), Bytes: s.bytes.Load(), Half: half, HalfBytes: halfBytes,
		Uploads: s.uploads.Load(), Downloads: s.downloads.Load(), BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(),
		Transfers: s.busy.count(),
	}
}

// End breaks off what an account transfers that was blocked just now.
func (s *Server) End(user string) {
	s.busy.interrupt(func(x *transfer) bool { return x.user == user })
}

// EndKey breaks off what goes on by URLs of a key that was removed just now.
func (s *Server) EndKey(id string) {
	s.busy.interrupt(func(x *transfer) bool { return x.key == id })
}

// Run sweeps until ctx ends, then breaks off all transfers and waits for them.
func (s *Server) Run(ctx context.Context) {
	defer s.vault.close()
	defer s.busy.wait()
	defer s.busy.close()
	defer s.end()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("files that are due are not removed: it is tried again", "err", err)
		}
		select {
		case <-tick.C:
		case <-s.full:
		case <-ctx.Done():
			return
		}
	}
}

// complain logs what many may cause at once.
func (s *Server) complain(msg string, args ...any) {
	if s.life.Err() == nil && s.complaints.Allow() {
		s.log.Warn(msg, args...)
	}
}

// errNoRoom is why an upload cannot begin or go on at present.
var errNoRoom = errors.New("the hub has no room for files")

// Room is errNoRoom if a file of that size cannot be taken at present.
func (s *Server) Room(size int64) error {
	_, half := s.shelf.stats()
	if half+size > s.cfg.MaxBytes {
		return errNoRoom
	}
	if err := s.free(size); err != nil {
		return err
	}
	s.wakeIfOver() // by what has come of other uploads; by this one only once it is here
	return nil
}

// wakeIfOver wakes the sweep if there is more than MaxBytes: it removes what was not
// used for longest, and nothing otherwise.
func (s *Server) wakeIfOver() {
	if _, half := s.shelf.stats(); s.bytes.Load()+half > s.cfg.MaxBytes {
		s.wake()
	}
}

// free is errNoRoom if that many bytes would go into what the disk keeps free.
func (s *Server) free(size int64) error {
	free, err := freeBytes(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("ask for the disk's room: %w", err)
	}
	if free-size < max(0, s.cfg.MinFree) {
		return errNoRoom
	}
	return nil
}

func (s *Server) wake() {
	select {
	case s.full <- struct{}{}:
	default:
	}
}

func (s *Server) after(step string) error {
	if s.step == nil {
		return nil
	}
	return s.step(step)
}

// Disk tells of a directory of files how many uploads in it are not finished, what
// bytes they have, and how much room its disk has. One that is not there yet has
// none.
func Disk(dir string) (half, halfBytes, free int64, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, uploadsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, 0, fmt.Errorf("look through the unfinished uploads: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && filepath.Ext(e.Name()) != infoSuffix { // else it has just gone
			half++
			halfBytes += info.Size()
		}
	}
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if _, err = os.Stat(dir); err != nil {
			dir = filepath.Dir(dir)
		}
	}
	if free, err = freeBytes(dir); err != nil {
		return 0, 0, 0, fmt.Errorf("ask for the disk's room: %w", err)
	}
	return half, halfBytes, free, nil
}
