package peer

import (
	"context"
	"errors"
	"fmt"

	"github.com/pion/webrtc/v4"
)

// Offers and answers (RFC 8829), and what has to be true of the far end's.

// Offer begins a negotiation and gives the SDP for the far end. Candidates come by callback, perhaps before it returns.
func (p *Peer) Offer(ctx context.Context) (string, error) {
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	if err := p.may(ctx, !p.begun); err != nil {
		return "", err
	}
	for _, kind := range p.kinds() {
		if err := p.transceiver(kind); err != nil {
			return "", p.failed("making an offer", err)
		}
	}
	return p.offer(false)
}

// RestartOffer gives an SDP that looks for a new path, for when the networks have changed or nothing is heard. The old path
// is given up at once, so media pauses until the far end's answer is accepted. When no answer comes it may be called again;
// an answer to the earlier offer must then not be accepted any more, which the caller has to know by its signaling.
func (p *Peer) RestartOffer(ctx context.Context) (string, error) {
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	negotiated := p.pc.CurrentRemoteDescription() != nil
	if err := p.may(ctx, negotiated && p.pc.SignalingState() != webrtc.SignalingStateHaveRemoteOffer); err != nil {
		return "", err
	}
	return p.offer(true)
}

// SetServers replaces the STUN and TURN servers, of which there are none at first, from the next description on that looks for
// paths: the first, a RestartOffer, or an Answer to one. So a call outlasts the credentials that it began with. Errors:
// ErrClosed, or what is wrong with a server.
func (p *Peer) SetServers(servers []ICEServer) error {
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	err := p.pc.SetConfiguration(webrtc.Configuration{ICEServers: pionServers(servers), ICETransportPolicy: p.options.policy()})
	if err != nil {
		return p.failed("changing the servers", err)
	}
	return nil
}

func (p *Peer) offer(restart bool) (string, error) {
	p.begun = true
	offer, err := p.pc.CreateOffer(&webrtc.OfferOptions{
		ICERestart: restart, OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true},
	})
	// pion knows no rollback, and takes no second offer while one is open. It needs none: CreateOffer has given ICE its new
	// credentials and begun to gather, and all else in the two offers is the same.
	if open := p.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer; err == nil && !open {
		err = p.pc.SetLocalDescription(offer)
	}
	if err != nil {
		return "", p.failed("making an offer", err)
	}
	return p.hide(offer.SDP), nil
}

// Answer takes the far end's offer, the first one or one that restarts ICE, and gives the answer. Errors: ErrBadSDP, ErrNoCodec,
// ErrState when an offer of our own is unanswered. After an error only Close is left.
func (p *Peer) Answer(ctx context.Context, offer string) (string, error) {
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	if err := p.may(ctx, p.pc.SignalingState() == webrtc.SignalingStateStable); err != nil {
		return "", err
	}
	d, err := readSDP(offer, true)
	if err != nil {
		return "", err
	}
	if err := p.checkCodecs(d); err != nil {
		return "", err
	}
	if !p.begun {
		p.begun = true
		for _, kind := range p.kinds() {
			if d.section(kind) == nil {
				continue
			}
			if err := p.transceiver(kind); err != nil {
				return "", p.failed("answering", err)
			}
		}
	}
	if err := p.take(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}, d); err != nil {
		return "", err
	}
	answer, err := p.pc.CreateAnswer(&webrtc.AnswerOptions{
		OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: !p.viewer},
	})
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err == nil {
		err = p.pc.SetLocalDescription(answer)
	}
	if err != nil {
		if p.isClosing() {
			return "", ErrClosed
		}
		return "", badSDP("answering it: %v", err) // what pion finds wrong here is the offer's
	}
	if p.viewer {
		select {
		case <-gathered:
		case <-ctx.Done():
			return "", fmt.Errorf("gathering candidates: %w", ctx.Err())
		}
		if local := p.pc.LocalDescription(); local != nil {
			return local.SDP, nil
		}
		return "", ErrClosed
	}
	return p.hide(answer.SDP), nil
}

// Accept takes the answer to Offer or RestartOffer. Errors: ErrBadSDP, ErrNoCodec, ErrState when no offer is open. After an error
// other than ErrState only Close is left.
func (p *Peer) Accept(answer string) error {
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	if err := p.may(context.Background(), p.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer); err != nil {
		return err
	}
	d, err := readSDP(answer, false)
	if err != nil {
		return err
	}
	if err := p.checkCodecs(d); err != nil {
		return err
	}
	return p.take(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}, d)
}

// take gives pion a description that was checked, and the candidates that waited for it.
func (p *Peer) take(desc webrtc.SessionDescription, d *description) error {
	if err := p.pc.SetRemoteDescription(desc); err != nil {
		if p.isClosing() {
			return ErrClosed
		}
		return badSDP("%v", err)
	}
	for _, line := range p.candidates.described(d.ufrag) {
		if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: line}); err != nil {
			p.log.Debug("a candidate that waited is no use", "err", err)
		}
	}
	return nil
}

// checkCodecs looks whether all kinds that are wanted and named have a codec in common.
func (p *Peer) checkCodecs(d *description) error {
	usable := 0
	for _, kind := range p.kinds() {
		s := d.section(kind)
		if s == nil {
			continue
		}
		can := len(s.codecs) > 0
		if source := p.source(kind); can && source != nil && s.direction != "sendonly" && s.direction != "inactive" {
			can = source.choose(s.codecs) != nil
		}
		if !can {
			return &NoCodecError{Kind: kind, Offered: s.named}
		}
		usable++
	}
	if usable == 0 {
		return &NoCodecError{Kind: p.kinds()[0]}
	}
	return nil
}

// kinds gives the kinds of media of this call.
func (p *Peer) kinds() []Kind {
	if p.options.NoVideo {
		return []Kind{Audio}
	}
	return []Kind{Audio, Video}
}

// may tells whether a step of negotiation can be taken.
func (p *Peer) may(ctx context.Context, fits bool) error {
	switch {
	case p.isClosing() || p.pc.SignalingState() == webrtc.SignalingStateClosed:
		return ErrClosed
	case !fits:
		return fmt.Errorf("%w: signaling is %s", ErrState, p.pc.SignalingState())
	}
	return ctx.Err()
}

func (p *Peer) failed(what string, err error) error {
	if p.isClosing() || errors.Is(err, webrtc.ErrConnectionClosed) {
		return ErrClosed
	}
	return fmt.Errorf("%s: %w", what, err)
}
