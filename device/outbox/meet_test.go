package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFits(t *testing.T) {
	cur, old := Numbering{Epoch: 50, Base: 11}, Numbering{Epoch: 40, Base: 5}
	two, one := producer{cur, old, 1}, producer{numbering: cur}
	fresh := producer{numbering: Numbering{Epoch: 3, Base: 1}}
	for _, c := range []struct {
		what        string
		p           producer
		first, next uint64
		epoch       uint32
		last        uint64
		ok          bool
	}{
		{"a new board", fresh, 1, 1, 0, 0, true},
		{"a new board with items", fresh, 1, 5, 0, 0, true},
		{"nothing under way", one, 14, 20, 50, 13, true},
		{"answers lost on the way", one, 14, 20, 50, 17, true},
		{"all stored, no answer came", one, 14, 20, 50, 19, true},
		{"the hub has gone back within the epoch", one, 14, 20, 50, 12, false},
		{"the hub has gone back before the epoch", one, 14, 20, 30, 10, false},
		{"the hub knows nothing", one, 14, 20, 0, 0, false},
		{"the board has gone back, same epoch", one, 14, 20, 50, 20, false},
		{"the board has gone back, a later epoch", one, 14, 20, 51, 2, false},
		{"the epoch is new to the hub", two, 11, 20, 40, 10, true},
		{"the epoch is new to the hub, which has more of the last one than we knew", two, 11, 20, 40, 15, true},
		{"the epoch is new to the hub, which has lost some of the last one", two, 11, 20, 40, 7, true},
		{"the epoch is new to the hub, which has lost the last one", two, 11, 20, 39, 4, true},
		{"the epoch is new to the hub, which was emptied", two, 11, 11, 0, 0, true},
		{"both epochs were answered and are lost", two, 13, 20, 39, 4, false},
		{"what waits is of the last epoch", two, 7, 20, 40, 6, true},
		{"what waits is of the last epoch, answers lost on the way", two, 7, 20, 40, 9, true},
		{"what waits is of the last epoch, the hub has gone back", two, 7, 20, 40, 5, false},
		{"what waits is of the last epoch, which the hub does not know", two, 7, 20, 0, 0, false},
		{"what waits is all of the last epoch, which the hub does not know", two, 5, 20, 0, 0, true},
		{"what waits is of the last epoch, the board has gone back", two, 7, 20, 40, 12, true},
		{"what waits is of the last epoch, the hub knows a later one", two, 7, 20, 50, 12, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			if ok := c.p.fits(counts{first: c.first, next: c.next}, c.epoch, c.last); ok != c.ok {
				t.Error(ok)
			}
		})
	}
}

func TestLossesAreToldOnce(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	meet := func(epoch uint32, last uint64, wantRenewed bool, wantLost uint64) {
		t.Helper()
		renewed, lost, err := f.Meet(epoch, last)
		if err != nil || renewed != wantRenewed || lost != wantLost {
			t.Errorf("renewed %v, %d lost, %v", renewed, lost, err)
		}
	}
	f.mustPut(t, "1", "2", "3", "4", "5")
	sent := f.Epoch()
	f.remove(t, 1, 4)
	meet(sent, 4, false, 0)
	meet(sent, 2, true, 2)
	meet(sent, 2, false, 0)
	_ = f.db.Close()
	f = open(t, dir, roomy)
	meet(sent, 2, false, 0)
	f.remove(t, 5, 1)
	meet(sent, 2, false, 1) // what was answered was of an epoch before this one
	meet(0, 0, false, 0)
	f.mustPut(t, "6")
	f.remove(t, 6, 1)
	_ = f.db.Close()
	f = open(t, dir, roomy)
	meet(sent, 2, false, 1) // all is answered, and the epoch is new: nothing to renew
	meet(sent, 2, false, 0)
}

// hub takes batches by the rules of protocol.Append.
type hub struct {
	epoch uint32
	last  uint64
	log   []string
}

func (h *hub) copy() hub { return hub{h.epoch, h.last, slices.Clone(h.log)} }

// append tells whether the batch is answered; false is a bye.
func (h *hub) append(n Numbering, first uint64, texts []string) bool {
	switch {
	case n.Epoch < h.epoch:
		return false
	case n.Epoch > h.epoch:
		if first != n.Base {
			return false
		}
		h.epoch, h.last = n.Epoch, first-1
	case first > h.last+1:
		return false
	}
	for i, text := range texts {
		if cseq := first + uint64(i); cseq > h.last {
			h.log = append(h.log, text)
			h.last = cseq
		}
	}
	return true
}

// world is a board and its hub, with everything that may happen to them.
type world struct {
	t   *testing.T
	rnd *rand.Rand
	dir string
	f   fixture
	hub hub
	met bool

	accepted []string // by the board, in order
	lost     uint64   // as Meet told
}

func (w *world) meet() {
	_, lost, err := w.f.Meet(w.hub.epoch, w.hub.last)
	if err != nil {
		w.t.Fatal(err)
	}
	w.lost += lost
	w.met = true
}

