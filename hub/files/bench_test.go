package files

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

const benchSize = 100 << 20

// BenchmarkUpload is 100 MiB over loopback in one PATCH, and in PATCHes of 4 MiB;
// BenchmarkPlainPut beside it is what a server does that writes the body to a file.
func BenchmarkUpload(b *testing.B) {
	for name, piece := range map[string]int{"whole": benchSize, "4MiB": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			f := newFile(benchSize, 1)
			b.SetBytes(benchSize)
			for b.Loop() {
				b.StopTimer()
				r.forget(f)
				target := r.upURL("door", f)
				b.StartTimer()
				r.want("POST", r.post(target, benchSize), 201)
				for at := 0; at < benchSize; at += piece {
					r.want("PATCH", r.patch(target, int64(at), f.data[at:min(at+piece, benchSize)]), 204)
				}
			}
		})
	}
}

// forget makes a file one that was never there.
func (r *rig) forget(f file) {
	r.t.Helper()
	row, err := r.cfg.Store.File(r.t.Context(), app, f.hash)
	if err != nil {
		return
	}
	r.pass(25 * 60 * 60e9)
	r.sweepNow()
	if _, err := r.cfg.Store.File(r.t.Context(), app, row.Hash); err == nil {
		r.t.Fatal("it is still there")
	}
}

func BenchmarkDownload(b *testing.B) {
	r := newRig(b)
	f := newFile(benchSize, 1)
	r.put("door", f)
	b.SetBytes(benchSize)
	for b.Loop() {
		fetch(b, r.downURL("door", f))
	}
}

func fetch(b *testing.B, url string) {
	res, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || n != benchSize || res.Body.Close() != nil {
		b.Fatal(n, err)
	}
}

// plain serves one file, as simply as can be.
func plain(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "f")
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.ServeFile(w, r, path)
			return
		}
		f, err := os.Create(path)
		if err == nil {
			_, err = io.Copy(f, r.Body)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			b.Error(err)
		}
	}))
	b.Cleanup(ts.Close)
	return ts.URL
}

func BenchmarkPlainPut(b *testing.B) {
	url, f := plain(b), newFile(benchSize, 1)
	b.SetBytes(benchSize)
	for b.Loop() {
		putPlain(b, url, f)
	}
}

func putPlain(b *testing.B, url string, f file) {
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(f.data))
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 || res.Body.Close() != nil {
		b.Fatal(res, err)
	}
}

func BenchmarkPlainGet(b *testing.B) {
	url, f := plain(b), newFile(benchSize, 1)
	putPlain(b, url, f)
	b.SetBytes(benchSize)
	for b.Loop() {
		fetch(b, url)
	}
}
