package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
)

func TestUploadAndDownload(t *testing.T) {
	r := newRig(t)
	f := newFile(300_000, 1)
	url := r.upURL("door", f)
	r.want("HEAD before", r.head(url), 404)
	a := r.want("POST", r.post(url, int64(len(f.data))), 201)
	if at := a.header.Get("Location"); !sameAs(t, url, at) {
		t.Errorf("Location %q is not %q", at, url)
	}
	if a := r.want("HEAD", r.head(url), 200); a.offset() != 0 || a.header.Get("Upload-Length") != "300000" {
		t.Errorf("%v", a.header)
	}
	if a := r.want("PATCH", r.patch(url, 0, f.data[:100_000]), 204); a.offset() != 100_000 {
		t.Errorf("%v", a.header)
	}
	r.want("PATCH at a wrong place", r.patch(url, 99_999, f.data[99_999:]), 409)
	if len(r.onDisk()) != 1 || r.owns("door", f) {
		t.Error("half a file counts as one")
	}
	if a := r.want("PATCH", r.patch(url, 100_000, f.data[100_000:]), 204); a.offset() != 300_000 {
		t.Errorf("%v", a.header)
	}
	r.kept(f)
	// What a terminal does that has not heard the answer.
	if a := r.want("HEAD after", r.head(url), 200); a.offset() != 300_000 || a.header.Get("Upload-Length") != "300000" {
		t.Errorf("%v", a.header)
	}
	r.want("PATCH again", r.patch(url, 300_000, nil), 204)
	r.want("PATCH again from the beginning", r.patch(url, 0, f.data), 409)
	if a := r.want("POST again", r.post(url, 300_000), 201); a.offset() != 300_000 {
		t.Errorf("%v", a.header)
	}
	r.want("DELETE", r.do("DELETE", url, nil, nil), 403)
	r.kept(f)
	r.get("door", f)
	r.idle() // the client has its answer a moment before the server is done
	if s := r.Stats(); s.Files != 1 || s.Bytes != 300_000 || s.Half != 0 || s.HalfBytes != 0 || s.Uploads != 1 || s.Downloads != 1 ||
		s.BytesIn != 300_000 || s.BytesOut != 300_000 {
		t.Errorf("%+v", s)
	}
}

// sameAs tells whether a Location in the answer to a URL means that URL.
func sameAs(t *testing.T, target, location string) bool {
	t.Helper()
	base, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	at, err := base.Parse(location)
	return err == nil && location != "" && at.String() == target
}

// A connection that is cut leaves what has come, at each offset.
func TestResumeAfterEachCut(t *testing.T) {
	r := newRig(t)
	f := newFile(200_000, 2)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, int64(len(f.data))), 201)
	at := int64(0)
	for _, step := range []int64{1, 2, 511, 4095, 4096, 30_000, 65_535, 65_536, 1, 7} {
		before := r.Stats().BytesIn
		r.cut(target, at, f.data[at:], step)
		r.arrived("door", f, at+step)
		for r.Stats().BytesIn < before+uint64(step) { // what is on its way is read to its end
			time.Sleep(time.Millisecond)
		}
		if a := r.want("HEAD", r.head(target), 200); a.offset() != at+step {
			t.Fatalf("after %d bytes from %d the hub has %d", step, at, a.offset())
		}
		at += step
		if step == 4096 {
			r.restart()
			target = r.upURL("door", f)
		}
	}
	r.want("PATCH", r.patch(target, at, f.data[at:]), 204)
	r.kept(f)
}

// cut begins a PATCH of data and closes the connection after n bytes of it.
func (r *rig) cut(target string, offset int64, data []byte, n int64) {
	r.t.Helper()
	conn := r.begin(target, offset, int64(len(data)))
	if _, err := conn.Write(data[:n]); err != nil {
		r.t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// begin sends the head of a PATCH.
func (r *rig) begin(target string, offset, length int64) net.Conn {
	r.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"+
		"Upload-Offset: %d\r\nContent-Length: %d\r\n\r\n", u.RequestURI(), u.Host, offset, length)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// A connection that is dead without anybody knowing does not hold up the next one.
func TestNewerRequestTakesOver(t *testing.T) {
	r := newRig(t)
	f := newFile(100_000, 3)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, int64(len(f.data))), 201)
	dead := r.begin(target, 0, int64(len(f.data)))
	defer dead.Close()
	if _, err := dead.Write(f.data[:50_000]); err != nil {
		t.Fatal(err)
	}
	r.arrived("door", f, 50_000)
	begun := time.Now()
	at := r.want("HEAD", r.head(target), 200).offset()
	if took := time.Since(begun); took > stallTime/2 {
		t.Errorf("the next request had to wait %v", took)
	}
	if at != 50_000 {
		t.Fatalf("the hub has %d", at)
	}
	r.want("PATCH", r.patch(target, at, f.data[at:]), 204)
	r.kept(f)
}

