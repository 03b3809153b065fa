package files

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/herald-im/herald/hub/store"
)

// s3Server is an S3 server in this process.
type s3Server struct {
	backend *s3mem.Backend
	url     string
	away    atomic.Bool
	gets    atomic.Int64
}

func newS3(t *testing.T) *s3Server {
	t.Helper()
	s := &s3Server{backend: s3mem.New()}
	if err := s.backend.CreateBucket("herald"); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(s.backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			http.Error(w, "away", http.StatusForbidden) // which the client does not try again
			return
		}
		if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "" {
			s.gets.Add(1)
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	s.url = web.URL
	return s
}

func (s *s3Server) config(c *Config) {
	c.S3 = S3{Endpoint: s.url, Bucket: "herald", Region: "us-east-1", AccessKey: "key", SecretKey: "secret"}
}

func (s *s3Server) keys(t *testing.T) (out []string) {
	t.Helper()
	list, err := s.backend.ListBucket("herald", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		out = append(out, o.Key)
	}
	return out
}

func keyOf(f file) string { return "1400000001/" + f.hash[:2] + "/" + f.hash }

func TestBucket(t *testing.T) {
	s := newS3(t)
	r := newRig(t, s.config)
	f := newFile(20<<20, 1) // more than a part of a multipart upload would have
	r.put("door", f)
	if got := s.keys(t); !slices.Equal(got, []string{keyOf(f)}) {
		t.Fatalf("in the bucket: %q", got)
	}
	if names := r.onDisk(); len(names) != 0 {
		t.Errorf("on disk: %q", names)
	}
	r.get("door", f)
	target := r.downURL("door", f)
	before := s.gets.Load()
	a := r.do("GET", target, map[string]string{"Range": "bytes=5000000-5000099"}, nil)
	if a.status != 206 || !bytes.Equal(a.body, f.data[5_000_000:5_000_100]) {
		t.Errorf("a range: %d, %d bytes", a.status, len(a.body))
	}
	if n := s.gets.Load() - before; n != 1 {
		t.Errorf("a range takes %d requests", n)
	}
	r.want("HEAD", r.head(target), 200)
	// A second user, who stores nothing.
	r.put("indoor", f)
	r.get("indoor", f)
	r.restart()
	r.get("door", f)
	r.pass(25 * time.Hour)
	r.sweepNow()
	if got := s.keys(t); len(got) != 0 {
		t.Errorf("in the bucket: %q", got)
	}
	r.want("GET", r.do("GET", r.downURL("door", f), nil, nil), 404)
}

// While the bucket is away nothing is lost, and what is complete is not sent again.
func TestBucketAway(t *testing.T) {
	s := newS3(t)
	r := newRig(t, s.config)
	f, kept := newFile(100_000, 1), newFile(1000, 2)
	r.put("door", kept)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, 100_000), 201)
	s.away.Store(true)
	r.want("PATCH", r.patch(target, 0, f.data), 503)
	r.want("GET", r.do("GET", r.downURL("door", kept), nil, nil), 503)
	if r.owns("door", f) {
		t.Error("it is kept nowhere")
	}
	s.away.Store(false)
	if a := r.want("HEAD", r.head(target), 200); a.offset() != 100_000 {
		t.Errorf("%v", a.header)
	}
	r.get("door", f)
	if in := r.Stats().BytesIn; in != 101_000 {
		t.Errorf("%d bytes came", in)
	}
}

func TestBucketKilledBetweenSteps(t *testing.T) {
	for _, step := range []string{"checked", "stored", "kept"} {
		t.Run(step, func(t *testing.T) {
			s := newS3(t)
			r := newRig(t, s.config)
			f := newFile(100_000, 1)
			r.step = func(at string) error {
				if at == step {
					return errStep
				}
				return nil
			}
			target := r.upURL("door", f)
			r.want("POST", r.post(target, 100_000), 201)
			r.want("PATCH", r.patch(target, 0, f.data), 503)
			r.restart()
			r.want("HEAD", r.head(r.upURL("door", f)), 200)
			r.get("door", f)
			if got := s.keys(t); !slices.Equal(got, []string{keyOf(f)}) {
				t.Errorf("in the bucket: %q", got)
			}
			if in := r.Stats().BytesIn; in != 0 {
				t.Errorf("%d bytes were sent again", in)
			}
		})
	}
}

