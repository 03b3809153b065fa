package outbox

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// withdraw runs an operation as the device does, and returns in a word what
// came of it.
func (f fixture) withdraw(cseq uint64) string {
	err := f.do(func(tx *bbolt.Tx) error { return f.Withdraw(tx, cseq) })
	switch {
	case errors.Is(err, ErrTaken):
		return "taken"
	case err != nil:
		return err.Error()
	}
	return "withdrawn"
}

func (f fixture) batch(t testing.TB, limit, maxBytes int) string {
	t.Helper()
	_, items, err := f.Batch(limit, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, it := range items {
		s := fmt.Sprint(it.Cseq)
		if it.Withdrawn && it.Kind == protocol.ItemVoid {
			s += "(withdrawn)"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestWithdraw(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	f.mustPut(t, "1", "2", "3")
	before := f.Status().Bytes
	if got := f.withdraw(2); got != "withdrawn" {
		t.Fatal(got)
	}
	f.check(t)
	if s := f.Status(); s.Items != 3 || s.Bytes >= before {
		t.Errorf("%+v, of %d bytes before", s, before)
	}
	if got := f.batch(t, 10, 1<<20); got != "1 2(withdrawn) 3" {
		t.Error(got)
	}
	f.remove(t, 1, 1)
	for cseq := range uint64(5) { // not there (any more), given out, never there
		if got := f.withdraw(cseq); got != "taken" {
			t.Errorf("%d is %s", cseq, got)
		}
	}
	f.check(t)
	_ = f.db.Close()
	f = open(t, dir, roomy)
	if got := f.withdraw(3); got != "taken" {
		t.Error("what the Box before may have given out is", got)
	}
	f.mustPut(t, "4")
	if got := f.withdraw(4); got != "withdrawn" {
		t.Error(got)
	}
}

// TestTakenIsWhatWasGivenOut: only what a batch had room for is at the hub.
func TestTakenIsWhatWasGivenOut(t *testing.T) {
	text := strings.Repeat("x", 1000)
	broken, _, err := store.Open(store.Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		limit, bytes int
		broken       bool
		given        string
		want         string
	}{
		"nothing":       {0, 1 << 20, false, "", "withdrawn withdrawn withdrawn"},
		"items":         {2, 1 << 20, false, "1 2", "taken taken withdrawn"},
		"bytes":         {10, 2500, false, "1 2", "taken taken withdrawn"},
		"at least one":  {10, 1, false, "1", "taken withdrawn withdrawn"},
		"not readable":  {10, 1 << 20, true, "", "withdrawn withdrawn withdrawn"},
		"all, and more": {10, 1 << 20, false, "1 2 3", "taken taken taken"},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, t.TempDir(), roomy)
			f.mustPut(t, text, text, text)
			if c.broken {
				whole := f.Box.db
				f.Box.db = broken
				_, _, err := f.Batch(c.limit, c.bytes)
				if f.Box.db = whole; err == nil {
					t.Fatal("it can be read")
				}
			} else if got := f.batch(t, c.limit, c.bytes); got != c.given {
				t.Fatal(got)
			}
			got := f.withdraw(1) + " " + f.withdraw(2) + " " + f.withdraw(3)
			if got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
			f.check(t)
		})
	}
}

// TestTakenStays: what was given out once is at the hub, whatever a later batch
// has room for.
func TestTakenStays(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.mustPut(t, "1", "2", "3")
	f.batch(t, 2, 1<<20)
	f.batch(t, 1, 1<<20)
	if got := f.withdraw(2) + " " + f.withdraw(3); got != "taken withdrawn" {
		t.Error(got)
	}
}

// TestBatchWhileWithdrawing: until it is on disk that an item is withdrawn, it is
// neither given out as it was nor as what it will be.
func TestBatchWhileWithdrawing(t *testing.T) {
	cause := errors.New("no such luck")
	for name, failed := range map[string]bool{"written": false, "not written": true} {
		t.Run(name, func(t *testing.T) {
			f := open(t, t.TempDir(), roomy)
			f.mustPut(t, "1", "2", "3", "4")
			meanwhile := ""
			err := f.do(func(tx *bbolt.Tx) error {
				for _, cseq := range []uint64{3, 2} {
					if err := f.Withdraw(tx, cseq); err != nil {
						return err
					}
				}
				meanwhile = f.batch(t, 10, 1<<20)
				if failed {
					return cause
				}
				return nil
			})
			if errors.Is(err, cause) != failed || meanwhile != "1" {
				t.Error(err, meanwhile)
			}
			f.check(t)
			want := "1 2(withdrawn) 3(withdrawn) 4"
			if failed {
				want = "1 2 3 4"
			}
			if got := f.batch(t, 10, 1<<20); got != want {
				t.Errorf("%s, not %s", got, want)
			}
		})
	}
}

// TestBatchBehindRemove: the store shows a moment before Committed that items are
// gone. A batch does not reach beyond what it counts as given out.
func TestBatchBehindRemove(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.mustPut(t, "1", "2", "3", "4")
	given := make(chan string, 1)
	f.db.Go(func(tx *bbolt.Tx) error {
		_, err := f.Remove(tx, 1, 1)
		return err
	}, func(err error) {
		given <- f.batch(t, 2, 1<<20)
		f.Committed(err)
	})
	if got := <-given; got != "2" {
		t.Error(got)
	}
	if got := f.withdraw(2) + " " + f.withdraw(3); got != "taken withdrawn" {
		t.Error(got)
	}
}
