package peer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func TestMediaFlowsBothWays(t *testing.T) {
	noLeak(t)
	camA, camB := newCamera(t), newCamera(t)
	a := newEnd(t, newFactory(t, testConfig(t)), camA.options())
	b := newEnd(t, newFactory(t, testConfig(t)), camB.options())
	connect(t, a, b)

	for _, e := range []*end{a, b} {
		tracks := e.awaitTracks(2)
		if got := tracks[Video].Codec(); got != H264 {
			t.Errorf("video is %s, want H264", got)
		}
		var nals [32]int
		for _, p := range awaitPackets(t, tracks[Video], 20) {
			nals[p.Payload[0]&31]++
		}
		if nals[24] == 0 || nals[28] == 0 { // STAP-A of the parameter sets, FU-A of the slice
			t.Errorf("NAL unit types that came: %v", nals)
		}
		for _, p := range awaitPackets(t, tracks[Audio], 5) {
			if string(p.Payload) != string(frameOpus) {
				t.Errorf("a packet of sound came as %x", p.Payload)
			}
		}
	}

	// Once a keepalive was answered there is a round trip.
	deadline := time.Now().Add(patience)
	for a.Stats().RoundTrip == 0 && time.Now().Before(deadline) {
		awaitPackets(t, a.remoteTrack(Audio), 1)
	}
	s := a.Stats()
	if s.Path == nil || s.Path.LocalType != "host" || s.RoundTrip <= 0 {
		t.Errorf("stats: %+v, path %+v", s, s.Path)
	}
	if v := s.Received[Audio]; v.Codec != Opus || v.Packets == 0 || v.Lost > v.Packets/2 {
		t.Errorf("received sound: %+v", v)
	}
	a.Close()
	b.awaitState(StateClosed) // the far end says that it leaves
	if s := a.State(); s != StateClosed {
		t.Errorf("after Close the state is %s", s)
	}
}

// sends gives the codec that goes out.
func (p *Peer) sends(kind Kind) Codec {
	p.mu.Lock()
	o := p.outgoing[kind]
	p.mu.Unlock()
	if f := o.current(); f != nil {
		return f.codec
	}
	return ""
}

func (p *Peer) remoteTrack(kind Kind) *RemoteTrack {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote[kind]
}

// TestStatsAtAnyTime asks all the while that a connection comes about: the race detector watches.
func TestStatsAtAnyTime(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	a := newEnd(t, newFactory(t, testConfig(t)), cam.options())
	b := newEnd(t, newFactory(t, testConfig(t)), cam.options())
	asked, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-stop:
				return
			default:
				a.Stats()
			}
		}
	}()
	connect(t, a, b)
	close(stop)
	<-asked
	if a.Stats().Path == nil {
		t.Error("no path")
	}
}

func TestCandidatesInAnyOrder(t *testing.T) {
	for _, test := range []struct {
		name                string
		early, bare, lately bool
	}{
		{name: "before descriptions", early: true},
		{name: "before descriptions, without ufrag", early: true, bare: true},
		{name: "after the answer", lately: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeak(t)
			cam := newCamera(t)
			a := newEnd(t, newFactory(t, testConfig(t)), cam.options())
			b := newEnd(t, newFactory(t, testConfig(t)), cam.options())
			hand := func(from, to *end) {
				t.Helper()
				for n := 0; ; n++ {
					line := receive(t, from.candidates, "a candidate")
					if line == "" {
						if n == 0 {
							t.Fatal("no candidates")
						}
						return
					}
					if !strings.Contains(line, " ufrag ") {
						t.Fatalf("candidate without ufrag: %s", line)
					}
					if test.bare {
						line, _, _ = strings.Cut(line, " ufrag ")
					}
					if err := to.AddCandidate(line); err != nil {
						t.Fatal(err)
					}
				}
			}
			offer := must(a.Offer(t.Context()))
			if i := strings.Index(offer, "a=candidate"); i >= 0 {
				t.Fatalf("the offer already has candidates: %s", offer[i:])
			}
			if test.early {
				hand(a, b)
			}
			answer := must(b.Answer(t.Context(), offer))
			if test.early {
				hand(b, a)
			}
			if err := a.Accept(answer); err != nil {
				t.Fatal(err)
			}
			if test.lately {
				hand(a, b)
				hand(b, a)
			}
			a.awaitState(StateConnected)
			b.awaitState(StateConnected)
		})
	}
}

