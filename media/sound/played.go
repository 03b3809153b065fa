package sound

import "sync"

// Played is what a speaker's device was given last, to the sample: what is heard in
// the room and so, as an echo, by the microphone.
type Played struct {
	clock func() int64 // samples of Rate since some time

	mu    sync.Mutex
	buf   []int16
	total int64 // samples until now,
	at    int64 // and when the last of them were given
	lead  int   // of them, that were given at once
}

// remembered is how much of what was played is kept: more than it takes to be heard.
const remembered = Rate

func newPlayed() *Played {
	return &Played{clock: sampleClock(), buf: make([]int16, remembered)}
}

// write takes what the device was given just now.
func (p *Played) write(pcm []int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.lead = p.clock(), len(pcm)
	for len(pcm) > 0 {
		k := copy(p.buf[p.total%remembered:], pcm)
		p.total, pcm = p.total+int64(k), pcm[k:]
	}
}

// now is how many samples were given until now, as if they were given one by one;
// false: the device does not run.
func (p *Played) now() (samples int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ago := p.clock() - p.at
	if p.total == 0 || ago > remembered/4 {
		return 0, false
	}
	return p.total - int64(p.lead) + min(ago, int64(p.lead)), true
}

// read gives the samples from index on; what is not there is silence.
func (p *Played) read(index int64, pcm []int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range pcm {
		k := index + int64(i)
		if k < 0 || k >= p.total || k < p.total-remembered {
			pcm[i] = 0
			continue
		}
		pcm[i] = p.buf[k%remembered]
	}
}
