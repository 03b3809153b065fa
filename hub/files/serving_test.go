package files

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
)

func TestDownloadInRanges(t *testing.T) {
	r := newRig(t)
	f := newFile(1_000_000, 30)
	r.put("door", f)
	target := r.downURL("door", f)
	a := r.want("HEAD", r.head(target), 200)
	for k, want := range map[string]string{
		"Content-Length": "1000000", "Accept-Ranges": "bytes", "Etag": `"` + f.hash + `"`, "Content-Type": "application/octet-stream",
		"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := a.header.Get(k); got != want {
			t.Errorf("%s: %q, not %q", k, got, want)
		}
	}
	etag := a.header.Get("Etag")
	for _, x := range []struct {
		ranges, ifRange string
		status          int
		want            []byte
	}{
		{"", "", 200, f.data},
		{"bytes=0-0", "", 206, f.data[:1]},
		{"bytes=999999-", "", 206, f.data[999_999:]},
		{"bytes=500000-", etag, 206, f.data[500_000:]},
		{"bytes=500000-", `"other"`, 200, f.data},
		{"bytes=-10", "", 206, f.data[999_990:]},
		{"bytes=300000-599999", "", 206, f.data[300_000:600_000]},
		{"bytes=1000000-", "", 416, nil},
	} {
		header := map[string]string{}
		if x.ranges != "" {
			header["Range"] = x.ranges
		}
		if x.ifRange != "" {
			header["If-Range"] = x.ifRange
		}
		a := r.do("GET", target, header, nil)
		if a.status != x.status || x.want != nil && !bytes.Equal(a.body, x.want) {
			t.Errorf("%s %s: %d with %d bytes", x.ranges, x.ifRange, a.status, len(a.body))
		}
	}
}

// A download that breaks off goes on where it was.
func TestDownloadResumes(t *testing.T) {
	r := newRig(t)
	f := newFile(3_000_000, 31)
	r.put("door", f)
	var got []byte
	for cuts := 0; len(got) < len(f.data); cuts++ {
		u, err := url.Parse(r.downURL("door", f))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nRange: bytes=%d-\r\nIf-Range: \"%s\"\r\n\r\n", u.RequestURI(), u.Host, len(got), f.hash)
		var head []byte
		one := make([]byte, 1)
		for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			if _, err := conn.Read(one); err != nil {
				t.Fatal(err)
			}
			head = append(head, one[0])
		}
		if !strings.HasPrefix(string(head), "HTTP/1.1 206") {
			t.Fatalf("%s", head)
		}
		part, err := io.ReadAll(io.LimitReader(conn, 700_000))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if cuts == 2 {
			r.restart()
		}
		if cuts > 10 {
			t.Fatal("it does not come to an end")
		}
	}
	if !bytes.Equal(got, f.data) {
		t.Error("what came is another file")
	}
}

// A URL is good for one thing, one account, one file, until its time.
func TestURLsThatAreNotGood(t *testing.T) {
	r := newRig(t)
	f, other := newFile(1000, 32), newFile(1000, 33)
	r.put("door", f)
	r.put("indoor", other)
	good := r.downURL("door", f)
	edit := func(f func(u *url.URL, q url.Values)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		f(u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	set := func(k, v string) string { return edit(func(_ *url.URL, q url.Values) { q.Set(k, v) }) }
	proof := edit(func(_ *url.URL, q url.Values) {
		s := q.Get("s")
		q.Set("s", string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", s[0])+1)%16])+s[1:])
	})
	for name, x := range map[string]struct {
		url    string
		status int
	}{
		"another proof":   {proof, 403},
		"another account": {set("u", "indoor"), 403},
		"another size":    {set("n", "999"), 403},
		"more time":       {set("e", fmt.Sprint(r.now.Load()/1000+1e6)), 403},
		"another file":    {edit(func(u *url.URL, _ url.Values) { u.Path = Path + other.hash }), 403},
		"an upload":       {edit(func(u *url.URL, _ url.Values) { u.Path = uploadPath + f.hash }), 403},
		"no proof":        {edit(func(_ *url.URL, q url.Values) { q.Del("s") }), 404},
		"half a proof":    {set("s", "00"), 404},
		"two proofs":      {edit(func(_ *url.URL, q url.Values) { q.Add("s", q.Get("s")) }), 404},
		"no account":      {set("u", ""), 404},
		"something more":  {set("x", "1"), 404},
		"a sign":          {set("n", "+1000"), 404},
	} {
		if a := r.do("GET", x.url, nil, nil); a.status != x.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := r.do("POST", strings.Replace(good, Path, uploadPath, 1), map[string]string{"Upload-Length": "1000"}, nil); a.status != 403 {
		t.Errorf("a URL to download is good to upload: %d", a.status)
	}
	r.want("the good one", r.do("GET", good, nil, nil), 200)
	r.pass(10*time.Minute - time.Second)
	r.want("just in time", r.do("GET", good, nil, nil), 200)
	r.pass(2 * time.Second)
	r.want("too late", r.do("GET", good, nil, nil), 403)
	up := r.upURL("door", newFile(10, 34))
	r.pass(24 * time.Hour)
	r.want("too late", r.head(up), 403)
	r.want("a new one", r.do("GET", r.downURL("door", f), nil, nil), 200)
}

// A URL outlives the hub that gave it, and another key, and ends with its own.
func TestURLEndsWithItsKey(t *testing.T) {
	r := newRig(t)
	f := newFile(1000, 35)
	r.put("door", f)
	good := r.downURL("door", f)
	path := good[len(r.base):]
	r.restart()
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddKey(ctx, app, store.Key{ID: "k2", Secret: "other", Created: r.cfg.Now()})
	})
	r.want("another key", r.do("GET", r.base+path, nil, nil), 200)
	fresh := r.downURL("door", f)
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.RemoveKey(ctx, app, "k1", r.cfg.Now()) })
	r.want("its key is gone", r.do("GET", r.base+path, nil, nil), 403)
	r.want("the other key", r.do("GET", fresh, nil, nil), 200)
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.RemoveKey(ctx, app, "k2", r.cfg.Now()) })
	r.want("no key", r.do("GET", fresh, nil, nil), 403)
	if _, err := r.Download(t.Context(), r.cfg.Store.View, r.base, "door", f.hash, 1000); err == nil {
		t.Error("a URL without a key")
	}
}

