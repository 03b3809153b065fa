package protocol

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// A response beyond one frame, such as a long list of friends, comes as several
// replies of one ID: deflated (RFC 1951) and cut.
const (
	MaxReplyBytes    = 8 << 20   // of a response that comes in parts
	maxReplyDeflated = 512 << 10 // of its parts together: they wait in the broker side by side
	replyPart        = 128 << 10 // of one part
)

// EncodeReply encodes a reply as one frame, or as several if its body is long.
func EncodeReply(r *Reply) ([][]byte, error) {
	if len(r.Body) <= replyPart {
		b, err := EncodeFrame(&Frame{Reply: r})
		return [][]byte{b}, err
	}
	if len(r.Body) > MaxReplyBytes {
		return nil, fmt.Errorf("encode a reply: %d bytes are over the limit of %d", len(r.Body), MaxReplyBytes)
	}
	var all bytes.Buffer
	w, err := flate.NewWriter(&all, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(r.Body)
	}
	if err == nil {
		err = w.Close()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("encode a reply: %w", err)
	case all.Len() > maxReplyDeflated:
		return nil, fmt.Errorf("encode a reply: %d bytes, deflated, are over the limit of %d", all.Len(), maxReplyDeflated)
	}
	var out [][]byte
	for all.Len() > 0 {
		part := *r
		part.Body, part.Part = nil, all.Next(replyPart)
		part.More = all.Len() > 0
		b, err := EncodeFrame(&Frame{Reply: &part})
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// Parts puts a reply together again.
type Parts struct{ b []byte }

// Add takes the next reply of a call and gives the body once it is complete.
func (p *Parts) Add(r *Reply) (body []byte, done bool, err error) {
	if r.Part == nil && p.b == nil {
		return r.Body, true, nil
	}
	if len(p.b)+len(r.Part) > maxReplyDeflated {
		return nil, true, fmt.Errorf("a reply: its parts are over the limit of %d bytes", maxReplyDeflated)
	}
	p.b = append(p.b, r.Part...)
	if r.More {
		return nil, false, nil
	}
	in := flate.NewReader(bytes.NewReader(p.b))
	body, err = io.ReadAll(io.LimitReader(in, MaxReplyBytes+1))
	if err == nil && len(body) > MaxReplyBytes {
		err = errors.New("it inflates to too much")
	}
	if err != nil {
		return nil, true, fmt.Errorf("a reply in parts: %w", err)
	}
	return body, true, nil
}
