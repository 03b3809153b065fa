package peer

import (
	"math/rand/v2"
	"testing"
	"time"
)

// viewing feeds pictures to what follows them; each has four packets, and takes 50 ms.
type viewing struct {
	pictures
	t   *testing.T
	now time.Time
	seq uint16
}

// picture adds one; lost are the packets of it that do not come.
func (v *viewing) picture(key bool, lost ...int) (lacks bool) {
	v.now = v.now.Add(50 * time.Millisecond)
next:
	for i := range 4 {
		v.seq++
		for _, l := range lost {
			if l == i {
				continue next
			}
		}
		payload := []byte{0x7c, 0x01} // the middle of a fragmented picture
		switch {
		case key && i == 0:
			payload = []byte{nalStapA, 0, 2, 0x67, 0x42, 0, 1, 0x68}
		case i == 0:
			payload = []byte{0x7c, 0x81}
		}
		lacks = v.add(v.seq, i == 3, payload, v.now, 300*time.Millisecond)
	}
	return lacks
}

func newViewing(t *testing.T, at uint16) *viewing {
	return &viewing{pictures: pictures{codec: H264}, t: t, now: time.Unix(1000, 0), seq: at}
}

func TestPicturesThatCanBeDecoded(t *testing.T) {
	v := newViewing(t, 65530) // and over the end of the numbers
	if !v.picture(false) {
		t.Error("a stream that begins without a key frame lacks none")
	}
	if v.picture(true) || v.whole != 1 {
		t.Error(v.whole)
	}
	for range 3 {
		v.picture(false)
	}
	if v.whole != 4 {
		t.Error(v.whole)
	}
	v.picture(false, 1)
	missing := v.seq - 2
	v.picture(false)
	if v.whole != 4 {
		t.Error("pictures after a hole count before it is filled")
	}
	v.add(missing, false, []byte{0x7c, 1}, v.now, 300*time.Millisecond) // it was sent again
	if v.whole != 6 || v.lacks {
		t.Errorf("%d pictures", v.whole)
	}
	v.picture(false, 2)
	v.whole = 0
	for range 10 {
		v.picture(false)
	}
	if v.whole != 0 || !v.lacks {
		t.Errorf("%d pictures without what they build on", v.whole)
	}
	if v.picture(true) || v.whole != 1 {
		t.Errorf("not whole again after a key frame: %d", v.whole)
	}
}

// However many holes a burst of loss makes, the key frame after it is seen at once.
func TestPicturesAfterManyHoles(t *testing.T) {
	v := newViewing(t, 1)
	v.picture(true)
	for range 40 {
		v.picture(false, 1, 3)
	}
	v.whole = 0
	for range 8 { // the last hole may still be filled for 300 ms
		v.picture(true)
	}
	if v.whole < 1 || v.lacks {
		t.Errorf("%d pictures of 8 key frames after a burst", v.whole)
	}
}

// A number far away begins anew, and nothing grows.
func TestPicturesJump(t *testing.T) {
	v := newViewing(t, 1)
	v.picture(true)
	v.seq += 20000
	if v.picture(false); !v.lacks {
		t.Error("nothing is lacking after a jump")
	}
	if v.picture(true); v.lacks {
		t.Error("a key frame is lacking after one")
	}
}

func TestBeginsKey(t *testing.T) {
	for _, c := range []struct {
		codec   Codec
		payload []byte
		key     bool
	}{
		{H264, nil, false},
		{H264, []byte{0x65}, true},
		{H264, []byte{0x41, 0}, false},
		{H264, []byte{nalStapA, 0, 1, 0x67}, true},
		{H264, []byte{nalStapA, 0, 9, 0x67}, false},
		{H264, []byte{nalStapA, 0}, false},
		{H264, []byte{0x7c, 0x85}, true},
		{H264, []byte{0x7c, 0x05}, false},
		{H264, []byte{0x7c}, false},
		{VP8, nil, false},
		{VP8, []byte{0x10, 0x00}, true},
		{VP8, []byte{0x10, 0x01}, false},
		{VP8, []byte{0x00, 0x00}, false},
		{VP8, []byte{0x90, 0x80, 0x85, 0x01, 0x00}, true},
		{VP8, []byte{0x90, 0x80, 0x05, 0x00}, true},
		{VP8, []byte{0x90}, false},
		{VP8, []byte{0x90, 0xf0, 0x85}, false},
		{Opus, []byte{1}, true},
	} {
		if got := beginsKey(c.codec, c.payload); got != c.key {
			t.Errorf("%s %x: %v", c.codec, c.payload, got)
		}
	}
}

// FuzzPictures: whatever a far end sends as packets of pictures.
func FuzzPictures(f *testing.F) {
	f.Add([]byte{1, 0, 0x67, 2, 1, 0x41}, true)
	f.Add([]byte{0xff, 0xff, 0x10, 0, 0, 0x90}, false)
	f.Fuzz(func(t *testing.T, b []byte, h264 bool) {
		codec := VP8
		if h264 {
			codec = H264
		}
		p := pictures{codec: codec}
		now := time.Unix(1, 0)
		r := rand.New(rand.NewPCG(1, 1))
		packets := uint64(0)
		for len(b) > 3 {
			n := min(int(b[2])%16, len(b)-3)
			seq := uint16(b[0])<<8 | uint16(b[1])
			now = now.Add(time.Duration(r.IntN(50)) * time.Millisecond)
			p.add(seq, b[2]&0x80 != 0, b[3:3+n], now, 300*time.Millisecond)
			b = b[3+n:]
			packets++
		}
		if p.whole > packets {
			t.Errorf("%d pictures of %d packets", p.whole, packets)
		}
	})
}