func TestWrongBytesAreRefusedAndGone(t *testing.T) {
	r := newRig(t)
	f, other := newFile(50_000, 4), newFile(50_000, 5)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, 50_000), 201)
	a := r.want("PATCH", r.patch(target, 0, other.data), statusMismatch)
	if !bytes.Contains(a.body, []byte("SHA-256")) {
		t.Errorf("%s", a.body)
	}
	r.kept()
	if r.owns("door", f) || r.owns("door", other) {
		t.Error("who has lied owns the file")
	}
	r.want("HEAD", r.head(target), 404)
	r.put("door", f)
	r.kept(f)
}

func TestSizesThatAreLies(t *testing.T) {
	r := newRig(t)
	f := newFile(1000, 6)
	short := r.upURLOf("door", f.hash, 999)
	r.want("POST of another length", r.post(short, 1000), 400)
	r.want("POST without a length", r.do("POST", short, nil, nil), 400)
	r.want("POST that defers the length", r.do("POST", short, map[string]string{"Upload-Defer-Length": "1"}, nil), 501)
	r.want("POST", r.post(short, 999), 201)
	r.want("PATCH of more", r.patch(short, 0, f.data), 413)
	r.want("PATCH", r.patch(short, 0, f.data[:999]), statusMismatch)
	long := r.upURLOf("door", f.hash, 1001)
	r.want("POST", r.post(long, 1001), 201)
	r.want("PATCH", r.patch(long, 0, f.data), 204)
	r.wantComplete(0)
	// The one that is true begins anew.
	target := r.upURL("door", f)
	r.want("HEAD", r.head(target), 404)
	r.put("door", f)
	r.kept(f)
	for _, name := range []string{"partial", "final;" + Path + "a " + Path + "b"} {
		g := newFile(100, 7)
		a := r.do("POST", r.upURL("door", g), map[string]string{"Upload-Length": "100", "Upload-Concat": name, "Upload-Metadata": "hash " + "eHh4"}, nil)
		if h, ok, err := r.shelf.state(grant{user: "door", hash: g.hash}.id(app)); a.status == 201 && (err != nil || !ok || h.hash != g.hash || h.user != "door") {
			t.Errorf("a part of an upload: %d %+v %v", a.status, h, err)
		}
	}
}

// wantComplete fails unless so many complete files are on disk.
func (r *rig) wantComplete(n int) {
	r.t.Helper()
	count := 0
	for _, name := range r.onDisk() {
		if !strings.HasPrefix(name, uploadsDir) {
			count++
		}
	}
	if count != n {
		r.t.Fatalf("on disk: %q", r.onDisk())
	}
}

// Knowing a hash, or that a file is there, gives nobody anything.
func TestSecondUserUploadsAllOfIt(t *testing.T) {
	r := newRig(t)
	f := newFile(70_000, 8)
	r.put("door", f)
	if a := r.do("GET", r.downURL("stranger", f), nil, nil); a.status != 403 {
		t.Fatalf("a stranger gets the file: %d", a.status)
	}
	target := r.upURL("stranger", f)
	r.want("HEAD", r.head(target), 404)
	r.want("POST", r.post(target, 70_000), 201)
	r.want("PATCH", r.patch(target, 0, f.data[:69_999]), 204)
	if r.owns("stranger", f) {
		t.Error("all but a byte is enough")
	}
	if a := r.do("GET", r.downURL("stranger", f), nil, nil); a.status != 403 {
		t.Fatalf("a stranger gets the file: %d", a.status)
	}
	r.want("PATCH", r.patch(target, 69_999, f.data[69_999:]), 204)
	r.kept(f)
	r.get("stranger", f)
	if s := r.Stats(); s.Files != 1 || s.Bytes != 70_000 {
		t.Errorf("stored twice: %+v", s)
	}
}

