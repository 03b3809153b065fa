package peer

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4/pkg/media"
)

// TestStormOfLinks: links come and go, are slow and fast, are looked at and closed, while the stream that they share is sent.
func TestStormOfLinks(t *testing.T) {
	noLeak(t)
	keys := make(chan struct{}, 1)
	track, err := NewVideoTrack(H264, Hooks{
		Keyframe: func() {
			select {
			case keys <- struct{}{}:
			default:
			}
		}, Bitrate: func(bitrate int) {
			if bitrate < 100_000 || bitrate > 10_000_000 {
				t.Errorf("%d bit/s", bitrate)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var writing, linking sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			data := append([]byte{0, 0, 0, 1, 0x41, 0x9a}, make([]byte, 3000)...)
			select {
			case <-keys:
				data[4] = 0x65
			default:
			}
			track.WriteSample(media.Sample{Data: data, Duration: time.Millisecond})
			track.mu.Lock()
			track.shared.looked = time.Time{} // it is looked at each time
			track.mu.Unlock()
		}
	})
	for i := range uint64(8) {
		linking.Go(func() {
			r := rand.New(rand.NewPCG(i, 1))
			for range 30 {
				o := newOutgoing(&VideoTracks{H264: track}, "s", newWire(100_000, 10_000_000))
				var running sync.WaitGroup
				o.run = func(f func()) bool { running.Go(f); return true }
				o.feed = &track.feed
				to := &numbers{last: map[uint16]uint32{}, t: t}
				o.run(func() { o.send(to, 7, 96) })
				o.begin()
				for range 20 {
					switch r.IntN(7) {
					case 0:
						o.pause(true)
					case 1:
						o.pause(false)
					case 2:
						o.askKeyframe()
					case 3:
						o.wire.estimate.moved(time.Now())
					case 4:
						o.wire.heard([]rtcp.Packet{lie(r)}, time.Now())
					case 5:
						_, _, _ = o.isPaused(), o.current(), o.wire.forPictures(time.Now())
					case 6:
						time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
					}
				}
				_ = o.Unbind(nil)
				running.Wait()
			}
		})
	}
	linking.Wait()
	close(over)
	writing.Wait()
	if n := len(track.shared.history); n > 8 {
		t.Errorf("%d links are remembered", n)
	}
	if n, m := len(track.feed.list()), len(track.feed.sending()); n != 0 || m != 0 {
		t.Errorf("%d follow and %d send", n, m)
	}
}

// lie is a report that may say anything.
func lie(r *rand.Rand) rtcp.Packet {
	fb := &rtcp.TransportLayerCC{
		BaseSequenceNumber: uint16(r.Uint32()), PacketStatusCount: uint16(r.Uint32()), ReferenceTime: r.Uint32(), FbPktCount: uint8(r.Uint32()),
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: uint16(r.IntN(4)), RunLength: uint16(r.IntN(1 << 13))}},
	}
	for range r.IntN(200) {
		fb.RecvDeltas = append(fb.RecvDeltas, &rtcp.RecvDelta{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: int64(int32(r.Uint32()))})
	}
	return fb
}
