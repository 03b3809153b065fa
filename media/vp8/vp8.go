// Package vp8 encodes pictures in VP8 (RFC 6386) with libvpx.
//
// It stands beside the encoder of mediadevices 0.9.4, which tells libvpx the time in microseconds and says that they are
// milliseconds. From that libvpx makes a rate of pictures that has nothing to do with theirs: at 60 a second, or where a camera's
// pictures come a millisecond early, it sends a multiple of the bitrate.
package vp8

// #cgo pkg-config: vpx
// #include <stdint.h>
// #include <stdlib.h>
// #include <vpx/vpx_encoder.h>
// #include <vpx/vp8cx.h>
//
// typedef struct {
//   vpx_codec_ctx_t codec;
//   vpx_codec_enc_cfg_t cfg;
//   vpx_image_t image;
//   const void *data; // of the last picture
//   size_t size;
//   int key;
// } herald_vp8;
//
// static vpx_codec_err_t herald_vp8_init(herald_vp8 *e, unsigned width, unsigned height, unsigned kbits, unsigned key_every, int speed) {
//   vpx_codec_err_t err = vpx_codec_enc_config_default(vpx_codec_vp8_cx(), &e->cfg, 0);
//   if (err) return err;
//   e->cfg.g_w = width;
//   e->cfg.g_h = height;
//   e->cfg.g_threads = 1; // one picture at a time is enough for an intercom, and leaves the other cores alone
//   e->cfg.g_timebase.num = 1;
//   e->cfg.g_timebase.den = 1000000;
//   e->cfg.g_pass = VPX_RC_ONE_PASS;
//   e->cfg.g_lag_in_frames = 0;
//   e->cfg.rc_end_usage = VPX_CBR;
//   e->cfg.rc_target_bitrate = kbits;
//   // The account that is kept of what was sent: of a second, and not of six, so that a lower bitrate is kept to at once.
//   e->cfg.rc_buf_sz = 1000;
//   e->cfg.rc_buf_initial_sz = 500;
//   e->cfg.rc_buf_optimal_sz = 600;
//   e->cfg.rc_undershoot_pct = 100;
//   e->cfg.rc_overshoot_pct = 15;
//   e->cfg.rc_dropframe_thresh = 30; // rather than that the bitrate is not kept
//   e->cfg.rc_min_quantizer = 2;
//   e->cfg.rc_max_quantizer = 63;
//   e->cfg.kf_mode = VPX_KF_AUTO;
//   e->cfg.kf_max_dist = key_every;
//   if ((err = vpx_codec_enc_init(&e->codec, vpx_codec_vp8_cx(), &e->cfg, 0))) return err;
//   if ((err = vpx_codec_control(&e->codec, VP8E_SET_CPUUSED, speed)) ||
//       (err = vpx_codec_control(&e->codec, VP8E_SET_STATIC_THRESHOLD, 1))) {
//     vpx_codec_destroy(&e->codec);
//     return err;
//   }
//   e->image.fmt = VPX_IMG_FMT_I420;
//   e->image.w = e->image.d_w = width;
//   e->image.h = e->image.d_h = height;
//   e->image.x_chroma_shift = e->image.y_chroma_shift = 1;
//   e->image.bps = 12;
//   return VPX_CODEC_OK;
// }
//
// static vpx_codec_err_t herald_vp8_bitrate(herald_vp8 *e, unsigned kbits) {
//   e->cfg.rc_target_bitrate = kbits;
//   return vpx_codec_enc_config_set(&e->codec, &e->cfg);
// }
//
// static vpx_codec_err_t herald_vp8_encode(herald_vp8 *e, unsigned char *y, unsigned char *cb, unsigned char *cr, int y_stride, int c_stride,
//     int64_t us, unsigned long duration, int key) {
//   e->image.planes[0] = y, e->image.planes[1] = cb, e->image.planes[2] = cr;
//   e->image.stride[0] = y_stride, e->image.stride[1] = e->image.stride[2] = c_stride;
//   vpx_codec_err_t err = vpx_codec_encode(&e->codec, &e->image, us, duration, key ? VPX_EFLAG_FORCE_KF : 0, VPX_DL_REALTIME);
//   e->image.planes[0] = e->image.planes[1] = e->image.planes[2] = NULL;
//   e->data = NULL, e->size = 0, e->key = 0;
//   if (err) return err;
//   vpx_codec_iter_t iter = NULL;
//   for (const vpx_codec_cx_pkt_t *p; (p = vpx_codec_get_cx_data(&e->codec, &iter));) {
//     if (p->kind == VPX_CODEC_CX_FRAME_PKT) { // one at most: nothing lags, and it is not cut into partitions
//       e->data = p->data.frame.buf;
//       e->size = p->data.frame.sz;
//       e->key = (p->data.frame.flags & VPX_FRAME_IS_KEY) != 0;
//     }
//   }
//   return VPX_CODEC_OK;
// }
import "C"

