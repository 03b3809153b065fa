// Package peer connects a board to other terminals and to browsers over WebRTC. It is a thin, careful layer over pion:
//
//   - Factory: what a process has once — one UDP port, one DTLS certificate, the list of codecs, the filter of network
//     interfaces.
//   - Peer: the connection to one remote terminal of a call, with trickled candidates and ICE restarts.
//   - Viewer: a browser that only watches (WHEP), fed with local media or with what a Peer receives, never transcoded.
//   - VideoTrack and AudioTrack: encoded local media, packetized once for everybody.
//
// It knows no accounts and no signaling: SDP and candidates come and go as text. What the far end is, is proved by one
// thing only, the DTLS fingerprint in its SDP; so that SDP has to come over a way that the account vouches for.
//
// Cameras, microphones and encoders are not here: they write samples to the tracks.
//
// # Media inside
//
// Everything that carries packets is a feed: a local track or the track of a remote terminal. Each sender follows a feed
// with a queue and a goroutine of its own, so that one slow link (a relay over TCP, say) delays nobody else.
//
// # One port
//
// All host candidates share one UDP socket that is bound to no address, so an address that appears later (Wi-Fi comes up, a
// board boots before its router) is usable without opening anything. Packets find their Peer by the ICE user fragment
// first, then by the far end's address. So two Peers between the same two Factories at once would take each other's
// packets: close the old one before the new one's SDP goes out. Queries to STUN and TURN servers use short-lived ports of
// their own.
package peer
