package peer

import (
	"testing"

	"github.com/pion/interceptor"
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