// send hands a batch over; its answer may get lost.
func (w *world) send(answered bool) (sent int) {
	if !w.met {
		w.meet()
	}
	n, items, err := w.f.Batch(1+w.rnd.IntN(5), 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(items) == 0 {
		return 0
	}
	var texts []string
	for _, it := range items {
		texts = append(texts, textOf(w.t, it))
	}
	if !w.hub.append(n, items[0].Cseq, texts) {
		w.t.Fatalf("the hub, at %d of epoch %d, refuses %+v from %d on", w.hub.last, w.hub.epoch, n, items[0].Cseq)
	}
	if answered {
		w.f.remove(w.t, items[0].Cseq, len(items))
	} else {
		w.met = false
	}
	return len(items)
}

func (w *world) accept() {
	for range w.rnd.IntN(4) {
		text := fmt.Sprint(len(w.accepted))
		w.f.mustPut(w.t, text)
		w.accepted = append(w.accepted, text)
	}
}

func (w *world) restart() {
	_ = w.f.db.Close()
	w.f = open(w.t, w.dir, roomy)
	w.met = false
}

func (w *world) drain() {
	for w.send(true) > 0 {
	}
	w.f.check(w.t)
}

func newWorld(t *testing.T, seed uint64) *world {
	dir := t.TempDir()
	return &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: dir, f: open(t, dir, roomy)}
}

func rounds(t *testing.T) uint64 {
	if testing.Short() {
		return 5
	}
	return 25
}

// TestExactlyOnce: connections cut and processes restarted at any moment.
func TestExactlyOnce(t *testing.T) {
	for seed := range rounds(t) {
		w := newWorld(t, seed)
		for range 60 {
			switch w.rnd.IntN(8) {
			case 0, 1, 2:
				w.accept()
			case 3, 4:
				w.send(true)
			case 5:
				w.send(false)
			case 6:
				w.restart()
			case 7:
				w.met = false
			}
		}
		w.drain()
		if !slices.Equal(w.hub.log, w.accepted) || w.lost != 0 {
			t.Fatalf("seed %d: the hub has\n%v of\n%v; %d lost", seed, w.hub.log, w.accepted, w.lost)
		}
	}
}

// TestHubGoesBack: besides, the hub's database comes back from an older copy.
// What it had is lost, and counted; nothing that waits is, and nothing comes twice.
func TestHubGoesBack(t *testing.T) {
	for seed := range rounds(t) {
		w := newWorld(t, seed)
		backup, missing, wentBack := w.hub.copy(), make(map[string]bool), false
		for range 60 {
			switch w.rnd.IntN(9) {
			case 0, 1, 2:
				w.accept()
			case 3, 4:
				w.send(true)
			case 5:
				w.send(false)
			case 6:
				w.restart()
			case 7:
				if !wentBack {
					backup = w.hub.copy()
				}
			case 8:
				if wentBack {
					continue
				}
				waits := w.f.texts(t)
				for _, text := range w.hub.log[len(backup.log):] {
					if !slices.Contains(waits, text) {
						missing[text] = true
					}
				}
				w.hub, w.met, wentBack = backup, false, true
			}
		}
		w.drain()
		var want []string
		for _, text := range w.accepted {
			if !missing[text] {
				want = append(want, text)
			}
		}
		if !slices.Equal(w.hub.log, want) {
			t.Fatalf("seed %d: the hub has\n%v of\n%v", seed, w.hub.log, want)
		}
		if w.lost != uint64(len(missing)) {
			t.Errorf("seed %d: %d are lost, not %d", seed, w.lost, len(missing))
		}
	}
}

// TestBoardGoesBack: the board's flash goes back to an earlier state in a power
// failure. What is accepted afterwards must not be taken for what was before.
func TestBoardGoesBack(t *testing.T) {
	twice := 0
	for seed := range rounds(t) {
		w := newWorld(t, seed)
		old := t.TempDir()
		copied, until := false, 0
		var sure []string // accepted by a state that lasted
		for range 60 {
			switch w.rnd.IntN(9) {
			case 0, 1, 2:
				w.accept()
			case 3, 4:
				w.send(true)
			case 5:
				w.send(false)
			case 6:
				w.restart()
			case 7:
				_ = w.f.db.Close()
				copyStore(t, w.dir, old)
				copied, until = true, len(w.accepted)
				w.f, w.met = open(t, w.dir, roomy), false
			case 8:
				if !copied {
					continue
				}
				_ = w.f.db.Close()
				copyStore(t, old, w.dir)
				w.f, w.met = open(t, w.dir, roomy), false
				sure = append(sure, w.accepted[:until]...)
				w.accepted = append(w.accepted[:until:until], "gone back "+fmt.Sprint(len(w.accepted)))
				w.f.mustPut(t, w.accepted[until])
			}
		}
		w.drain()
		for _, text := range append(sure, w.accepted...) {
			if !slices.Contains(w.hub.log, text) {
				t.Fatalf("seed %d: %s is lost:\n%v", seed, text, w.hub.log)
			}
		}
		seen := make(map[string]bool)
		for _, text := range w.hub.log {
			if seen[text] {
				twice++
			}
			seen[text] = true
		}
	}
	t.Logf("%d messages came twice", twice)
}
