package peer

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// sprayer is video of a far end that sends what it likes.
type sprayer struct{ bound chan webrtc.TrackLocalContext }

func (s sprayer) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	s.bound <- c
	return c.CodecParameters()[0], nil
}
func (sprayer) Unbind(webrtc.TrackLocalContext) error { return nil }
func (sprayer) ID() string                            { return "video" }
func (sprayer) StreamID() string                      { return "herald" }
func (sprayer) RID() string                           { return "" }
func (sprayer) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeVideo }

// TestTooManyStreams: a far end in a call cannot fill the memory with streams that nobody asked for. Each is kept until the
// end.
func TestTooManyStreams(t *testing.T) {
	noLeak(t)
	f := newFactory(t, testConfig(t))
	victim := newEnd(t, f, Options{})
	pc := must(must(newFactory(t, testConfig(t)).api(&Peer{wire: newWire(1, 1)})).NewPeerConnection(webrtc.Configuration{}))
	t.Cleanup(func() { _ = pc.GracefulClose() })
	b, s := &browser{t: t, pc: pc}, sprayer{make(chan webrtc.TrackLocalContext, 1)}
	must(pc.AddTransceiverFromTrack(s))
	must(pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio))
	answer := must(victim.Answer(t.Context(), b.offer()))
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
	victim.awaitState(StateConnected)
	c := receive(t, s.bound, "the sender")
	send := func(from, to uint32) {
		for ssrc := from; ssrc < to; ssrc++ {
			h := rtp.Header{Version: 2, SSRC: ssrc, PayloadType: uint8(c.CodecParameters()[0].PayloadType)}
			if _, err := c.WriteStream().WriteRTP(&h, make([]byte, 100)); err != nil {
				return // closed by the far end
			}
		}
	}
	for limit := time.Now().Add(patience); pc.ConnectionState() != webrtc.PeerConnectionStateConnected; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the sender's end is not ready: what it sends is lost")
		}
	}
	send(1000, 1010)
	if s := victim.State(); s != StateConnected {
		t.Errorf("ten streams, and the state is %s", s)
	}
	send(1010, 2000)
	victim.awaitState(StateClosed)
	victim.Close()
	if n := len(f.peers); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}