// Who reads the message that names a file may have it, while he reads it.
func TestKickedMemberIsRefused(t *testing.T) {
	r := newRig(t)
	f := newFile(1000, 36)
	r.put("door", f)
	var id store.LogID
	r.write(func(ctx context.Context, tx *store.Tx) error {
		l, _, err := tx.EnsureLog(ctx, app, "group:g")
		id = l.ID
		if err == nil {
			_, err = tx.Extend(ctx, id, 1, 1)
		}
		if err == nil {
			err = tx.SetReader(ctx, app, "indoor", id, 0, 0)
		}
		if err == nil {
			err = tx.AddFileRef(ctx, app, f.hash, id, 1, r.cfg.Now())
		}
		return err
	})
	r.get("indoor", f)
	good := r.downURL("indoor", f)
	r.want("a stranger", r.do("GET", r.downURL("stranger", f), nil, nil), 403)
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.EndReader(ctx, app, "indoor", id, 1) })
	r.want("who was put out", r.do("GET", good, nil, nil), 403)
	r.want("who was put out", r.head(good), 403)
	r.write(func(ctx context.Context, tx *store.Tx) error { return tx.SetReader(ctx, app, "indoor", id, 0, 0) })
	r.want("who is in again", r.do("GET", good, nil, nil), 200)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.SetBlocked(ctx, app, "indoor", true, r.cfg.Now())
	})
	r.want("who is blocked", r.do("GET", good, nil, nil), 403)
	r.want("who is blocked", r.post(r.upURL("indoor", newFile(10, 37)), 10), 403)
	r.want("nobody", r.do("GET", r.downURL("nobody", f), nil, nil), 403)
}

// A block, and the end of a key, break off what is under way.
func TestEndBreaksOff(t *testing.T) {
	t.Run("user", func(t *testing.T) {
		endBreaksOff(t, func(r *rig) { r.End("indoor") }, func(r *rig) { r.End("door") })
	})
	t.Run("key", func(t *testing.T) {
		endBreaksOff(t, func(r *rig) { r.EndKey("k2") }, func(r *rig) { r.EndKey("k1") })
	})
}

func endBreaksOff(t *testing.T, other, own func(*rig)) {
	r := newRig(t)
	f := newFile(1_000_000, 38)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, 1_000_000), 201)
	conn := r.begin(target, 0, 1_000_000)
	defer conn.Close()
	if _, err := conn.Write(f.data[:1000]); err != nil {
		t.Fatal(err)
	}
	r.arrived("door", f, 1000)
	other(r)
	if _, err := conn.Write(f.data[1000:2000]); err != nil {
		t.Fatal(err)
	}
	r.arrived("door", f, 2000)
	own(r)
	r.idle()
	r.want("HEAD", r.head(target), 200)
}

// An order that comes while a URL is looked at finds no transfer yet: the request is
// refused by what the order has left in the database.
func TestOrderWhileAURLIsLookedAt(t *testing.T) {
	for what, order := range map[string]func(*rig){
		"block": func(r *rig) {
			r.write(func(ctx context.Context, tx *store.Tx) error {
				return tx.SetBlocked(ctx, app, "door", true, r.cfg.Now())
			})
			r.End("door")
		},
		"key": func(r *rig) {
			r.write(func(ctx context.Context, tx *store.Tx) error { return tx.RemoveKey(ctx, app, "k1", r.cfg.Now()) })
			r.EndKey("k1")
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			f := newFile(1000, 39)
			r.put("door", f)
			target := r.downURL("door", f)
			r.step = func(at string) error {
				if at == "proved" {
					order(r)
				}
				return nil
			}
			r.want("GET", r.do("GET", target, nil, nil), 403)
		})
	}
}

