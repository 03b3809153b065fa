package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

func TestOpenWhileItComes(t *testing.T) {
	noLeaks(t)
	data := noise(9, 300<<10)
	h, _, open := gate(t, data)
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, quick)
	r, err := c.Open(context.Background(), hashOf(data))
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len(data)/2)
	if _, err := io.ReadFull(r, first); err != nil || !bytes.Equal(first, data[:len(first)]) {
		t.Fatal(err)
	}
	if size, err := r.Seek(0, io.SeekEnd); err != nil || size != int64(len(data)) {
		t.Error(size, err)
	}
	if n, err := r.Read(first); n != 0 || err != io.EOF {
		t.Error("at the end: ", n, err)
	}
	if at, err := r.Seek(-50, io.SeekCurrent); err != nil || at != int64(len(data)-50) {
		t.Error(at, err)
	}
	got := make(chan []byte)
	go func() {
		rest, err := io.ReadAll(r) // waits
		if err != nil {
			t.Error(err)
		}
		got <- rest
	}()
	close(open)
	if rest := <-got; !bytes.Equal(rest, data[len(data)-50:]) {
		t.Errorf("%d bytes", len(rest))
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, data) {
		t.Error(err)
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("before the beginning")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	r, err = c.Open(context.Background(), hashOf(data)) // it is here now
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, data) {
		t.Error(err)
	}
}

// TestReadersFirst: who reads does not wait for what is only fetched, also where
// it is the same file, but may for other readers.
func TestReadersFirst(t *testing.T) {
	noLeaks(t)
	h, half, open := gate(t, noise(0, 1000))
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, quick)
	var hashes []string
	for i := range maxDown + maxAhead + 1 {
		hashes = append(hashes, h.have(noise(uint64(i), 1000)))
	}
	fetched := hashes[:maxDown+1]
	done := make(chan error, len(fetched))
	for i, hash := range fetched {
		go func() { done <- c.Fetch(context.Background(), hash, 1000, nil) }()
		if i < maxDown {
			<-half
		}
	}
	for { // the last of them waits for a place, or is about to
		c.mu.Lock()
		n := len(c.jobs)
		c.mu.Unlock()
		if n == len(fetched) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for _, hash := range hashes[maxDown : maxDown+maxAhead] {
		r, err := c.Open(context.Background(), hash)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	c.opts.timing.patience = 20 * time.Millisecond
	_, err := c.Open(context.Background(), hashes[maxDown+maxAhead])
	wantCode(t, err, protocol.CodeSvrResTransferTimeout)
	close(open)
	for range fetched {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestOpenWrong: who reads what is wrong never gets the whole of it. The server
// sends it all and does not say that it was all, so that it is not verified yet.
func TestOpenWrong(t *testing.T) {
	data := noise(9, 300<<10)
	bad := slices.Clone(data)
	bad[1000]++
	end := make(chan struct{})
	h, _ := served(t, data, func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			w.(http.Flusher).Flush()
			_, _ = w.Write(bad)
			w.(http.Flusher).Flush()
			<-end
		}
		return n == 1
	})
	b := newBoard(t, t.TempDir(), nil)
	tm := quick
	tm.patience = 100 * time.Millisecond
	c := newCourier(t, b, h, tm)
	r, err := c.Open(context.Background(), hashOf(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	wantCode(t, err, protocol.CodeSvrResTransferTimeout)
	if !bytes.Equal(got, bad[:len(bad)-1]) {
		t.Errorf("%d bytes", len(got))
	}
	close(end)
	if err := c.Fetch(context.Background(), hashOf(data), 0, nil); err != nil { // the second time it is right
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	wantCode(t, err, protocol.CodeSvrResReadFailed)
}

// TestOpenMeanwhile: the file that somebody reads while it comes is stored by
// another way, as by a program that sends it too. He reads on, and what came
// before is held against it.
func TestOpenMeanwhile(t *testing.T) {
	data := noise(9, 300<<10)
	for _, right := range []bool{true, false} {
		noLeaks(t)
		first := slices.Clone(data[:len(data)/2])
		if !right {
			first[1000]++
		}
		stored := make(chan struct{})
		h, _ := served(t, data, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(first)
			w.(http.Flusher).Flush()
			<-stored
			panic(http.ErrAbortHandler)
		})
		b := newBoard(t, t.TempDir(), nil)
		r, err := newCourier(t, b, h, quick).Open(context.Background(), hashOf(data))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got := make([]byte, len(first))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, first) {
			t.Fatal(err)
		}
		b.put(t, data, "o")
		close(stored)
		rest, err := io.ReadAll(r)
		switch {
		case !right:
			wantCode(t, err, protocol.CodeSvrResReadFailed)
			if len(rest) != 0 {
				t.Errorf("%d bytes more", len(rest))
			}
		case err != nil || !bytes.Equal(append(got, rest...), data):
			t.Errorf("%d bytes more, %v", len(rest), err)
		}
		<-r.(*reader).d.ended
		if _, tmp := inFolder(t, b); len(tmp) != 0 {
			t.Error(tmp)
		}
	}
}

// TestOpenBefore: the same before the hub has said how long it is.
func TestOpenBefore(t *testing.T) {
	noLeaks(t)
	data := noise(9, 300<<10)
	h := newHub(t)
	b := newBoard(t, t.TempDir(), nil)
	h.refuse = func(*protocol.GetFileRequest) error {
		_, err := b.Put(context.Background(), data, "o")
		return errors.Join(errors.New("not now"), err)
	}
	r, err := newCourier(t, b, h, quick).Open(context.Background(), hashOf(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if size, err := r.Seek(0, io.SeekEnd); err != nil || size != int64(len(data)) {
		t.Error(size, err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if all, err := io.ReadAll(r); err != nil || !bytes.Equal(all, data) {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}

// TestOpenSmall files, of which there is nothing to read before they are verified.
func TestOpenSmall(t *testing.T) {
	h := newHub(t)
	b := newBoard(t, t.TempDir(), nil)
	r, err := newCourier(t, b, h, quick).Open(context.Background(), h.have([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "x" {
		t.Error(got, err)
	}
}

func TestOpenRefused(t *testing.T) {
	noLeaks(t)
	data := noise(9, 300<<10)
	h, half, _ := gate(t, data)
	b := newBoard(t, t.TempDir(), nil)
	tm := quick
	tm.patience = 20 * time.Millisecond
	c := newCourier(t, b, h, tm)
	_, err := c.Open(context.Background(), hashOf([]byte("no")))
	wantCode(t, err, protocol.CodeSvrResNotFound)
	h.mu.Lock()
	h.refuse = func(*protocol.GetFileRequest) error { return protocol.Errorf(protocol.CodeNetDisconnect, "") }
	h.mu.Unlock()
	_, err = c.Open(context.Background(), hashOf(data)) // who reads does not wait for the link
	wantCode(t, err, protocol.CodeNetDisconnect)
	h.mu.Lock()
	h.refuse = nil
	h.mu.Unlock()
	r, err := c.Open(context.Background(), hashOf(data))
	if err != nil {
		t.Fatal(err)
	}
	<-half
	got, err := io.ReadAll(r) // nothing comes any more
	wantCode(t, err, protocol.CodeSvrResTransferTimeout)
	if len(got) != len(data)/2 {
		t.Error(len(got))
	}
	r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	r, err = c.Open(ctx, hashOf(data)) // what has come before is kept
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Seek(-1, io.SeekEnd); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.Close()
}