func TestKeyframeRequests(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	a := newEnd(t, newFactory(t, testConfig(t)), cam.options())
	b := newEnd(t, newFactory(t, testConfig(t)), Options{})
	connect(t, a, b)
	receive(t, cam.wanted, "the wish for a key frame on connecting")
	if n := receive(t, cam.watched, "the first follower"); n != 1 {
		t.Errorf("%d followers", n)
	}
	track := b.awaitTracks(2)[Video]

	// A burst of wishes goes out at once and once more at the end of the interval.
	begun := time.Now()
	for range 50 {
		track.RequestKeyframe()
	}
	receive(t, cam.wanted, "the wish by PLI")
	receive(t, cam.wanted, "the wish by the PLI held back")
	if took := time.Since(begun); took < keyframeInterval-50*time.Millisecond {
		t.Errorf("two PLIs within %v", took)
	}
	select {
	case <-cam.wanted:
		t.Error("a third wish")
	case <-time.After(keyframeInterval):
	}

	fir := &rtcp.FullIntraRequest{MediaSSRC: uint32(track.track.SSRC()), FIR: []rtcp.FIREntry{{SSRC: uint32(track.track.SSRC())}}}
	if err := b.pc.WriteRTCP([]rtcp.Packet{fir}); err != nil {
		t.Fatal(err)
	}
	receive(t, cam.wanted, "the wish by FIR")

	a.Close()
	if n := receive(t, cam.watched, "the last follower to go"); n != 0 {
		t.Errorf("%d followers after Close", n)
	}
}

