package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// ServeHTTP serves what is below Path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	g, proof, ok := parseGrant(r.URL.Path, r.URL.RawQuery)
	if !ok {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	key, err := s.prove(r.Context(), g, proof)
	if err == nil {
		err = s.after("proved")
	}
	if err != nil {
		s.deny(w, r, err)
		return
	}
	x := s.busy.begin(g.user, key, w)
	if x == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many transfers at a time", http.StatusServiceUnavailable)
		return
	}
	defer s.busy.end(x)
	// What the operator orders from here on meets the transfer; what he has ordered
	// before is in the database.
	if err := s.verify(r.Context(), g, proof); err != nil {
		s.deny(w, r, err)
		return
	}
	now := time.Now()
	x.patience(now.Add(stallTime), now.Add(2*stallTime))
	if g.verb == up {
		s.upload(w, r, g, x)
	} else {
		s.download(w, r, g, x)
	}
}

// deny answers a request whose URL is not good.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errSignature) || errors.Is(err, errExpired) || errors.Is(err, errBlocked) {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	s.unable(w, r, "check a URL", err)
}

// unable answers that the hub cannot at present. Why is for the log.
func (s *Server) unable(w http.ResponseWriter, r *http.Request, doing string, err error) {
	if r.Context().Err() == nil {
		s.complain("a file is not served", "doing", doing, "err", err)
	}
	w.Header().Set("Retry-After", "10")
	http.Error(w, "the hub cannot do this at present", http.StatusServiceUnavailable)
}

func (s *Server) download(w http.ResponseWriter, r *http.Request, g grant, x *transfer) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this is for downloads", http.StatusMethodNotAllowed)
		return
	}
	f, err := s.readable(r.Context(), g.user, g.hash)
	switch {
	case errors.Is(err, ErrAccess):
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	case errors.Is(err, ErrGone):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		s.unable(w, r, "look a file up", err)
		return
	}
	content, err := s.open(r.Context(), f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.complain("a file is missing although its row is there", "hash", f.Hash, "storage", f.Storage, "err", err)
		http.Error(w, ErrGone.Error(), http.StatusNotFound)
		return
	case err != nil:
		s.unable(w, r, "open a file", err)
		return
	}
	defer content.Close() // it was only read
	// While a response is written the server reads ahead to learn whether the client
	// is there, and a deadline of that would end the request.
	x.patience(time.Time{}, time.Now().Add(stallTime))
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("ETag", `"`+f.Hash+`"`)
	if r.Method == http.MethodGet {
		s.downloads.Add(1)
		if s.cfg.Now().Sub(f.Used) > 24*time.Hour {
			s.used.add(f.Hash)
		}
	}
	http.ServeContent(&steady{w, s, x}, r, "", time.Time{}, content)
}

// What a file may be that an account asks for.
var (
	ErrGone   = errors.New("the file is not there any more")
	ErrAccess = errors.New("the account may not have this file")
)

func (s *Server) readable(ctx context.Context, user, hash string) (store.StoredFile, error) {
	ctx, cancel := s.cfg.Store.ReadContext(ctx)
	defer cancel()
	return Readable(ctx, s.cfg.Store.View, s.cfg.App, user, hash, s.cfg.Now())
}

// Readable finds a file that an account may have: it has uploaded it, or a message
// that it reads names it. ErrGone, ErrAccess.
func Readable(ctx context.Context, v store.View, app protocol.AppID, user, hash string, now time.Time) (f store.StoredFile, err error) {
	may, err := v.MayReadFile(ctx, app, user, hash, now)
	if err != nil {
		return f, err
	}
	if !may {
		return f, ErrAccess
	}
	f, err = v.File(ctx, app, hash)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrGone
	}
	return f, err
}

// maxNoted bounds the files of which something is noted in memory.
const maxNoted = 10_000

// notes are hashes of files.
type notes struct {
	mu  sync.Mutex
	all map[string]struct{}
}

func (n *notes) add(hash string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = make(map[string]struct{})
	}
	if len(n.all) < maxNoted {
		n.all[hash] = struct{}{}
	}
}

func (n *notes) has(hash string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, has := n.all[hash]
	return has
}

func (n *notes) drop(hash string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, hash)
}

// take gives what is noted, and forgets it.
func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := slices.Collect(maps.Keys(n.all))
	clear(n.all)
	return out
}

// steady writes a response of any length as long as it gets on: each piece has
// stallTime. It leaves files to the kernel (sendfile).
type steady struct {
	http.ResponseWriter
	s *Server
	x *transfer
}

// pieceBytes is what a board must take within stallTime: 4 KiB a second.
const pieceBytes = 256 << 10

func (w *steady) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var m int
		w.x.patience(time.Time{}, time.Now().Add(stallTime))
		m, err = w.ResponseWriter.Write(p[:min(len(p), pieceBytes)])
		w.s.bytesOut.Add(uint64(m))
		n, p = n+m, p[m:]
	}
	return n, err
}

// ReadFrom is io.Copy's.
func (w *steady) ReadFrom(src io.Reader) (n int64, err error) {
	left := int64(1<<63 - 1)
	if l, ok := src.(*io.LimitedReader); ok { // the kernel's way is taken for one limit around a file, not for two
		src, left = l.R, l.N
		defer func() { l.N -= n }()
	}
	for left > 0 {
		w.x.patience(time.Time{}, time.Now().Add(stallTime))
		m, err := io.Copy(w.ResponseWriter, &io.LimitedReader{R: src, N: min(left, pieceBytes)})
		w.s.bytesOut.Add(uint64(m))
		n, left = n+m, left-m
		if err != nil || m == 0 {
			return n, err
		}
	}
	return n, nil
}

// Unwrap is for http.ResponseController.
func (w *steady) Unwrap() http.ResponseWriter { return w.ResponseWriter }
