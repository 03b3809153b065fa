package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	tus "github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// statusMismatch is tus's for bytes that are not what their checksum says (its
// extension "checksum"): the upload is gone and may begin anew.
const statusMismatch = 460

// turnTime is how long a request waits for the one before it.
const turnTime = 20 * time.Second

var errMismatch = errors.New("the bytes are not those of the file: their SHA-256 is another one")

type grantKey struct{}

// newTus makes tusd's handler, by method. Of the extensions there are creation and
// termination: uploads are not put together from parts and say their length at once.
func (s *Server) newTus() (map[string]http.Handler, error) {
	c := tus.NewStoreComposer()
	c.UseCore(s.shelf)
	c.UseTerminater(s.shelf)
	h, err := tus.NewUnroutedHandler(tus.Config{
		StoreComposer: c, MaxSize: protocol.MaxFile, BasePath: uploadPath, DisableDownload: true, DisableConcatenation: true,
		Cors: &tus.CorsConfig{Disable: true}, NetworkTimeout: stallTime,
		// What is left to do after a request does not depend on its context.
		GracefulRequestCompletionTimeout: time.Nanosecond,
		Logger:                           slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.Level(100)})),
		PreUploadCreateCallback: func(e tus.HookEvent) (res tus.HTTPResponse, changes tus.FileInfoChanges, err error) {
			g := e.Context.Value(grantKey{}).(grant)
			if e.Upload.Size != g.size {
				return res, changes, tus.NewError("ERR_SIZE", fmt.Sprintf("Upload-Length: the file was said to have %d bytes", g.size), http.StatusBadRequest)
			}
			changes.ID, changes.MetaData = g.id(s.cfg.App), tus.MetaData{"user": g.user, "hash": g.hash}
			return res, changes, nil
		},
		PreFinishResponseCallback: func(e tus.HookEvent) (res tus.HTTPResponse, err error) {
			if err := s.complete(e.Context.Value(grantKey{}).(grant)); err != nil {
				return res, s.failure("complete an upload", err)
			}
			return res, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make the handler of uploads: %w", err)
	}
	out := make(map[string]http.Handler)
	for method, f := range map[string]http.HandlerFunc{
		http.MethodPost: h.PostFile, http.MethodHead: h.HeadFile, http.MethodPatch: h.PatchFile, http.MethodDelete: h.DelFile,
	} {
		out[method] = h.Middleware(f)
	}
	return out, nil
}

// failure is the answer to an upload that cannot go on for a reason of the hub's.
// What the cause is, with its paths, is for the log alone.
func (s *Server) failure(doing string, err error) tus.Error {
	var done tus.Error
	switch {
	case errors.As(err, &done):
		return done
	case errors.Is(err, errMismatch):
		return tus.NewError("ERR_CHECKSUM", errMismatch.Error(), statusMismatch)
	case errors.Is(err, errCut):
		return tus.NewError("ERR_INTERRUPTED", errCut.Error(), http.StatusServiceUnavailable)
	case full(err):
		s.complain("an upload is refused for lack of room", "doing", doing, "err", err)
		return later(tus.NewError("ERR_NO_ROOM", errNoRoom.Error(), http.StatusInsufficientStorage))
	}
	s.complain("an upload cannot go on", "doing", doing, "err", err)
	return later(tus.NewError("ERR_HUB", "the hub cannot do this at present", http.StatusServiceUnavailable))
}

func later(e tus.Error) tus.Error {
	e.HTTPResponse.Header["Retry-After"] = "10"
	return e
}

// upload serves a request of the tus protocol.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, g grant, x *transfer) {
	h := s.tus[r.Method]
	if h == nil {
		w.Header().Set("Allow", "HEAD, POST, PATCH, DELETE")
		http.Error(w, "this is for uploads by the tus protocol", http.StatusMethodNotAllowed)
		return
	}
	id := g.id(s.cfg.App)
	wait, cancel := context.WithTimeout(r.Context(), turnTime)
	release, err := s.turns.take(wait, id, x.interrupt)
	cancel()
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, err.Error(), http.StatusLocked)
		return
	}
	defer release()
	w.Header().Set("Tus-Resumable", "1.0.0")
	kept, err := s.resume(r.Context(), g, id)
	if err != nil {
		refuse(w, r, s.failure("go on with an upload", err))
		return
	}
	if kept {
		answerKept(w, r, g)
		return
	}
	ctx, done := context.WithCancel(context.WithValue(r.Context(), grantKey{}, g))
	defer done() // what tusd has begun beside it ends
	r = r.Clone(ctx)
	r.Header.Del("X-HTTP-Method-Override")
	r.URL.Path = "/" + id
	if r.Body != nil {
		r.Body = &body{r.Body, x}
	}
	h.ServeHTTP(&located{w, sameURL(r)}, r)
}

