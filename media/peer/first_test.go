package peer

import (
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media"
)

// TestFirstPacketIsNotLost: a source begins with a key frame when somebody sends it, and without that no picture can be seen
// until the next. So it begins only once there is a connection, and the far end hands nothing out before its Track returns.
func TestFirstPacketIsNotLost(t *testing.T) {
	noLeak(t)
	begun, stop := make(chan struct{}), make(chan struct{})
	var once sync.Once
	track, err := NewVideoTrack(H264, Hooks{Watched: func(n int) {
		if n > 0 {
			once.Do(func() { close(begun) })
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		select {
		case <-begun:
		case <-stop:
		}
		for i := byte(0); ; i++ {
			track.WriteSample(media.Sample{Data: []byte{0, 0, 0, 1, 0x65, i, 0x84}, Duration: time.Millisecond})
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() { close(stop); writing.Wait() })

	sender := newEnd(t, newFactory(t, testConfig(t)), Options{Video: &VideoTracks{H264: track}})
	first := make(chan *rtp.Packet, 1)
	receiver := newEnd(t, newFactory(t, testConfig(t)), Options{})
	receiver.options.Track = func(r *RemoteTrack) {
		time.Sleep(20 * time.Millisecond) // one that takes its time: many packets come meanwhile
		r.Follow(func(p *rtp.Packet) {
			select {
			case first <- p:
			default:
			}
		})
	}
	connect(t, sender, receiver)
	p := receive(t, first, "the first packet")
	if p.Payload[1] != 0 {
		t.Errorf("the first packet that is handed out is number %d", p.Payload[1])
	}
}
