package sound

import "sync"

// ring holds samples between a driver's thread and a goroutine. The driver waits for
// nobody: what is too much takes the place of the oldest.
type ring struct {
	mu    sync.Mutex
	buf   []int16
	at, n int           // of the oldest sample, and how many there are
	total int64         // samples written
	moved chan struct{} // takes one: the driver has written or read
}

func newRing(size int) *ring { return &ring{buf: make([]int16, size), moved: make(chan struct{}, 1)} }

// signal tells the goroutine that the driver has written or read.
func (r *ring) signal() {
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

func (r *ring) write(pcm []int16) {
	r.mu.Lock()
	r.total += int64(len(pcm))
	if over := len(pcm) - len(r.buf); over > 0 {
		pcm = pcm[over:]
	}
	if over := r.n + len(pcm) - len(r.buf); over > 0 {
		r.at, r.n = (r.at+over)%len(r.buf), r.n-over
	}
	end := (r.at + r.n) % len(r.buf)
	k := copy(r.buf[end:], pcm)
	copy(r.buf, pcm[k:])
	r.n += len(pcm)
	r.mu.Unlock()
}

// read fills pcm if there are as many samples; else it takes none. index is that of the
// first of all that were written.
func (r *ring) read(pcm []int16) (index int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	index, ok = r.total-int64(r.n), r.n >= len(pcm)
	if ok {
		r.take(pcm)
	}
	return index, ok
}

// readSome fills pcm with what there is, and silence.
func (r *ring) readSome(pcm []int16) {
	r.mu.Lock()
	k := min(r.n, len(pcm))
	r.take(pcm[:k])
	r.mu.Unlock()
	clear(pcm[k:])
}

func (r *ring) take(pcm []int16) {
	k := copy(pcm, r.buf[r.at:])
	copy(pcm[k:], r.buf)
	r.at, r.n = (r.at+len(pcm))%len(r.buf), r.n-len(pcm)
}

func (r *ring) length() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}
