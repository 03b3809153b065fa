package peer

import (
	"fmt"
	"strings"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Kind is a kind of media: "audio" or "video".
type Kind string

// The kinds of media.
const (
	Audio Kind = "audio"
	Video Kind = "video"
)

func (k Kind) pion() webrtc.RTPCodecType { return webrtc.NewRTPCodecType(string(k)) }

// Codec is a codec that this package can carry.
type Codec string

// The codecs, by the names that SDP uses. H264 is constrained baseline, level 3.1, packetization mode 1.
const (
	H264 Codec = "H264"
	VP8  Codec = "VP8"
	Opus Codec = "opus"
)

// Kind of the codec.
func (c Codec) Kind() Kind {
	if c == Opus {
		return Audio
	}
	return Video
}

// clockRate of the codec's RTP timestamps, in Hz (RFC 6184, RFC 7741, RFC 7587).
func (c Codec) clockRate() uint32 {
	if c == Opus {
		return 48000
	}
	return 90000
}

func (c Codec) mimeType() string { return string(c.Kind()) + "/" + string(c) }

// codecOf gives the Codec of a MIME type of pion's, "" for one that is not ours.
func codecOf(mimeType string) Codec {
	for _, c := range []Codec{H264, VP8, Opus} {
		if strings.EqualFold(mimeType, c.mimeType()) {
			return c
		}
	}
	return ""
}

// Payload types as Chromium numbers them, so that its logs and ours read alike; an answer takes the offer's anyway.
const (
	payloadH264 = 108
	payloadVP8  = 96
	payloadOpus = 111
)

// Sizes of the packet histories for retransmission, in packets: at 1.5 Mb/s about two seconds.
const (
	nackHistory  = 512
	maxNacksEach = 8 // how often one packet is asked for; more only loads a link that is full
	nackEvery    = 50 * time.Millisecond
)

// codecTable is what we offer, in our order of liking.
func codecTable() []webrtc.RTPCodecParameters {
	video := []webrtc.RTCPFeedback{
		{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"},
	}
	return []webrtc.RTPCodecParameters{
		{PayloadType: payloadH264, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: H264.clockRate(), RTCPFeedback: video,
			SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		}},
		{PayloadType: payloadVP8, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: VP8.clockRate(), RTCPFeedback: video,
		}},
		{PayloadType: payloadOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: Opus.clockRate(), Channels: 2,
			SDPFmtpLine: "minptime=10;useinbandfec=1", RTCPFeedback: []webrtc.RTCPFeedback{{Type: "transport-cc"}},
		}},
	}
}

// engine makes the codecs of all connections.
func engine() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	for _, c := range codecTable() {
		kind := codecOf(c.MimeType).Kind()
		if err := m.RegisterCodec(c, kind.pion()); err != nil {
			return nil, fmt.Errorf("registering codec %s: %w", c.MimeType, err)
		}
	}
	for _, kind := range []Kind{Audio, Video} {
		for _, uri := range []string{sdp.SDESMidURI, sdp.TransportCCURI} {
			ext := webrtc.RTPHeaderExtensionCapability{URI: uri}
			if err := m.RegisterHeaderExtension(ext, kind.pion()); err != nil {
				return nil, fmt.Errorf("registering header extension %s: %w", ext.URI, err)
			}
		}
	}
	return m, nil
}

// interceptors are what handles the packets of one connection, from the network on.
func interceptors(w *wire, log pionLog) (*interceptor.Registry, error) {
	r := &interceptor.Registry{}
	add := func(f interceptor.Factory, err error) error {
		if err == nil {
			r.Add(f)
		}
		return err
	}
	r.Add(w) // the nearest to the network, so that it sees what is sent again, too
	for _, err := range []error{
		add(nack.NewResponderInterceptor(nack.ResponderSize(nackHistory), nack.WithResponderLoggerFactory(log))),
		add(nack.NewGeneratorInterceptor(nack.GeneratorSize(nackHistory), nack.GeneratorMaxNacksPerPacket(maxNacksEach),
			nack.GeneratorInterval(nackEvery), nack.WithGeneratorLoggerFactory(log))),
		add(twcc.NewSenderInterceptor(twcc.WithLoggerFactory(log))),
		add(report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(log))),
		add(report.NewSenderInterceptor(report.WithSenderLoggerFactory(log))),
	} {
		if err != nil {
			return nil, fmt.Errorf("making the interceptors: %w", err)
		}
	}
	return r, nil
}