// Files stay where they were when the hub is told to use a bucket from now on; and
// objects without a row go.
func TestBucketComesLater(t *testing.T) {
	s := newS3(t)
	r := newRig(t)
	old, lost, f := newFile(1000, 1), newFile(1001, 2), newFile(1002, 3)
	r.put("door", old)
	r.name(old, 1)
	s.config(&r.cfg)
	r.restart()
	r.put("door", f)
	r.name(f, 2)
	r.put("door", lost)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		row, err := tx.File(ctx, app, lost.hash)
		if err == nil {
			err = tx.DeleteFile(ctx, app, row)
		}
		return err
	})
	r.get("door", old)
	r.get("door", f)
	r.pass(48 * time.Hour)
	r.sweepNow()
	r.pass(25 * time.Hour)
	r.sweepNow()
	if got := s.keys(t); !slices.Equal(got, []string{keyOf(f)}) {
		t.Errorf("in the bucket: %q", got)
	}
	r.kept(old)
	r.get("door", old)
	r.get("door", f)
	r.cfg.S3 = S3{}
	r.restart()
	r.get("door", old)
	r.want("GET without the bucket", r.do("GET", r.downURL("door", f), nil, nil), 503)
	r.put("door", f) // what the hub cannot reach is put where it can
	r.get("door", f)
	r.kept(old, f)
}

// What was lost from the bucket is put there again by whoever has it.
func TestBytesMissingFromTheBucket(t *testing.T) {
	s := newS3(t)
	r := newRig(t, s.config)
	f := newFile(1000, 1)
	r.put("door", f)
	lose := func() {
		t.Helper()
		if _, err := s.backend.DeleteObject("herald", keyOf(f)); err != nil {
			t.Fatal(err)
		}
		r.want("GET", r.do("GET", r.downURL("door", f), nil, nil), 404)
	}
	lose()
	r.put("door", f)
	r.get("door", f)
	r.want("HEAD", r.head(r.upURL("door", f)), 200)
	lose()
	r.put("indoor", f)
	r.get("door", f)
	// It comes back by itself: the bucket was not there for a while.
	lose()
	back := filepath.Join(t.TempDir(), "back")
	overwrite(t, back, string(f.data))
	if _, err := r.vault.put(t.Context(), f.hash, back); err != nil {
		t.Fatal(err)
	}
	r.get("door", f)
	r.want("HEAD", r.head(r.upURL("door", f)), 200)
	if st := r.Stats(); st.Files != 1 || st.Bytes != 1000 {
		t.Errorf("%+v", st)
	}
}

// Bytes that cannot be removed: the operator is told whether a sweep will.
func TestBytesThatStay(t *testing.T) {
	s := newS3(t)
	r := newRig(t, s.config)
	f := newFile(1000, 1)
	for prefix, want := range map[string]string{
		"s3:herald/": "a later sweep finds them", "s3:other/": "they stay until you remove them", "tape:": "they stay until you remove them",
	} {
		r.put("door", f)
		storage := prefix + keyOf(f)
		r.write(func(ctx context.Context, tx *store.Tx) error {
			return tx.PutFile(ctx, app, f.hash, 1000, storage, r.cfg.Now())
		})
		s.away.Store(true)
		r.pass(25 * time.Hour)
		before := len(r.log.String())
		_ = r.sweep(t.Context()) // it cannot look through the bucket
		s.away.Store(false)
		if got := r.log.String()[before:]; !strings.Contains(got, want) || !strings.Contains(got, storage) {
			t.Errorf("%s: %s", storage, got)
		}
	}
}
