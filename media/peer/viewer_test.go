package peer

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// browser is a viewer made with pion alone, as a page would make it.
type browser struct {
	t       testing.TB
	pc      *webrtc.PeerConnection
	packets map[webrtc.RTPCodecType]chan *rtp.Packet
	codecs  chan string
	ssrc    chan uint32 // of video
}

func newBrowser(t testing.TB, codecs ...Codec) *browser { return newBrowserOver(t, nil, codecs...) }

// newBrowserOver makes a browser that sends and receives over mux, if that is not nil.
func newBrowserOver(t testing.TB, mux ice.UDPMux, codecs ...Codec) *browser {
	t.Helper()
	m := &webrtc.MediaEngine{}
	for _, c := range codecTable() {
		for _, want := range codecs {
			if codecOf(c.MimeType) == want {
				c.PayloadType += 5 // a browser has numbers of its own
				if err := m.RegisterCodec(c, want.Kind().pion()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	s.LoggerFactory = pionLog{testConfig(t).Log}
	if mux != nil {
		s.SetICEUDPMux(mux)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	b := &browser{t: t, pc: pc, codecs: make(chan string, 4), ssrc: make(chan uint32, 4), packets: map[webrtc.RTPCodecType]chan *rtp.Packet{
		webrtc.RTPCodecTypeAudio: make(chan *rtp.Packet, 4096), webrtc.RTPCodecTypeVideo: make(chan *rtp.Packet, 4096),
	}}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		b.codecs <- track.Codec().MimeType
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			b.ssrc <- uint32(track.SSRC())
		}
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			select {
			case b.packets[track.Kind()] <- p:
			default:
			}
		}
	})
	for _, kind := range []Kind{Video, Audio} {
		_, err := pc.AddTransceiverFromKind(kind.pion(), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// offer gives the SDP with all candidates.
func (b *browser) offer() string {
	b.t.Helper()
	gathered := webrtc.GatheringCompletePromise(b.pc)
	if err := b.pc.SetLocalDescription(must(b.pc.CreateOffer(nil))); err != nil {
		b.t.Fatal(err)
	}
	<-gathered
	return b.pc.LocalDescription().SDP
}

func (b *browser) watch(f *Factory, sources Sources) *Viewer {
	b.t.Helper()
	answer, v, err := f.View(b.t.Context(), b.offer(), sources)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(v.Close)
	if !strings.Contains(answer, "a=candidate:") || !strings.Contains(answer, "a=end-of-candidates") {
		b.t.Errorf("the answer lacks candidates: %s", answer)
	}
	if err := b.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		b.t.Fatal(err)
	}
	return v
}

// awaitVideo waits for packets of video and checks that their numbers have no gap.
func (b *browser) awaitVideo(n int) {
	b.t.Helper()
	var last *rtp.Packet
	for range n {
		p := receive(b.t, b.packets[webrtc.RTPCodecTypeVideo], "a packet of video at the viewer")
		if last != nil && p.SequenceNumber != last.SequenceNumber+1 {
			b.t.Errorf("packet %d follows %d", p.SequenceNumber, last.SequenceNumber)
		}
		last = p
	}
}

func TestViewersOfLocalMedia(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f := newFactory(t, testConfig(t))
	first, second := newBrowser(t, H264, VP8, Opus), newBrowser(t, VP8, Opus)
	v := first.watch(f, Sources{Audio: cam.audio, Video: cam.video})
	w := second.watch(f, Sources{Audio: cam.audio, Video: cam.video})
	first.awaitVideo(20)
	second.awaitVideo(20)
	if c := v.peer.sends(Video); c != H264 {
		t.Errorf("the first viewer gets %s", c)
	}
	if c := w.peer.sends(Video); c != VP8 {
		t.Errorf("the second viewer gets %s", c)
	}
	receive(t, first.packets[webrtc.RTPCodecTypeAudio], "sound at the first viewer")
	receive(t, second.packets[webrtc.RTPCodecTypeAudio], "sound at the second viewer")

	for len(cam.wanted) > 0 {
		<-cam.wanted
	}
	pli := &rtcp.PictureLossIndication{MediaSSRC: receive(t, first.ssrc, "the viewer's track")}
	if err := first.pc.WriteRTCP([]rtcp.Packet{pli}); err != nil {
		t.Fatal(err)
	}
	receive(t, cam.wanted, "the camera's hook after a viewer's PLI")

	if err := first.pc.Close(); err != nil {
		t.Fatal(err)
	}
	receive(t, v.Done(), "the viewer that left to be gone")
	select {
	case <-w.Done():
		t.Error("the other viewer ended too")
	default:
	}
	second.awaitVideo(5)
	w.Close()
	receive(t, w.Done(), "Done after Close")
}

func TestViewersOfRemoteMedia(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	a := newEnd(t, newFactory(t, testConfig(t)), cam.options())
	f := newFactory(t, testConfig(t))
	b := newEnd(t, f, Options{})
	connect(t, a, b)
	receive(t, cam.wanted, "the wish for a key frame on connecting")
	tracks := b.awaitTracks(2)

	for _, name := range []string{"first", "second"} {
		viewer := newBrowser(t, H264, VP8, Opus)
		viewer.watch(f, Sources{Audio: tracks[Audio], Video: tracks[Video]})
		viewer.awaitVideo(30)
		receive(t, viewer.packets[webrtc.RTPCodecTypeAudio], "sound at the "+name+" viewer")
		receive(t, cam.wanted, "the wish for the "+name+" viewer")
		if p := receive(t, viewer.packets[webrtc.RTPCodecTypeVideo], "a packet"); p.PayloadType != payloadH264+5 {
			t.Errorf("payload type %d, want the viewer's own", p.PayloadType)
		}
	}

	// H264 comes, and the viewer knows VP8 only: nothing is transcoded.
	_, _, err := f.View(t.Context(), newBrowser(t, VP8, Opus).offer(), Sources{Video: tracks[Video]})
	var no *NoCodecError
	if !errors.As(err, &no) || no.Kind != Video || len(no.Offered) != 1 {
		t.Errorf("a viewer without H264: %v", err)
	}
}

// cable is a browser's way to the network.
type cable struct {
	net.PacketConn
	cut atomic.Bool
}

func (c *cable) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.cut.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// TestViewersThatVanish: who never comes is given up, and so is who was there and says nothing any more, not even goodbye.
func TestViewersThatVanish(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f := newFactory(t, testConfig(t))
	line := &cable{PacketConn: must(net.ListenPacket("udp4", "127.0.0.1:0"))}
	mux := webrtc.NewICEUDPMux(nil, line)
	defer mux.Close()
	there := newBrowserOver(t, mux, H264, Opus)
	vanishing := there.watch(f, Sources{Video: cam.video})
	there.awaitVideo(5)
	line.cut.Store(true)
	b := newBrowser(t, H264, Opus)
	offer := b.offer()
	_, v, err := f.View(t.Context(), offer, Sources{Video: cam.video})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	receive(t, v.Done(), "the viewer to be given up")
	if took := time.Since(begun); took < viewerConnects/2 {
		t.Errorf("given up after %v", took)
	}
	receive(t, vanishing.Done(), "the viewer that vanished to be given up")
	for _, kind := range []*VideoTrack{cam.video.H264, cam.video.VP8} {
		if n := len(kind.feed.list()); n != 0 {
			t.Errorf("%d still follow the %s picture", n, kind.Codec())
		}
	}

	if _, _, err := f.View(t.Context(), strings.ReplaceAll(offer, "recvonly", "sendrecv"), Sources{Video: cam.video}); !errors.Is(err, ErrBadSDP) {
		t.Errorf("a viewer that would send: %v", err)
	}
	if _, _, err := f.View(t.Context(), offer, Sources{}); !errors.Is(err, ErrState) {
		t.Errorf("nothing to show: %v", err)
	}
	if _, _, err := f.View(t.Context(), testdata(t, "chromium-whep-offer.sdp"), Sources{Video: cam.video, Audio: cam.audio}); err != nil {
		t.Errorf("Chromium's offer: %v", err)
	}
}
