package sound

/*
#include <stdint.h>
// The encoder's package links libopus, whose archive holds the decoder too; these are
// its prototypes (opus.h), since its headers cannot be reached from here.
typedef struct OpusDecoder OpusDecoder;
OpusDecoder *opus_decoder_create(int32_t rate, int channels, int *error);
int opus_decode(OpusDecoder *d, const unsigned char *data, int32_t len, int16_t *pcm, int frame_size, int fec);
void opus_decoder_destroy(OpusDecoder *d);
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

var errClosedDecoder = errors.New("the Opus decoder is closed")

// decoder is libopus's: unlike pion/opus it makes up for what is lost, and uses
// the forward error correction in the packet after. Its memory is C's: close it.
type decoder struct{ c *C.OpusDecoder }

func newDecoder() (*decoder, error) {
	var code C.int
	c := C.opus_decoder_create(Rate, 1, &code)
	if c == nil || code != 0 {
		return nil, fmt.Errorf("make the Opus decoder: code %d", int(code))
	}
	return &decoder{c}, nil
}

// decode decodes a packet into pcm and returns how many samples there are.
func (d *decoder) decode(data []byte, pcm []int16) (int, error) {
	if len(data) == 0 {
		return 0, errors.New("decode Opus: an empty packet")
	}
	return d.call(data, pcm, 0)
}

// recover fills all of pcm, whose length is what is lost, from the packet after it.
func (d *decoder) recover(after []byte, pcm []int16) (int, error) { return d.call(after, pcm, 1) }

// conceal fills all of pcm (a multiple of 2.5 ms) with what may have been lost.
func (d *decoder) conceal(pcm []int16) (int, error) { return d.call(nil, pcm, 0) }

func (d *decoder) call(data []byte, pcm []int16, fec C.int) (int, error) {
	if d.c == nil {
		return 0, errClosedDecoder
	}
	if len(pcm) == 0 {
		return 0, errors.New("decode Opus: no room for it")
	}
	n := C.opus_decode(d.c, (*C.uchar)(unsafe.SliceData(data)), C.int32_t(len(data)),
		(*C.int16_t)(unsafe.SliceData(pcm)), C.int(len(pcm)), fec)
	if n < 0 {
		return 0, fmt.Errorf("decode Opus: code %d", int(n))
	}
	return int(n), nil
}

func (d *decoder) close() {
	if d != nil && d.c != nil {
		C.opus_decoder_destroy(d.c)
		d.c = nil
	}
}