func TestManyUploadTheSameAtOnce(t *testing.T) {
	r := newRig(t)
	users := []string{"door", "indoor", "stranger"}
	for round := range 8 {
		f := newFile(200_000+round, uint64(10+round))
		var all sync.WaitGroup
		for _, user := range users {
			url := r.upURL(user, f)
			all.Go(func() {
				a, err := try("POST", url, map[string]string{"Upload-Length": fmt.Sprint(len(f.data))}, nil)
				if err == nil && a.status == 201 {
					a, err = try("PATCH", url, patchHeader(0), bytes.NewReader(f.data))
				}
				if err != nil || a.status != 204 {
					t.Errorf("%d %s %v", a.status, a.body, err)
				}
			})
		}
		all.Wait()
		for _, user := range users {
			r.get(user, f)
		}
	}
	if s := r.Stats(); s.Files != 8 || s.Half != 0 || s.HalfBytes != 0 {
		t.Errorf("%+v", s)
	}
	if n := len(r.onDisk()); n != 8 {
		t.Errorf("%d files on disk", n)
	}
}

// Two terminals of one account go on with one upload.
func TestTwoTerminalsOfOneAccount(t *testing.T) {
	r := newRig(t)
	f := newFile(3_000_000, 20)
	var all sync.WaitGroup
	for range 2 {
		target := r.upURL("door", f)
		all.Go(func() {
			for range 2000 {
				a, err := try("HEAD", target, nil, nil)
				switch {
				case err != nil:
				case a.status == 404:
					_, _ = try("POST", target, map[string]string{"Upload-Length": fmt.Sprint(len(f.data))}, nil)
				case a.status == 200 && a.offset() == int64(len(f.data)):
					return
				case a.status == 200:
					at := a.offset()
					_, _ = try("PATCH", target, patchHeader(at), bytes.NewReader(f.data[at:min(at+256<<10, int64(len(f.data)))]))
				}
			}
			t.Error("it does not come to an end")
		})
	}
	all.Wait()
	r.kept(f)
}

// The process may end after each step of completing an upload. Whatever the
// terminal asks first then, the file is kept, and its bytes are not asked for again.
func TestKilledBetweenSteps(t *testing.T) {
	asks := map[string]func(r *rig, target string, f file){
		"HEAD": func(r *rig, target string, f file) {
			if a := r.want("HEAD", r.head(target), 200); a.offset() != int64(len(f.data)) {
				r.t.Errorf("%v", a.header)
			}
		},
		"PATCH": func(r *rig, target string, f file) { r.want("PATCH", r.patch(target, int64(len(f.data)), nil), 204) },
		"POST":  func(r *rig, target string, f file) { r.want("POST", r.post(target, int64(len(f.data))), 201) },
	}
	for _, step := range []string{"checked", "stored", "kept"} {
		for name, ask := range asks {
			t.Run(step+" "+name, func(t *testing.T) {
				r := newRig(t)
				f := newFile(100_000, 21)
				r.step = func(s string) error {
					if s == step {
						return errStep
					}
					return nil
				}
				target := r.upURL("door", f)
				r.want("POST", r.post(target, 100_000), 201)
				r.want("PATCH", r.patch(target, 0, f.data), 503)
				if step != "kept" && r.owns("door", f) {
					t.Error("it is kept too soon")
				}
				if a := r.do("GET", r.downURL("stranger", f), nil, nil); a.status != 403 {
					t.Errorf("a stranger gets %d", a.status)
				}
				r.restart()
				ask(r, r.upURL("door", f), f)
				r.kept(f)
				r.get("door", f)
				if in := r.Stats().BytesIn; in != 0 {
					t.Errorf("%d bytes were sent again", in)
				}
			})
		}
	}
}

