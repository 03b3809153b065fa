package video

import (
	"maps"
	"slices"
	"time"
)

// watch begins to use a camera for this channel: what it has encoded is taken where it
// is in the channel's codec.
func (ch *channel) watch(camera *Camera) *Slot {
	if ch.codec == H264 {
		ch.wish(camera)
		return camera.UseUnits()
	}
	return camera.Use()
}

// wish tells a camera what its pictures may take, also while the board encodes them: then
// it may be tried again.
func (ch *channel) wish(camera *Camera) {
	if ch.codec != H264 {
		return
	}
	ch.sender.mu.Lock()
	bitrate := ch.bitrate
	ch.sender.mu.Unlock()
	camera.SetBitrate(bitrate)
}

// pass hands out what the camera has encoded, as it is.
func (ch *channel) pass(camera *Camera, f *Frame) {
	s := ch.sender
	s.mu.Lock()
	now := time.Now()
	if f.Unit.Key {
		ch.wantKey, ch.lastKey = false, now
	} else if ch.wantKey && now.Sub(ch.lastKey) >= keyframeEvery {
		// It stays wanted until one comes: a camera that cannot be asked gives one by itself.
		camera.Keyframe()
		ch.lastKey = now
	}
	to, bitrate := slices.Collect(maps.Values(ch.followers)), ch.bitrate
	s.mu.Unlock()
	format := camera.granted()
	ch.passed(f, format, bitrate)
	since := time.Duration(float64(time.Second) / max(1, format.Rate))
	if !ch.last.IsZero() {
		since = max(f.At.Sub(ch.last), time.Millisecond)
	}
	ch.last = f.At
	for _, follower := range to {
		follower(AccessUnit{Data: f.Unit.Data, At: f.At, Since: since, Key: f.Unit.Key})
	}
}

// passed counts what was passed on.
func (ch *channel) passed(f *Frame, format Format, bitrate int) {
	st := &ch.count
	st.Width, st.Height, st.Rate, st.Bitrate = format.Width, format.Height, format.Rate, bitrate
	st.Captured++
	st.Encoded++
	if f.Unit.Key {
		st.Keys++
	}
	now := *st
	ch.stats.Store(&now)
}
