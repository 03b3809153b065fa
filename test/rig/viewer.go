package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Viewer looks at a picture of a board's as a page does (WHEP), without decoding it.
type Viewer struct {
	Codec string // as webrtc.MimeTypeH264

	pc   *webrtc.PeerConnection
	ssrc atomic.Uint32
	http *http.Client
	url  string
}

// viewWait is how long a first picture may take.
const viewWait = 60 * time.Second

// View begins to look, through the board's socket, at a path such as /v1/whep/self. The
// packets come by the network interface that is named, to packet, from one goroutine. It
// returns when the first has come.
func View(ctx context.Context, socket, path, network string, packet func(*rtp.Packet)) (v *Viewer, err error) {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == network })
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	v = &Viewer{http: &http.Client{Timeout: viewWait, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
	if v.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.Close()
			v = nil
		}
	}()
	came := make(chan string, 1)
	v.pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		v.ssrc.Store(uint32(t.SSRC()))
		came <- t.Codec().MimeType
		for {
			p, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			packet(p)
		}
	})
	if _, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		return v, err
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		return v, err
	}
	if err := v.pc.SetLocalDescription(offer); err != nil {
		return v, err
	}
	<-gathered
	answer, err := v.post(ctx, path, v.pc.LocalDescription().SDP)
	if err != nil {
		return v, err
	}
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return v, err
	}
	select {
	case v.Codec = <-came:
		return v, nil
	case <-time.After(viewWait):
		return v, errors.New("no picture has come to the viewer")
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

func (v *Viewer) post(ctx context.Context, path, offer string) (string, error) {
	const base = "http://herald"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader([]byte(offer)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/sdp")
	res, err := v.http.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusCreated {
		err = fmt.Errorf("a view of the board: %s: %s", res.Status, answer)
	}
	v.url = base + res.Header.Get("Location")
	return string(answer), err
}

// RequestKeyframe asks the board for a key frame (PLI).
func (v *Viewer) RequestKeyframe() error {
	return v.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: v.ssrc.Load()}})
}

// Close ends the view at the board and here.
func (v *Viewer) Close() {
	if v.url != "" {
		if r, err := http.NewRequest(http.MethodDelete, v.url, nil); err == nil {
			if res, err := v.http.Do(r); err == nil {
				_ = res.Body.Close()
			}
		}
	}
	v.http.CloseIdleConnections()
	_ = v.pc.GracefulClose()
}
