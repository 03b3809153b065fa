package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

func TestUploads(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	change := func(o *Options) { o.Cache, o.now = 0, clock }
	b := newBoard(t, t.TempDir(), change)
	ctx := context.Background()
	receive := func(data, name string) string {
		t.Helper()
		path, f, err := b.Receive(ctx, strings.NewReader(data), name, 100)
		if err != nil || f.Hash != hashOf([]byte(data)) {
			t.Fatal(path, f, err)
		}
		return path
	}
	path := receive("hello", "grüße.txt")
	if filepath.Base(path) != "grüße.txt" || !strings.HasPrefix(path, "upload:") {
		t.Error(path)
	}
	if bare := receive("bare", ""); strings.Contains(bare, "/") {
		t.Error(bare)
	}
	for _, name := range []string{"a/b", ".", "..", "a\x00", "a\nb", "\xff", strings.Repeat("x", 256)} {
		_, _, err := b.Receive(ctx, strings.NewReader("x"), name, 100)
		wantCode(t, err, protocol.CodeInvalidParameters)
	}
	_, _, err := b.Receive(ctx, strings.NewReader(""), "", 100)
	wantCode(t, err, protocol.CodeFileSizeEmpty)
	_, _, err = b.Receive(ctx, strings.NewReader(strings.Repeat("x", 101)), "a.txt", 100)
	wantCode(t, err, protocol.CodeFileTooLarge)
	if !strings.Contains(err.Error(), "a.txt") {
		t.Error(err)
	}

	b = b.again(t, change) // they survive that
	_, err = b.Take(ctx, path, "m", 4)
	wantCode(t, err, protocol.CodeFileTooLarge)
	for _, owner := range []string{"m1", "m2"} { // twice, while somebody keeps it
		if f, err := b.Take(ctx, path, owner, 5); err != nil || f != (File{hashOf([]byte("hello")), 5}) {
			t.Error(f, err)
		}
	}
	b.Unpin("m1")
	b.Unpin("m2") // there is no cache: now it is gone
	_, err = b.Take(ctx, path, "m3", 5)
	wantCode(t, err, protocol.CodeFileNotFound)

	unclaimed, claimed := receive("unclaimed", ""), receive("claimed", "")
	if _, err := b.Take(ctx, claimed, "m4", 100); err != nil {
		t.Fatal(err)
	}
	b.Sweep(func(owner string) bool { return owner == "m4" }) // uploads are none of its business
	pass(uploadFor - time.Minute)
	b.dropUploads()
	if hashes, _ := inFolder(t, b); len(hashes) != 3 { // the bare one is nobody's, too
		t.Error("early: ", len(hashes))
	}
	pass(2 * time.Minute)
	b.dropUploads()
	for _, p := range []string{unclaimed, claimed} {
		_, err := b.Take(ctx, p, "m5", 100)
		wantCode(t, err, protocol.CodeFileNotFound)
	}
	if hashes, _ := inFolder(t, b); !slices.Equal(hashes, []string{hashOf([]byte("claimed"))}) {
		t.Error(hashes)
	}
	b = b.again(t, change)
	if len(b.uploads) != 0 {
		t.Error(b.uploads)
	}
	// A board that boots in 1970 and is told the time keeps what came before that.
	pass(-50 * 365 * 24 * time.Hour)
	early := receive("early", "")
	mu.Lock()
	now = time.Now() // without its monotonic part the day is over at once
	mu.Unlock()
	b.mu.Lock()
	b.uploads[strings.TrimPrefix(early, "upload:")].since = now // as the monotonic clock has it
	b.mu.Unlock()
	b.dropUploads()
	if _, err := b.Take(ctx, early, "m6", 100); err != nil {
		t.Error(err)
	}
}

// TestUploadsAreBounded: only those that nobody has claimed stand in the way of
// the next.
func TestUploadsAreBounded(t *testing.T) {
	b := newBoard(t, t.TempDir(), nil)
	ctx := context.Background()
	receive := func(data string) (string, error) {
		path, _, err := b.Receive(ctx, strings.NewReader(data), "", 100)
		return path, err
	}
	claimed, err := receive("claimed")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Take(ctx, claimed, "m", 100); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	for i := len(b.uploads); i < maxUploads; i++ {
		name := fmt.Sprint(i)
		b.uploads[name] = &upload{Hash: hashOf([]byte(name)), Size: 1, At: b.opts.now().Unix(), since: b.opts.now()}
		b.owners[uploadScheme+name] = []string{hashOf([]byte(name))}
	}
	b.mu.Unlock()
	last, err := receive("last")
	if err != nil {
		t.Fatal(err)
	}
	_, err = receive("one too many")
	wantCode(t, err, protocol.CodeNetReqCountLimit)
	_, err = b.Take(ctx, claimed, "m2", 100) // it made room
	wantCode(t, err, protocol.CodeFileNotFound)
	if _, err := b.Take(ctx, last, "m", 100); err != nil {
		t.Fatal(err)
	}
	if _, err = receive("one more"); err != nil {
		t.Error(err)
	}
	if len(b.uploads) != maxUploads {
		t.Error(len(b.uploads))
	}
	b = b.again(t, nil)
	if len(b.uploads) != 1 {
		t.Error(b.uploads)
	}
}