import (
	"errors"
	"fmt"
	"image"
	"runtime"
	"time"
	"unsafe"

	"github.com/herald-im/herald/media/picture"
)

// MaxSide is the longest side of a picture, in pixels: RFC 6386 §9.1 has 14 bits for it.
const MaxSide = 1<<14 - 1

// Encoder encodes the pictures of one stream. It belongs to one goroutine.
type Encoder struct {
	c             *C.herald_vp8
	width, height int
	duration      time.Duration // of a picture, if it is as long as they all
	kbits         C.uint

	last time.Time     // that a picture was taken at
	time time.Duration // from the first picture to the last, as libvpx knows it
}

// maxSince is the longest pause between two pictures that libvpx is told of: one picture may have all that could be sent in it.
const maxSince = time.Second

var errClosed = errors.New("the VP8 encoder is closed")

// New makes an encoder for pictures of a size in pixels, so many a second or about, that keeps to a bitrate in bit/s. There are
// at most keyEvery pictures from one key frame to the next. Close must follow.
func New(width, height int, rate float64, bitrate, keyEvery int) (*Encoder, error) {
	if min(width, height) < 1 || max(width, height) > MaxSide {
		return nil, fmt.Errorf("VP8 has no pictures of %d×%d", width, height)
	}
	rate = min(max(rate, 1), 1000)
	e := &Encoder{width: width, height: height, duration: time.Duration(float64(time.Second) / rate), kbits: kilobits(bitrate)}
	e.c = (*C.herald_vp8)(C.calloc(1, C.sizeof_herald_vp8))
	if err := C.herald_vp8_init(e.c, C.uint(width), C.uint(height), e.kbits, C.uint(max(keyEvery, 1)), speed()); err != 0 {
		C.free(unsafe.Pointer(e.c))
		return nil, failed("be set up", err)
	}
	return e, nil
}

// speed is libvpx's scale: the further below zero, the less it looks for what could be saved, and the less of the processor it
// takes. Browsers encode their calls at about these.
func speed() C.int {
	switch runtime.GOARCH {
	case "arm", "arm64":
		return -12
	}
	return -6
}

func kilobits(bitrate int) C.uint { return C.uint(max(bitrate/1000, 1)) }

func failed(what string, err C.vpx_codec_err_t) error {
	return fmt.Errorf("the VP8 encoder cannot %s: %s", what, C.GoString(C.vpx_codec_err_to_string(err)))
}

// Encode encodes a picture in 4:2:0 that was taken at a time, as a key frame if so wanted. Without data the encoder has left it
// out, to keep the bitrate.
func (e *Encoder) Encode(img *image.YCbCr, at time.Time, wantKey bool) (data []byte, key bool, err error) {
	if e.c == nil {
		return nil, false, errClosed
	}
	if err := picture.Check(img, e.width, e.height); err != nil {
		return nil, false, err
	}
	if !e.last.IsZero() {
		since := at.Sub(e.last)
		if since < 0 {
			since = e.duration // the clock was set
		}
		e.time += min(max(since, time.Millisecond), maxSince) // libvpx wants times that grow
	}
	e.last = at
	var force C.int
	if wantKey {
		force = 1
	}
	if err := C.herald_vp8_encode(e.c,
		(*C.uchar)(&img.Y[0]), (*C.uchar)(&img.Cb[0]), (*C.uchar)(&img.Cr[0]), C.int(img.YStride), C.int(img.CStride),
		C.int64_t(e.time.Microseconds()), C.ulong(e.duration.Microseconds()), force); err != 0 {
		return nil, false, failed("take a picture", err)
	}
	if e.c.size == 0 {
		return nil, false, nil
	}
	return C.GoBytes(e.c.data, C.int(e.c.size)), e.c.key != 0, nil
}

// SetBitrate has the pictures from now on keep to another bitrate, in bit/s, without a key frame.
func (e *Encoder) SetBitrate(bitrate int) error {
	if e.c == nil {
		return errClosed
	}
	kbits := kilobits(bitrate)
	if kbits == e.kbits {
		return nil
	}
	if err := C.herald_vp8_bitrate(e.c, kbits); err != 0 {
		return failed("take another bitrate", err)
	}
	e.kbits = kbits
	return nil
}

// Close frees the encoder. More than once is no error.
func (e *Encoder) Close() error {
	if e.c == nil {
		return nil
	}
	err := C.vpx_codec_destroy(&e.c.codec)
	C.free(unsafe.Pointer(e.c))
	e.c = nil
	if err != 0 {
		return failed("be closed", err)
	}
	return nil
}