// The database is away just when the upload is complete.
func TestDatabaseFailsAtTheEnd(t *testing.T) {
	var fails atomic.Bool
	fails.Store(true)
	r := newRig(t, func(c *Config) {
		c.Write = func(f func(context.Context, *store.Tx) error) error {
			if fails.Load() {
				return errors.New("away")
			}
			return c.Store.Write(context.Background(), f)
		}
	})
	f := newFile(10_000, 22)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, 10_000), 201)
	a := r.want("PATCH", r.patch(target, 0, f.data), 503)
	if a.header.Get("Retry-After") == "" || bytes.Contains(a.body, []byte("away")) || bytes.Contains(a.body, []byte(r.dir)) {
		t.Errorf("%v %s", a.header, a.body)
	}
	r.want("HEAD", r.head(target), 503)
	fails.Store(false)
	if a := r.want("HEAD", r.head(target), 200); a.offset() != 10_000 {
		t.Errorf("%v", a.header)
	}
	r.kept(f)
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	f := newFile(10_000, 23)
	target := r.upURL("door", f)
	r.want("POST", r.post(target, 10_000), 201)
	r.want("PATCH", r.patch(target, 0, f.data[:5000]), 204)
	r.want("DELETE", r.do("DELETE", target, nil, nil), 204)
	r.want("HEAD", r.head(target), 404)
	r.kept()
	if s := r.Stats(); s.Half != 0 || s.HalfBytes != 0 {
		t.Errorf("%+v", s)
	}
}

// A file about an upload that was half written as the power went is no obstacle.
func TestDamagedUploadBeginsAnew(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "half": `{"ID":"`, "other": `{"ID":"x","Size":1}`} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			f := newFile(10_000, 24)
			id := grant{user: "door", hash: f.hash}.id(app)
			r.want("POST", r.post(r.upURL("door", f), 10_000), 201)
			r.want("PATCH", r.patch(r.upURL("door", f), 0, f.data[:5000]), 204)
			overwrite(t, r.shelf.path(id+infoSuffix), text)
			r.want("HEAD", r.head(r.upURL("door", f)), 404)
			r.put("door", f)
			r.kept(f)
			overwrite(t, r.shelf.path(id+infoSuffix), text)
			overwrite(t, r.shelf.path("stray"), "stray")
			r.restart()
			r.kept(f)
			if s := r.Stats(); s.Half != 0 || s.HalfBytes != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestManyUnfinishedUploads(t *testing.T) {
	r := newRig(t)
	for i := range maxHalf {
		r.want("POST", r.post(r.upURLOf("door", hashOf(i), 1000), 1000), 201)
	}
	r.want("POST", r.post(r.upURLOf("door", hashOf(maxHalf), 1000), 1000), 429)
	r.want("POST of another", r.post(r.upURLOf("indoor", hashOf(maxHalf), 1000), 1000), 201)
	r.want("POST again", r.post(r.upURLOf("door", hashOf(0), 1000), 1000), 201)
	r.restart()
	r.want("POST", r.post(r.upURLOf("door", hashOf(maxHalf), 1000), 1000), 429)
	r.want("DELETE", r.do("DELETE", r.upURLOf("door", hashOf(1), 1000), nil, nil), 204)
	r.want("POST", r.post(r.upURLOf("door", hashOf(maxHalf), 1000), 1000), 201)
}

func hashOf(i int) string { return fileOf([]byte{byte(i), byte(i >> 8)}).hash }

func TestOtherMethodsAndPaths(t *testing.T) {
	r := newRig(t)
	f := newFile(100, 25)
	r.put("door", f)
	for _, x := range []struct {
		method, url string
		status      int
	}{
		{"PUT", r.upURL("door", f), 405}, {"GET", r.upURL("door", f), 405}, {"POST", r.downURL("door", f), 405},
		{"PATCH", r.downURL("door", f), 405}, {"DELETE", r.downURL("door", f), 405},
		{"GET", r.base + Path, 404}, {"GET", r.base + Path + f.hash, 404}, {"GET", r.base + uploadPath, 404},
		{"GET", r.base + Path + "..%2f..%2fhub.db", 404}, {"GET", r.base + Path + uploadsDir, 404},
	} {
		a := r.do(x.method, x.url, nil, nil)
		if a.status != x.status || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: %d", x.method, x.url, a.status)
		}
	}
	r.want("POST with a method in a header", r.do("POST", r.upURL("door", newFile(50, 26)), map[string]string{"X-HTTP-Method-Override": "DELETE", "Upload-Length": "50"}, nil), 201)
	if a := r.do("PATCH", r.upURL("door", newFile(50, 26)), map[string]string{"Upload-Offset": "0"}, nil); a.status != http.StatusBadRequest {
		t.Errorf("a PATCH of no type: %d", a.status)
	}
}
