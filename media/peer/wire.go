package peer

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
)

// wire sees each packet of a connection, right before it is encrypted and right after: it numbers what goes out over all
// streams, and counts. It is an interceptor of pion's, for one connection.
type wire struct {
	interceptor.NoOp
	estimate *estimator
	next     atomic.Uint32 // number of the next packet

	sent, received [2]traffic // by kind
	nacksSent      atomic.Uint64
	nacksReceived  atomic.Uint64
	plisSent       atomic.Uint64
	plisReceived   atomic.Uint64
	resent, unsent atomic.Uint64 // packets asked for again that were sent, and not

	mu        sync.Mutex
	said      [2]said         // what the far end says of what we send
	kinds     map[uint32]Kind // of what we send, by SSRC
	roundTrip time.Duration   // as the far end's reports tell
}

func newWire(least, most int) *wire {
	return &wire{estimate: newEstimator(least, most), kinds: make(map[uint32]Kind)}
}

// said is of a receiver report (RFC 3550 §6.4.1).
type said struct {
	lost   float64 // part of the packets since the report before
	jitter time.Duration
}

func index(k Kind) int {
	if k == Video {
		return 1
	}
	return 0
}

// NewInterceptor implements interceptor.Factory.
func (w *wire) NewInterceptor(string) (interceptor.Interceptor, error) { return w, nil }

func kindOf(info *interceptor.StreamInfo) Kind {
	if strings.HasPrefix(strings.ToLower(info.MimeType), "audio/") {
		return Audio
	}
	return Video
}

// maxExtension is the highest number of a header extension that one byte has room for (RFC 8285 §4.2). The far end chooses it.
const maxExtension = 14

// BindLocalStream implements interceptor.Interceptor.
func (w *wire) BindLocalStream(info *interceptor.StreamInfo, to interceptor.RTPWriter) interceptor.RTPWriter {
	kind := kindOf(info)
	w.mu.Lock()
	w.kinds[info.SSRC] = kind
	w.mu.Unlock()
	var id uint8
	for _, e := range info.RTPHeaderExtensions {
		if e.URI == sdp.TransportCCURI && e.ID >= 1 && e.ID <= maxExtension {
			id = uint8(e.ID)
		}
	}
	again := resending{wire: w}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		now := time.Now()
		if kind == Video && h.SSRC == info.SSRC && !again.may(h.SequenceNumber, len(payload), now) {
			return len(payload), nil
		}
		if id != 0 {
			seq := uint16(w.next.Add(1) - 1)
			ext, err := (&rtp.TransportCCExtension{TransportSequence: seq}).Marshal()
			if err == nil {
				err = h.SetExtension(id, ext)
			}
			if err != nil {
				return 0, err
			}
			w.estimate.note(seq, h.MarshalSize()+len(payload), now)
		}
		n, err := to.Write(h, payload, a)
		if err == nil {
			w.sent[index(kind)].add(n+packetOverhead, now)
		}
		return n, err
	})
}

// resendPart is the part of what a path carries that packets may take that are sent again: those that got lost because it
// is full do not get through by filling it more.
const resendPart = 0.25

// resendSaved is how long what is not used of that is kept.
const resendSaved = time.Second

// resending bounds what is sent again of a stream.
type resending struct {
	wire *wire

	mu      sync.Mutex
	begun   bool
	highest uint16
	saved   float64 // bits
	at      time.Time
}

// may tells whether a packet may be sent: for the first time always.
func (r *resending) may(seq uint16, size int, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun || int16(seq-r.highest) > 0 {
		r.begun, r.highest = true, seq
		return true
	}
	target, _ := r.wire.estimate.target()
	rate := resendPart * float64(target)
	r.saved = min(r.saved+rate*min(now.Sub(r.at), resendSaved).Seconds(), rate*resendSaved.Seconds())
	r.at = now
	if r.saved <= 0 {
		r.wire.unsent.Add(1)
		return false
	}
	r.saved -= float64(size * 8)
	r.wire.resent.Add(1)
	return true
}

// BindRemoteStream implements interceptor.Interceptor.
func (w *wire) BindRemoteStream(info *interceptor.StreamInfo, from interceptor.RTPReader) interceptor.RTPReader {
	kind := kindOf(info)
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := from.Read(b, a)
		if err == nil {
			w.received[index(kind)].add(n+packetOverhead, time.Now())
		}
		return n, a, err
	})
}

// BindRTCPReader implements interceptor.Interceptor.
func (w *wire) BindRTCPReader(from interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := from.Read(b, a)
		if err != nil {
			return n, a, err
		}
		if a == nil {
			a = make(interceptor.Attributes)
		}
		if packets, err := a.GetRTCPPackets(b[:n]); err == nil {
			w.heard(packets, time.Now())
		}
		return n, a, nil
	})
}

// heard takes what the far end says. It may say anything.
func (w *wire) heard(packets []rtcp.Packet, now time.Time) {
	for _, packet := range packets {
		switch p := packet.(type) {
		case *rtcp.TransportLayerCC:
			w.estimate.report(p, now)
		case *rtcp.TransportLayerNack:
			w.nacksReceived.Add(1)
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			w.plisReceived.Add(1)
		case *rtcp.ReceiverReport:
			w.reports(p.Reports, now)
		case *rtcp.SenderReport:
			w.reports(p.Reports, now)
		}
	}
}

// tripMost is the longest round trip that is believed, in units of 1/65536 s: 10 s. Beyond it our clock was set meanwhile, or
// the far end says anything.
const tripMost = 10 << 16

func (w *wire) reports(list []rtcp.ReceptionReport, now time.Time) {
	for _, r := range list {
		w.mu.Lock()
		kind, ours := w.kinds[r.SSRC]
		if ours {
			lost := float64(r.FractionLost) / 256
			rate := 90000
			if kind == Audio {
				rate = 48000
			}
			w.said[index(kind)] = said{lost: lost, jitter: time.Duration(r.Jitter) * time.Second / time.Duration(rate)}
			if r.LastSenderReport != 0 {
				// RFC 3550 §6.4.1: in units of 1/65536 s, of a clock that began in 1900.
				took := compactNTP(now) - r.LastSenderReport - r.Delay
				if took < tripMost {
					w.roundTrip = time.Duration(took) * time.Second >> 16
				}
			}
		}
		w.mu.Unlock()
		if ours && kind == Video {
			w.estimate.reported(float64(r.FractionLost)/256, now)
		}
	}
}

// compactNTP is the middle 32 bits of an NTP time.
func compactNTP(t time.Time) uint32 {
	const from1900 = 2208988800
	n := t.UnixNano()
	seconds, rest := n/1e9+from1900, n%1e9
	return uint32(seconds)<<16 | uint32(rest<<16/1e9)
}

// BindRTCPWriter implements interceptor.Interceptor.
func (w *wire) BindRTCPWriter(to interceptor.RTCPWriter) interceptor.RTCPWriter {
	return interceptor.RTCPWriterFunc(func(packets []rtcp.Packet, a interceptor.Attributes) (int, error) {
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.TransportLayerNack:
				w.nacksSent.Add(1)
			case *rtcp.PictureLossIndication:
				w.plisSent.Add(1)
			}
		}
		return to.Write(packets, a)
	})
}

func (w *wire) saidOf(kind Kind) said {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said[index(kind)]
}

func (w *wire) measuredRoundTrip() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roundTrip
}
