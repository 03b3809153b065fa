//go:build !webrtcapm

package sound

// Cancels tells whether an echo canceller is built in.
const Cancels = false

func newCanceller() (EchoCanceller, error) { return nil, ErrNoCanceller }