// An account has no more than its share of transfers, and a stop ends all.
func TestTransfersAreBounded(t *testing.T) {
	r := newRig(t)
	var conns []net.Conn
	for i := range maxPerUser {
		f := newFile(1000, uint64(40+i))
		target := r.upURL("door", f)
		r.want("POST", r.post(target, 1000), 201)
		c := r.begin(target, 0, 1000)
		if _, err := c.Write(f.data[:1]); err != nil {
			t.Fatal(err)
		}
		r.arrived("door", f, 1)
		conns = append(conns, c)
	}
	f := newFile(1000, 39)
	if a := r.post(r.upURL("door", f), 1000); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", a.status)
	}
	r.want("another account", r.post(r.upURL("indoor", f), 1000), 201)
	begun := time.Now()
	r.stop()
	if took := time.Since(begun); took > stallTime/2 {
		t.Errorf("the stop took %v", took)
	}
	for _, c := range conns {
		c.Close()
	}
}

// A response is written as long as it gets on, not for so long at most.
func TestSlowReaderHasItsTime(t *testing.T) {
	var mu sync.Mutex
	var deadlines []time.Time
	w := &fakeWriter{deadline: func(at time.Time) { mu.Lock(); deadlines = append(deadlines, at); mu.Unlock() }}
	s := &Server{}
	x := s.busy.begin("door", "k1", w)
	defer s.busy.end(x)
	data := make([]byte, 5*pieceBytes/2)
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, write := range map[string]func() (int64, error){
		"Write": func() (int64, error) {
			n, err := (&steady{w, s, x}).Write(data)
			return int64(n), err
		},
		"ReadFrom": func() (int64, error) { return io.Copy(&steady{w, s, x}, bytes.NewBuffer(data)) },
		"CopyN": func() (int64, error) {
			return io.CopyN(&steady{w, s, x}, io.LimitReader(bytes.NewReader(data), 1<<40), int64(len(data)))
		},
		"io.Limited": func() (int64, error) {
			return (&steady{w, s, x}).ReadFrom(io.LimitReader(bytes.NewReader(data), 1<<40))
		},
	} {
		deadlines, w.n = nil, 0
		n, err := write()
		if err != nil || n != int64(len(data)) || w.n != n {
			t.Errorf("%s: %d of %d written: %v", name, w.n, n, err)
		}
		if len(deadlines) < 3 {
			t.Errorf("%s: %d deadlines for three pieces", name, len(deadlines))
		}
	}
}

type fakeWriter struct {
	n        int64
	deadline func(time.Time)
}

func (w *fakeWriter) Header() http.Header { return http.Header{} }
func (w *fakeWriter) WriteHeader(int)     {}
func (w *fakeWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}
func (w *fakeWriter) SetReadDeadline(time.Time) error { return nil }
func (w *fakeWriter) SetWriteDeadline(at time.Time) error {
	w.deadline(at)
	return nil
}

// The web server gives other requests a time in all; a slow board needs more.
func TestSlowBoards(t *testing.T) {
	r := newRig(t)
	r.times = 300 * time.Millisecond
	r.restart()
	f := newFile(24<<20, 61) // more than the sockets between the two hold
	target := r.upURL("door", f)
	r.want("POST", r.post(target, int64(len(f.data))), 201)
	slow := &pausing{data: f.data, pause: 3 * r.times, at: len(f.data) / 2}
	r.want("PATCH", r.do("PATCH", target, patchHeader(0), slow), 204)
	res, err := http.Get(r.downURL("door", f))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got bytes.Buffer
	if _, err := io.CopyN(&got, res.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * r.times)
	if _, err := io.Copy(&got, res.Body); err != nil || !bytes.Equal(got.Bytes(), f.data) {
		t.Fatalf("%d bytes of %d: %v", got.Len(), len(f.data), err)
	}
}

// pausing is a reader that rests in its middle.
type pausing struct {
	data  []byte
	pause time.Duration
	n, at int
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.n == len(p.data) {
		return 0, io.EOF
	}
	end := len(p.data)
	if p.n < p.at {
		end = p.at
	} else if p.n == p.at {
		time.Sleep(p.pause)
	}
	n := copy(b, p.data[p.n:end])
	p.n += n
	return n, nil
}

// The row is there and the bytes are not: nobody gets anything else for them, and
// the next upload heals it.
func TestBytesThatAreMissing(t *testing.T) {
	r := newRig(t)
	f := newFile(1000, 60)
	r.put("door", f)
	if err := os.Truncate(r.disk.path(f.hash), 10); err != nil {
		t.Fatal(err)
	}
	r.want("GET", r.do("GET", r.downURL("door", f), nil, nil), 404)
	if err := os.Remove(r.disk.path(f.hash)); err != nil {
		t.Fatal(err)
	}
	r.want("GET", r.do("GET", r.downURL("door", f), nil, nil), 404)
	r.want("HEAD", r.head(r.upURL("door", f)), 404)
	r.put("door", f)
	r.kept(f)
	r.get("door", f)
	if s := r.Stats(); s.Files != 1 || s.Bytes != 1000 {
		t.Errorf("%+v", s)
	}
}
