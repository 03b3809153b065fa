//go:build webrtcapm

package sound

/*
// Debian 12's libwebrtc-audio-processing-dev. The archive: a board need not have the library.
#cgo CXXFLAGS: -std=c++11 -DWEBRTC_AUDIO_PROCESSING_ONLY_BUILD -DWEBRTC_POSIX -I/usr/include/webrtc_audio_processing
#cgo LDFLAGS: -l:libwebrtc_audio_processing.a
#include "echo_webrtc.h"
*/
import "C"

import "errors"

// Cancels tells whether an echo canceller is built in.
const Cancels = true

// apm is WebRTC's audio processing: its canceller, noise suppression and gain control.
// Its memory is C's: close it.
type apm struct {
	c         *C.herald_apm
	near, far [blockSamples]C.float
}

func newCanceller() (EchoCanceller, error) {
	c := C.herald_apm_new(C.int(Rate))
	if c == nil {
		return nil, errors.New("WebRTC's audio processing cannot be set up")
	}
	return &apm{c: c}, nil
}

func (a *apm) Clean(near, far []int16) {
	for i := range a.near {
		a.near[i], a.far[i] = C.float(near[i])/32768, C.float(far[i])/32768
	}
	if C.herald_apm_clean(a.c, &a.near[0], &a.far[0]) != 0 {
		return // it has not touched near
	}
	for i, x := range a.near {
		near[i] = round(float32(x) * 32768)
	}
}

func (a *apm) Delay() int { return int(C.herald_apm_delay(a.c)) }

func (a *apm) Close() { C.herald_apm_free(a.c) }
