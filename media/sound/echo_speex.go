//go:build speexdsp

package sound

/*
// Debian's libspeexdsp-dev. The archive: a board need not have the library.
#cgo LDFLAGS: -l:libspeexdsp.a -lm
#include <speex/speex_echo.h>
#include <speex/speex_preprocess.h>
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Cancels tells whether an echo canceller is built in.
const Cancels = true

// What speexdsp is asked for.
const (
	roomTime       = 200 // ms that an echo lasts, from its block of far on
	noiseDown      = -18 // dB at most that noise is lowered by
	residueDown    = -50 // that what is left of the echo is lowered by while only the others speak,
	residueTalking = -15 // and while both do
	loudness       = 8000
	gainMost       = 12 // dB
	gainUp         = 6  // dB a second
)

// speex is speexdsp's canceller and what it has against the rest of the echo, noise
// and uneven loudness. Its memory is C's: close it.
type speex struct {
	echo  *C.SpeexEchoState
	rest  *C.SpeexPreprocessState
	clean [blockSamples]int16
}

func newCanceller() (EchoCanceller, error) {
	s := &speex{
		echo: C.speex_echo_state_init(blockSamples, Rate*roomTime/1000),
		rest: C.speex_preprocess_state_init(blockSamples, Rate),
	}
	if s.echo == nil || s.rest == nil {
		s.Close()
		return nil, errors.New("no memory for it")
	}
	rate := C.int(Rate)
	C.speex_echo_ctl(s.echo, C.SPEEX_ECHO_SET_SAMPLING_RATE, unsafe.Pointer(&rate))
	C.speex_preprocess_ctl(s.rest, C.SPEEX_PREPROCESS_SET_ECHO_STATE, unsafe.Pointer(s.echo))
	level := C.float(loudness)
	C.speex_preprocess_ctl(s.rest, C.SPEEX_PREPROCESS_SET_AGC_LEVEL, unsafe.Pointer(&level))
	for request, value := range map[C.int]C.int{
		C.SPEEX_PREPROCESS_SET_DENOISE: 1, C.SPEEX_PREPROCESS_SET_NOISE_SUPPRESS: noiseDown,
		C.SPEEX_PREPROCESS_SET_ECHO_SUPPRESS: residueDown, C.SPEEX_PREPROCESS_SET_ECHO_SUPPRESS_ACTIVE: residueTalking,
		C.SPEEX_PREPROCESS_SET_AGC: 1, C.SPEEX_PREPROCESS_SET_AGC_MAX_GAIN: gainMost, C.SPEEX_PREPROCESS_SET_AGC_INCREMENT: gainUp,
	} {
		C.speex_preprocess_ctl(s.rest, request, unsafe.Pointer(&value))
	}
	return s, nil
}

func (s *speex) Clean(near, far []int16) {
	C.speex_echo_cancellation(s.echo, (*C.spx_int16_t)(&near[0]), (*C.spx_int16_t)(&far[0]), (*C.spx_int16_t)(&s.clean[0]))
	C.speex_preprocess_run(s.rest, (*C.spx_int16_t)(&s.clean[0]))
	copy(near, s.clean[:])
}

func (s *speex) Reset() { C.speex_echo_state_reset(s.echo) }

func (s *speex) Close() {
	if s.rest != nil {
		C.speex_preprocess_state_destroy(s.rest)
	}
	if s.echo != nil {
		C.speex_echo_state_destroy(s.echo)
	}
	s.rest, s.echo = nil, nil
}
