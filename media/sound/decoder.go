package sound

/*
#include <stdint.h>
// The encoder's package links libopus, whose archive holds the decoder too; these are
// its prototypes (opus.h), since its headers cannot be reached from here.
typedef struct OpusDecoder OpusDecoder;
OpusDecoder *opus_decoder_create(int32_t rate, int channels, int *error);
int opus_decode(OpusDecoder *d, const unsigned char *data, int32_t len, int16_t *pcm, int frame_size, int fec);
void opus_decoder_destroy(OpusDecoder *d);
int opus_packet_parse(const unsigned char *data, int32_t len, unsigned char *toc, const unsigned char *frames[48], int16_t size[48], int *offset);

// Tells whether a packet holds the one before, too: LBRR, whose flags follow those of
// the voice's activity at the beginning of the first frame (RFC 6716 §4.2.3, §4.2.4).
static int herald_opus_has_fec(const unsigned char *data, int32_t len) {
	const unsigned char *frames[48];
	int16_t size[48];
	unsigned char toc;
	int config = data[0] >> 3, n, stereo = data[0] >> 2 & 1;
	if (config >= 16 || opus_packet_parse(data, len, &toc, frames, size, 0) < 1 || size[0] < 1) return 0;
	n = config < 12 && config % 4 >= 2 ? config % 4 : 1; // frames of SILK, of 20 ms
	int lbrr = frames[0][0] >> (7 - n) & 1;
	if (stereo && 7 - 2 * n - 1 >= 0) lbrr |= frames[0][0] >> (6 - 2 * n) & 1;
	return lbrr;
}
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

// hasFEC tells whether the packet before can be recovered from this one.
func hasFEC(data []byte) bool {
	return len(data) > 1 && C.herald_opus_has_fec((*C.uchar)(&data[0]), C.int32_t(len(data))) != 0
}

func (d *decoder) close() {
	if d != nil && d.c != nil {
		C.opus_decoder_destroy(d.c)
		d.c = nil
	}
}
