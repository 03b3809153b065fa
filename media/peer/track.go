package peer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4/pkg/media"
)

// packetBytes is the largest RTP packet made of local media, in bytes, headers included; with SRTP, UDP, IPv6 and a
// relay's framing around it, it still fits the smallest usual path (1280).
const packetBytes = 1200

// Hooks are how a local track reaches its encoder. They are called from any goroutine and must return at once.
type Hooks struct {
	// Keyframe asks for a key frame: somebody begins to watch or has lost packets. May be nil.
	Keyframe func()
	// Watched tells how many send this track, when that becomes or leaves 0: an encoder need run only while it is not 0.
	// May be nil.
	Watched func(followers int)
	// Bitrate tells what an encoder of pictures may take, in bit/s: what the slowest of those who get them can, of whom
	// the slower get none for a while. It is told when it changes. May be nil.
	Bitrate func(bitrate int)
	// Loss tells how much of the sound is lost on its way to whom it is lost most, in percent. It is told when it changes. May
	// be nil.
	Loss func(percent int)
}

// localTrack packetizes samples once and hands the packets to all who send them.
type localTrack struct {
	feed       feed
	mu         sync.Mutex
	packetizer rtp.Packetizer
	remainder  float64 // the part of a clock tick that the last sample's duration left over
	hooks      Hooks
	shared     shared
}

func newLocalTrack(codec Codec, payloader rtp.Payloader, hooks Hooks) *localTrack {
	return &localTrack{
		feed: feed{codec: codec, keyframe: hooks.Keyframe, watched: hooks.Watched},
		// SSRC and payload type are each sender's own.
		hooks: hooks, shared: newShared(),
		packetizer: rtp.NewPacketizer(packetBytes, 0, rand.Uint32(), payloader, rtp.NewRandomSequencer(), codec.clockRate()),
	}
}

// WriteSample sends a sample, which is s.Duration later than the one before, to all who send this track. It does not wait
// for any of them: a sender that does not keep up loses packets. The data may be reused afterwards.
func (t *localTrack) WriteSample(s media.Sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ticks := s.Duration.Seconds()*float64(t.feed.codec.clockRate()) + t.remainder
	whole := uint64(ticks)
	t.remainder = ticks - float64(whole)
	t.packetizer.SkipSamples(uint32(whole)) // pion counts after a sample, but a camera does not know when its next picture comes
	if len(t.feed.list()) == 0 {
		return
	}
	t.adapt(time.Now())
	for _, p := range t.packetizer.Packetize(s.Data, 0) {
		t.feed.publish(p)
	}
}

// Codec of the samples.
func (t *localTrack) Codec() Codec { return t.feed.codec }

// VideoTrack is local video in one codec. A sample is one frame: for H264 an access unit in Annex B form.
type VideoTrack struct{ *localTrack }

// NewVideoTrack makes a track for H264 or VP8.
func NewVideoTrack(codec Codec, hooks Hooks) (*VideoTrack, error) {
	var payloader rtp.Payloader
	switch codec {
	case H264:
		payloader = &codecs.H264Payloader{}
	case VP8:
		// Picture ids let a receiver see a lost frame as such.
		payloader = &codecs.VP8Payloader{EnablePictureID: true}
	default:
		return nil, fmt.Errorf("a video track for codec %q: it can be %s or %s", codec, H264, VP8)
	}
	return &VideoTrack{newLocalTrack(codec, payloader, hooks)}, nil
}

// VideoTracks is local video as a Source: the same picture in one or two codecs. A connection takes H264 if the far end
// can, else VP8. Either may be nil.
type VideoTracks struct {
	H264, VP8 *VideoTrack
}

func (v *VideoTracks) kind() Kind { return Video }

func (v *VideoTracks) choose(can []Codec) *feed {
	switch {
	case v.H264 != nil && slices.Contains(can, H264):
		return &v.H264.feed
	case v.VP8 != nil && slices.Contains(can, VP8):
		return &v.VP8.feed
	}
	return nil
}

// AudioTrack is local sound as a Source. A sample is one Opus packet.
type AudioTrack struct{ *localTrack }

// NewAudioTrack makes a track for Opus.
func NewAudioTrack(hooks Hooks) *AudioTrack {
	return &AudioTrack{newLocalTrack(Opus, &codecs.OpusPayloader{}, hooks)}
}

func (a *AudioTrack) kind() Kind { return Audio }

func (a *AudioTrack) choose(can []Codec) *feed {
	if slices.Contains(can, Opus) {
		return &a.feed
	}
	return nil
}
