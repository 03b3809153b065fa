package files

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkUpload and BenchmarkFetch of 100 MB stand beside a plain PUT and GET of
// the same bytes to and from a file, in the same run: hashing, resuming and
// syncing are what the difference is made of. In all, both ends are this machine.
const benchBytes = 100 << 20

func BenchmarkUpload(b *testing.B) {
	h := newHub(b)
	board := newBoard(b, b.TempDir(), nil)
	f := board.put(b, noise(1, benchBytes), "m")
	c := newCourier(b, board, h, quick)
	b.SetBytes(benchBytes)
	for b.Loop() {
		h.mu.Lock()
		h.done[f.Hash] = false
		h.mu.Unlock()
		_ = os.Remove(filepath.Join(h.dir, f.Hash))
		_ = os.Remove(filepath.Join(h.dir, f.Hash+".info"))
		if err := c.Upload(context.Background(), f.Hash, f.Size, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainPut(b *testing.B) {
	dir := b.TempDir()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(filepath.Join(dir, "in"))
		if err == nil {
			_, err = io.Copy(f, r.Body)
		}
		if err != nil || f.Close() != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer s.Close()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, noise(1, benchBytes), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchBytes)
	for b.Loop() {
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPut, s.URL, f)
		if err != nil {
			b.Fatal(err)
		}
		r.ContentLength = benchBytes
		res, err := http.DefaultClient.Do(r)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(err)
		}
		res.Body.Close()
	}
}

func BenchmarkFetch(b *testing.B) {
	h := newHub(b)
	hash := h.have(noise(1, benchBytes))
	board := newBoard(b, b.TempDir(), nil)
	c := newCourier(b, board, h, quick)
	b.SetBytes(benchBytes)
	for b.Loop() {
		board.mu.Lock()
		if e := board.entries[hash]; e != nil {
			board.remove(e)
		}
		board.mu.Unlock()
		if err := c.Fetch(context.Background(), hash, benchBytes, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainGet(b *testing.B) {
	data := noise(1, benchBytes)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, bytes.NewReader(data)) }))
	defer s.Close()
	path := filepath.Join(b.TempDir(), "in")
	b.SetBytes(benchBytes)
	for b.Loop() {
		res, err := http.Get(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(path)
		if err == nil {
			_, err = io.Copy(f, res.Body)
		}
		if err != nil || f.Close() != nil {
			b.Fatal(err)
		}
		res.Body.Close()
	}
}

func BenchmarkTake(b *testing.B) {
	board := newBoard(b, b.TempDir(), nil)
	path := file(b, noise(1, benchBytes))
	b.SetBytes(benchBytes)
	for b.Loop() {
		f, err := board.Take(context.Background(), path, "m", benchBytes)
		if err != nil {
			b.Fatal(err)
		}
		board.mu.Lock()
		board.own(board.entries[f.Hash], -1)
		delete(board.owners, "m")
		board.remove(board.entries[f.Hash])
		board.mu.Unlock()
	}
}