// without takes the lines of one codec out of an SDP.
func without(sdp string, codec Codec) string {
	var payloads []string
	for line := range strings.Lines(sdp) {
		if rest, ok := strings.CutPrefix(line, "a=rtpmap:"); ok {
			if payload, name, _ := strings.Cut(rest, " "); strings.HasPrefix(name, string(codec)+"/") {
				payloads = append(payloads, payload)
			}
		}
	}
	var out strings.Builder
	for line := range strings.Lines(sdp) {
		drop := false
		for _, p := range payloads {
			if strings.HasPrefix(line, "m=") {
				fields := strings.Fields(line)
				kept := fields[:3:3]
				for _, f := range fields[3:] {
					if f != p {
						kept = append(kept, f)
					}
				}
				line = strings.Join(kept, " ") + "\r\n"
			}
			for _, key := range []string{"a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"} {
				drop = drop || strings.HasPrefix(line, key+p+" ")
			}
		}
		if !drop {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestVP8WhenTheFarEndLacksH264(t *testing.T) {
	noLeak(t)
	camA, camB := newCamera(t), newCamera(t)
	a := newEnd(t, newFactory(t, testConfig(t)), camA.options())
	b := newEnd(t, newFactory(t, testConfig(t)), camB.options())
	trickle(t, a, b)
	trickle(t, b, a)
	answer := must(b.Answer(t.Context(), without(must(a.Offer(t.Context())), H264)))
	if strings.Contains(answer, "H264") {
		t.Fatalf("the answer has H264: %s", answer)
	}
	if err := a.Accept(answer); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*end{a, b} {
		if c := e.awaitTracks(2)[Video].Codec(); c != VP8 {
			t.Errorf("%s came, want VP8", c)
		}
		if c := e.sends(Video); c != VP8 {
			t.Errorf("%s is sent, want VP8", c)
		}
	}
}

func TestNoCodec(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f, g := newFactory(t, testConfig(t)), newFactory(t, testConfig(t))
	a := newEnd(t, f, cam.options())
	offer := must(a.Offer(t.Context()))

	foreign := strings.NewReplacer("H264/90000", "H265/90000", "VP8/90000", "AV1/90000").Replace(offer)
	_, err := newEnd(t, g, cam.options()).Answer(t.Context(), foreign)
	var no *NoCodecError
	if !errors.As(err, &no) || !errors.Is(err, ErrNoCodec) || no.Kind != Video {
		t.Fatalf("an offer of H265 and AV1: %v", err)
	}
	if got := strings.Join(no.Offered, " "); got != "H265/90000 AV1/90000" {
		t.Errorf("offered: %s", got)
	}
	if _, err := newEnd(t, g, Options{NoVideo: true, Audio: cam.audio}).Answer(t.Context(), foreign); err != nil {
		t.Errorf("without wanting video: %v", err)
	}
	// We send H264 only, and the far end takes VP8 only.
	onlyH264 := Options{Video: &VideoTracks{H264: cam.video.H264}}
	if _, err := newEnd(t, g, onlyH264).Answer(t.Context(), without(offer, H264)); !errors.Is(err, ErrNoCodec) {
		t.Errorf("H264 to an end with VP8: %v", err)
	}
	mode0 := strings.ReplaceAll(without(offer, VP8), "packetization-mode=1", "packetization-mode=0")
	if _, err := newEnd(t, g, cam.options()).Answer(t.Context(), mode0); !errors.Is(err, ErrNoCodec) {
		t.Errorf("H264 in packetization mode 0: %v", err)
	}
	for old, odd := range map[string]string{"opus/48000/2": "opus/8000/2", "VP8/90000": "VP8/8000"} {
		_, err := newEnd(t, g, cam.options()).Answer(t.Context(), strings.ReplaceAll(without(offer, H264), old, odd))
		if !errors.As(err, &no) || len(no.Offered) != 1 || no.Offered[0] != odd {
			t.Errorf("%s: %v", odd, err)
		}
	}
	answer := must(newEnd(t, g, cam.options()).Answer(t.Context(), offer))
	foreign = strings.NewReplacer("opus/48000", "G722/8000").Replace(answer)
	if err := a.Accept(foreign); !errors.Is(err, ErrNoCodec) {
		t.Errorf("an answer with G722: %v", err)
	}
}

// TestFingerprintDecides: whoever is not the owner of the certificate that the signaling named gets no connection.
func TestFingerprintDecides(t *testing.T) {
	noLeak(t)
	a := newEnd(t, newFactory(t, testConfig(t)), Options{})
	b := newEnd(t, newFactory(t, testConfig(t)), Options{})
	trickle(t, a, b)
	trickle(t, b, a)
	answer := must(b.Answer(t.Context(), must(a.Offer(t.Context()))))
	at := strings.Index(answer, "sha-256 ") + len("sha-256 ")
	forged := byte('0')
	if answer[at] == forged {
		forged = '1'
	}
	if err := a.Accept(strings.ReplaceAll(answer, answer[at:at+5], string(forged)+answer[at+1:at+5])); err != nil {
		t.Fatal(err)
	}
	for {
		switch s := receive(t, a.states, "the end of the connection"); s {
		case StateConnected:
			t.Fatal("connected to an end with another certificate")
		case StateFailed, StateClosed: // closed where the far end's farewell overtakes the verdict
			return
		}
	}
}

func TestOutOfTurn(t *testing.T) {
	noLeak(t)
	f := newFactory(t, testConfig(t))
	a, b := newEnd(t, f, Options{}), newEnd(t, newFactory(t, testConfig(t)), Options{})
	if err := a.Accept("v=0"); !errors.Is(err, ErrState) {
		t.Errorf("Accept without an offer: %v", err)
	}
	if _, err := a.RestartOffer(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("RestartOffer before all: %v", err)
	}
	offer := must(a.Offer(t.Context()))
	if _, err := a.Offer(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("a second Offer: %v", err)
	}
	if _, err := a.Answer(t.Context(), must(b.Offer(t.Context()))); !errors.Is(err, ErrState) {
		t.Errorf("Answer while an offer is open: %v", err)
	}
	a.Close()
	if _, err := a.Answer(t.Context(), offer); !errors.Is(err, ErrClosed) {
		t.Errorf("Answer after Close: %v", err)
	}
	if err := a.AddCandidate("candidate:1 1 udp 1 127.0.0.1 9 typ host"); !errors.Is(err, ErrClosed) {
		t.Errorf("AddCandidate after Close: %v", err)
	}
	f.Close()
	if _, err := f.NewPeer(Options{}); !errors.Is(err, ErrClosed) {
		t.Errorf("NewPeer after Close: %v", err)
	}
}

func TestCandidateBounds(t *testing.T) {
	f := newFactory(t, testConfig(t))
	a := newEnd(t, f, Options{})
	for _, bad := range []string{
		"candidate:", "nonsense", "candidate:1 1 udp x 127.0.0.1 9 typ host", "candidate:1 1 udp 1 127.0.0.1 99999 typ host",
		"candidate:1 1 udp 1 no.such.name 9 typ host", "candidate:1 1 udp 1 127.0.0.1 9 typ host " + strings.Repeat("x", 600),
	} {
		if err := a.AddCandidate(bad); !errors.Is(err, ErrBadCandidate) {
			t.Errorf("AddCandidate(%.60q): %v", bad, err)
		}
	}
	for _, fine := range []string{
		"", "a=candidate:1 1 udp 1 127.0.0.1 9 typ host", "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
		"candidate:1 1 udp 1 0a5f1ab8-ae4f-45b7-8f3b-2d8a2f3a0001.local 9 typ host generation 0 ufrag abcd network-cost 999",
	} {
		if err := a.AddCandidate(fine); err != nil {
			t.Errorf("AddCandidate(%q): %v", fine, err)
		}
	}
	var err error
	for n := range maxCandidates + 1 {
		if err != nil {
			t.Fatalf("candidate %d: %v", n, err)
		}
		if err = a.AddCandidate("candidate:1 1 udp 1 127.0.0.1 9 typ host"); n < maxCandidates-3 && err != nil {
			t.Fatalf("candidate %d: %v", n, err)
		}
		if err != nil {
			break
		}
	}
	if !errors.Is(err, ErrBadCandidate) {
		t.Errorf("beyond %d candidates: %v", maxCandidates, err)
	}
}

// TestSlowSenderHoldsNobody: a sender that is stuck loses packets, and the track is written on.
func TestSlowSenderHoldsNobody(t *testing.T) {
	cam := newCamera(t)
	stuck := newOutgoing(cam.video, "s", newWire(100_000, 1_000_000))
	stuck.feed = &cam.video.H264.feed
	cam.video.H264.feed.Follow(stuck.take) // and nobody takes from its queue
	got := make(chan struct{}, 4*outgoingQueue)
	cam.video.H264.feed.Follow(func(*rtp.Packet) {
		select {
		case got <- struct{}{}:
		default:
		}
	})
	for range 2 * outgoingQueue {
		receive(t, got, "a packet beside the stuck sender")
	}
	if stuck.dropped.Load() == 0 {
		t.Error("the stuck sender dropped nothing")
	}
}
