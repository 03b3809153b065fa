package peer

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
)

// TestExtensionOfAnyNumber: the far end chooses the number of the header extension that packets are numbered in. One byte has
// room for 1 to 14 (RFC 8285 §4.2); with another one the packet would say something else.
func TestExtensionOfAnyNumber(t *testing.T) {
	for id, want := range map[int]bool{-1: false, 0: false, 1: true, 14: true, 15: false, 20: false, 255: false, 257: false} {
		w := newWire(100_000, 1_000_000)
		var sent []byte
		write := w.BindLocalStream(&interceptor.StreamInfo{
			SSRC: 5, MimeType: "video/H264", RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{URI: sdp.TransportCCURI, ID: id}},
		}, interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, _ interceptor.Attributes) (n int, err error) {
			sent, err = (&rtp.Packet{Header: *h, Payload: payload}).Marshal()
			return len(sent), err
		}))
		for range 2 { // the second one is a packet that is sent again
			h := rtp.Header{Version: 2, SSRC: 5, SequenceNumber: 9}
			if _, err := write.Write(&h, []byte{0x65}, nil); err != nil {
				t.Errorf("number %d: %v", id, err)
			}
		}
		var got rtp.Packet
		if err := got.Unmarshal(sent); err != nil {
			t.Fatal(err)
		}
		if ids := got.GetExtensionIDs(); (len(ids) == 1) != want || want && int(ids[0]) != id {
			t.Errorf("number %d: the packet has extensions %v", id, ids)
		}
	}
}

// TestAskedForEverything: a far end that says that all is lost gets a part of what the path carries sent again, and no more.
func TestAskedForEverything(t *testing.T) {
	w := newWire(100_000, 1_000_000)
	r := resending{wire: w}
	now := time.Now()
	sent := 0
	for i := range 10_000 { // in 10 s
		now = now.Add(time.Millisecond)
		if i%10 == 0 && !r.may(uint16(i/10), 1000, now) {
			t.Fatal("one is not sent for the first time")
		}
		for range 10 {
			if r.may(uint16(i/10), 1000, now) {
				sent += 8000
			}
		}
	}
	target, _ := w.estimate.target()
	if most := int(11 * resendPart * float64(target)); sent < most/2 || sent > most+8000 {
		t.Errorf("%d bits were sent again, of %d at most", sent, most)
	}
	if w.resent.Load() == 0 || w.unsent.Load() == 0 {
		t.Error("it is not counted")
	}
}

// TestReportsOfTheFarEnd: what it says of packets that were never sent, or for the second time, is not counted.
func TestReportsOfTheFarEnd(t *testing.T) {
	e := newEstimator(100_000, 1_000_000)
	now := time.Now()
	for seq := range uint16(50) {
		e.note(seq, 1000, now)
	}
	report := func(base uint16, came bool) {
		symbol := uint16(rtcp.TypeTCCPacketNotReceived)
		if came {
			symbol = rtcp.TypeTCCPacketReceivedSmallDelta
		}
		fb := &rtcp.TransportLayerCC{
			BaseSequenceNumber: base, PacketStatusCount: 100, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: symbol, RunLength: 100}},
		}
		for range 100 {
			fb.RecvDeltas = append(fb.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: 250})
		}
		now = now.Add(10 * time.Millisecond)
		e.report(fb, now)
	}
	counted := func(what string, want outcome) {
		t.Helper()
		var all outcome
		for _, o := range e.outcome {
			all.arrived += o.arrived
			all.lost += o.lost
		}
		if all != want {
			t.Errorf("%s: %+v, not %+v", what, all, want)
		}
	}
	report(1000, true)
	report(50, false)
	report(historyPackets, true) // with the places of others
	report(1<<16-historyPackets, true)
	counted("none of them was sent", outcome{})
	report(0, false)
	report(0, false)
	counted("lost, said twice", outcome{lost: 50})
	report(0, true)
	report(0, true)
	report(0, false)
	counted("late, said twice", outcome{arrived: 50})
	r := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		w := wire{estimate: e}
		now = now.Add(time.Millisecond)
		w.heard([]rtcp.Packet{lie(r)}, now)
	}
	if target, free := e.target(); target < 100_000 || target > 1_000_000 || free < floorBitrate {
		t.Errorf("a target of %d, %d", target, free)
	}
}
