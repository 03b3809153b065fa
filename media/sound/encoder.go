package sound

/*
#include <stdint.h>
// libopus's, see decoder.go; the numbers are those of its requests (opus_defines.h).
typedef struct OpusEncoder OpusEncoder;
OpusEncoder *opus_encoder_create(int32_t rate, int channels, int application, int *error);
int32_t opus_encode(OpusEncoder *e, const int16_t *pcm, int frame_size, unsigned char *data, int32_t max);
int opus_encoder_ctl(OpusEncoder *e, int request, ...);
void opus_encoder_destroy(OpusEncoder *e);
// cgo cannot call a function with variable arguments.
static int herald_opus_set(OpusEncoder *e, int request, int32_t value) { return opus_encoder_ctl(e, request, value); }
*/
import "C"

import (
	"errors"
	"fmt"

	// Links libopus. Its own encoder has neither error correction nor the loss to expect.
	_ "github.com/pion/mediadevices/pkg/codec/opus"
)

// Requests of libopus's encoder, and what goes with them.
const (
	setBitrate = 4002
	setVBR     = 4006
	setEffort  = 4010
	setFEC     = 4012
	setLoss    = 4014
	setDTX     = 4016
	setSignal  = 4024
	forCalls   = 2048 // OPUS_APPLICATION_VOIP
	speech     = 3001 // OPUS_SIGNAL_VOICE
)

// How an Opus encoder of ours is set up.
const (
	voiceBitrate = 32_000 // bit/s, the error correction within
	effort       = 5      // of 10: as WebRTC's on phones; 9 takes twice as long
	leastLoss    = 10     // percent: up to 5 libopus puts in no error correction unless bits are left
	mostLoss     = 30     // percent: beyond it the voice itself would get too little
	maxEncoded   = 1275   // bytes of a frame (RFC 6716 §3.2.1)
)

// encoder is libopus's. Its memory is C's: close it. Each packet also holds the one
// before in short (in-band FEC), so that one that is lost can be heard all the same.
type encoder struct {
	c    *C.OpusEncoder
	loss int
}

func newEncoder() (*encoder, error) {
	var code C.int
	c := C.opus_encoder_create(Rate, 1, forCalls, &code)
	if c == nil || code != 0 {
		return nil, fmt.Errorf("make the Opus encoder: code %d", int(code))
	}
	e := &encoder{c: c}
	for _, s := range [][2]int{{setBitrate, voiceBitrate}, {setVBR, 1}, {setEffort, effort}, {setFEC, 1}, {setLoss, leastLoss}, {setDTX, 0}, {setSignal, speech}} {
		if err := e.set(s[0], s[1]); err != nil {
			e.close()
			return nil, err
		}
	}
	e.loss = leastLoss
	return e, nil
}

func (e *encoder) set(request, value int) error {
	if code := C.herald_opus_set(e.c, C.int(request), C.int32_t(value)); code != 0 {
		return fmt.Errorf("set the Opus encoder's %d to %d: code %d", request, value, int(code))
	}
	return nil
}

// expect tells how many percent of the packets are lost on their way.
func (e *encoder) expect(percent int) error {
	percent = min(mostLoss, max(leastLoss, percent))
	if percent == e.loss {
		return nil
	}
	e.loss = percent
	return e.set(setLoss, percent)
}

// encode makes a packet of one frame.
func (e *encoder) encode(pcm []int16) ([]byte, error) {
	if len(pcm) != frameSamples || e.c == nil {
		return nil, errors.New("encode in Opus: not a frame, or closed")
	}
	out := make([]byte, maxEncoded)
	n := C.opus_encode(e.c, (*C.int16_t)(&pcm[0]), C.int(frameSamples), (*C.uchar)(&out[0]), maxEncoded)
	if n < 1 {
		return nil, fmt.Errorf("encode in Opus: code %d", int(n))
	}
	return append([]byte(nil), out[:n]...), nil
}

func (e *encoder) close() {
	if e.c != nil {
		C.opus_encoder_destroy(e.c)
		e.c = nil
	}
}
