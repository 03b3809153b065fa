// Package media is what a board sees and hears: its cameras, microphones and
// speakers, the codecs, and the peer connections that carry them (WebRTC). It
// knows nothing of accounts and messages (room device): whoever places calls
// hands over SDP and candidates as text.
package media