// resume brings an upload up to date that broke off: kept says that the file is
// there and the account's.
func (s *Server) resume(ctx context.Context, g grant, id string) (kept bool, err error) {
	read, cancel := s.cfg.Store.ReadContext(ctx)
	defer cancel()
	owner, err := s.cfg.Store.OwnsFile(read, s.cfg.App, g.user, g.hash)
	if err != nil {
		return false, err
	}
	if owner {
		f, err := s.cfg.Store.File(read, s.cfg.App, g.hash)
		switch {
		case err == nil && s.Present(f):
			return true, s.shelf.drop(id)
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return false, err
		}
	}
	h, begun, err := s.shelf.state(id)
	switch {
	case err != nil || !begun:
		return false, err
	case h.size != g.size: // one of the two is a lie
		return false, s.shelf.drop(id)
	case h.have == h.size:
		err := s.complete(g)
		return err == nil, err
	}
	return false, nil
}

// answerKept answers for an upload that is complete, and whose bytes have left the
// shelf.
func answerKept(w http.ResponseWriter, r *http.Request, g grant) {
	size := strconv.FormatInt(g.size, 10)
	w.Header().Set("Upload-Offset", size)
	switch r.Method {
	case http.MethodHead:
		w.Header().Set("Upload-Length", size)
		w.WriteHeader(http.StatusOK)
	case http.MethodPost:
		w.Header().Set("Location", sameURL(r))
		w.WriteHeader(http.StatusCreated)
	case http.MethodPatch:
		if r.Header.Get("Upload-Offset") != size {
			refuse(w, r, tus.ErrMismatchOffset)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "the upload is complete", http.StatusForbidden)
	}
}

// refuse answers with an error of tusd's kind.
func refuse(w http.ResponseWriter, r *http.Request, e tus.Error) {
	for k, v := range e.HTTPResponse.Header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(e.HTTPResponse.StatusCode)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, e.HTTPResponse.Body) // who asked has gone
	}
}

// complete checks an upload that has all its bytes, and keeps the file. It may be
// repeated after whatever has broken it off. It does not end with its request: who
// asks again waits for it.
func (s *Server) complete(g grant) error {
	ctx, id := s.life, g.id(s.cfg.App)
	if err := s.check(ctx, g, id); err != nil {
		if errors.Is(err, errMismatch) {
			s.complain("an upload was not what it was said to be", "user", g.user, "size", g.size)
			err = errors.Join(err, s.shelf.drop(id))
		}
		return err
	}
	if err := s.after("checked"); err != nil {
		return err
	}
	release, err := s.turns.take(ctx, g.hash, nil)
	if err != nil {
		return err
	}
	defer release()
	read, cancel := s.cfg.Store.ReadContext(ctx)
	f, err := s.cfg.Store.File(read, s.cfg.App, g.hash)
	cancel()
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	storage, fresh := f.Storage, err != nil
	if fresh || !s.Present(f) {
		if storage, err = s.vault.put(ctx, g.hash, s.shelf.path(id)); err != nil {
			return err
		}
		s.missing.drop(g.hash)
	}
	if err := s.after("stored"); err != nil {
		return err
	}
	err = s.cfg.Write(func(ctx context.Context, tx *store.Tx) error {
		now := s.cfg.Now()
		if err := tx.PutFile(ctx, s.cfg.App, g.hash, g.size, storage, now); err != nil {
			return err
		}
		return tx.AddFileOwner(ctx, s.cfg.App, g.hash, g.user, now)
	})
	if err != nil {
		return err
	}
	if fresh {
		s.files.Add(1)
		s.bytes.Add(g.size)
	}
	s.uploads.Add(1)
	if err := s.after("kept"); err != nil {
		return err
	}
	if err := s.shelf.drop(id); err != nil {
		s.complain("what is left of an upload is not removed: the sweep will", "err", err)
	}
	s.wakeIfOver()
	s.log.Debug("file kept", "user", g.user, "size", g.size, "new", fresh)
	return nil
}

// check compares an upload with its hash.
func (s *Server) check(ctx context.Context, g grant, id string) error {
	select {
	case s.hasher <- struct{}{}:
		defer func() { <-s.hasher }()
	case <-ctx.Done():
		return errCut
	}
	f, err := os.Open(s.shelf.path(id))
	if err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, &until{f, ctx}, make([]byte, 256<<10))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the upload: %w", err)
	}
	if n != g.size || hex.EncodeToString(sum.Sum(nil)) != g.hash {
		return errMismatch
	}
	return nil
}

// until reads until ctx ends.
type until struct {
	src io.Reader
	ctx context.Context
}

func (u *until) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, errCut
	}
	return u.src.Read(p)
}

var errCut = errors.New("the transfer was broken off")

// body is what a request sends, until its transfer is broken off.
type body struct {
	io.ReadCloser
	x *transfer
}

func (b *body) Read(p []byte) (int, error) {
	if b.x.over() {
		return 0, errCut
	}
	return b.ReadCloser.Read(p)
}

// located says in Location what the client has called: tusd does not know of the
// signature, nor do we of a proxy's prefix before our path.
type located struct {
	http.ResponseWriter
	target string
}

// sameURL is a reference to what the client has called (RFC 3986 §5.2.2: a query
// alone keeps the path).
func sameURL(r *http.Request) string { return "?" + r.URL.RawQuery }

func (l *located) WriteHeader(status int) {
	if l.Header().Get("Location") != "" {
		l.Header().Set("Location", l.target)
	}
	l.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (l *located) Unwrap() http.ResponseWriter { return l.ResponseWriter }
