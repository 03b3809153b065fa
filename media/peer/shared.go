package peer

import (
	"math"
	"slices"
	"time"
)

const (
	// shareEvery is how often it is looked at what the links of a shared stream can take.
	shareEvery = 200 * time.Millisecond
	// farBelow: who can take less than this part of what most can gets sound alone.
	farBelow = 0.25
	// nearAgain: and pictures again from this part on.
	nearAgain = 0.35
	// tooLittle and enough are the same with regard to the least bitrate.
	tooLittle = 0.8
	enough    = 1.2
	// tooLittleFor is how long one of the two has to last: an estimate may be too low for a moment.
	tooLittleFor = 3 * time.Second
	// pausedLeast is how long pictures stay away; it doubles each time, up to pausedMost.
	pausedLeast = 4 * time.Second
	pausedMost  = 30 * time.Second
	// forgiven is how long pictures have to have come for that to begin anew.
	forgiven = 20 * time.Second
	// told is by which part what may be taken has to change to be told.
	told = 0.03
	// lossEvery is how often the loss of sound is looked at.
	lossEvery = time.Second
	// maxLoss in percent: more is not told, as no encoder has an answer to it.
	maxLoss = 30
)

// shared decides for a stream that is encoded once for many. It is guarded by the track's lock.
type shared struct {
	looked  time.Time
	bitrate int
	loss    int
	lossAt  time.Time
	history map[*outgoing]*sharer
}

func newShared() shared { return shared{history: map[*outgoing]*sharer{}} }

// sharer is one link of those who share.
type sharer struct {
	free   int       // what it can take, bit/s
	low    time.Time // since when it is too little; zero: it is not
	paused bool
	until  time.Time     // at least so long
	next   time.Duration // how long the next pause is
	begun  time.Time     // when pictures came again
}

// adapt looks at all links of the track, at most five times a second; called with mu held.
func (t *localTrack) adapt(now time.Time) {
	s := &t.shared
	if now.Sub(s.looked) < shareEvery {
		return
	}
	s.looked = now
	all := t.feed.sending()
	if t.feed.codec.Kind() == Audio {
		t.tellLoss(all, now)
		return
	}
	for o := range s.history {
		if !slices.Contains(all, o) {
			delete(s.history, o)
		}
	}
	if len(s.history) == 0 {
		s.bitrate = 0 // the encoder has begun anew, too
	}
	least, most := 0, 0
	var list []*sharer
	for _, o := range all {
		h := s.history[o]
		if h == nil {
			h = &sharer{next: pausedLeast, begun: now}
			s.history[o] = h
		}
		h.free = o.wire.forPictures(now)
		least, most = o.wire.estimate.min, max(most, o.wire.estimate.max)
		list = append(list, h)
	}
	bitrate := share(list, least, most, now)
	for _, o := range all {
		o.pauseIf(s.history[o].paused)
	}
	if change := math.Abs(float64(bitrate - s.bitrate)); t.hooks.Bitrate != nil && bitrate > 0 &&
		(change > told*float64(s.bitrate) || change > 0 && bitrate == most) {
		s.bitrate = bitrate
		t.hooks.Bitrate(bitrate)
	}
}

// share decides what a stream may take, and who gets none of it: who is far below the others, or below the least.
func share(list []*sharer, least, most int, now time.Time) (bitrate int) {
	bitrate = most
	some := false
	for i, h := range list {
		var others []int
		for j, o := range list {
			if j != i {
				others = append(others, o.free)
			}
		}
		usual := 0
		if len(others) > 0 {
			slices.Sort(others)
			usual = others[len(others)/2]
		}
		free := float64(h.free)
		since(&h.low, free < tooLittle*float64(least) || free < farBelow*float64(usual), now)
		switch {
		case !h.paused && !h.low.IsZero() && now.Sub(h.low) >= tooLittleFor:
			if now.Sub(h.begun) >= forgiven {
				h.next = pausedLeast
			}
			h.paused, h.until = true, now.Add(h.next)
			h.next = min(2*h.next, pausedMost)
		case h.paused && now.After(h.until) && free >= enough*float64(least) && free >= nearAgain*float64(usual):
			h.paused, h.begun = false, now
		}
		if !h.paused {
			some = true
			bitrate = min(bitrate, h.free)
		}
	}
	if !some && len(list) > 0 {
		return least // whoever comes back begins there
	}
	return max(bitrate, least)
}

// headers is the part of what is sent that is around pictures.
const headers = 0.05

// forPictures is what the path leaves for pictures beside sound, in bit/s, without the lower bound.
func (w *wire) forPictures(now time.Time) int {
	_, free := w.estimate.target()
	if free >= w.estimate.max {
		return free // the bound is one of pictures
	}
	_, _, sound := w.sent[index(Audio)].read(now)
	return max(int(float64(free-sound)*(1-headers)), 0)
}

// pauseIf pauses or goes on, if that is a change.
func (o *outgoing) pauseIf(on bool) {
	if o.isPaused() != on {
		o.pause(on)
	}
}

func (o *outgoing) isPaused() bool {
	o.takes.Lock()
	defer o.takes.Unlock()
	return o.paused
}

// tellLoss tells the loss of sound.
func (t *localTrack) tellLoss(all []*outgoing, now time.Time) {
	s := &t.shared
	if t.hooks.Loss == nil || now.Sub(s.lossAt) < lossEvery {
		return
	}
	s.lossAt = now
	worst := 0.0
	for _, o := range all {
		worst = max(worst, o.wire.saidOf(Audio).lost, o.wire.estimate.loss())
	}
	if percent := min(int(math.Round(worst*100)), maxLoss); percent != s.loss {
		s.loss = percent
		t.hooks.Loss(percent)
	}
}
