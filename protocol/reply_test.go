package protocol

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// A reply of any length comes as it left, in frames that the wire takes; one that is
// too long does not leave, and parts of more than that are not taken.
func TestReplyInParts(t *testing.T) {
	seeded := rand.New(rand.NewPCG(1, 2))
	letters := func(n, kinds int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'a' + byte(seeded.IntN(kinds))
		}
		body, err := Marshal(string(b))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for _, c := range []struct {
		body   []byte
		frames int // 0: it does not leave
	}{
		{letters(1, 1), 1}, {letters(replyPart-100, 26), 1}, {letters(replyPart+1, 2), 1}, {letters(600_000, 26), 3},
		{letters(MaxReplyBytes-10, 1), 1}, {letters(MaxReplyBytes+1, 1), 0}, {letters(900_000, 26), 0},
	} {
		frames, err := EncodeReply(&Reply{ID: 7, Body: c.body})
		if (err != nil) != (c.frames == 0) || len(frames) != c.frames {
			t.Errorf("%d bytes: %d frames, want %d, %v", len(c.body), len(frames), c.frames, err)
		}
		var parts Parts
		for i, b := range frames {
			f, err := DecodeFrame(b)
			if err != nil {
				t.Fatal(err)
			}
			body, done, err := parts.Add(f.Reply)
			if err != nil || done != (i == len(frames)-1) || done && !bytes.Equal(body, c.body) {
				t.Errorf("%d bytes: part %d: done %v, %d bytes, %v", len(c.body), i+1, done, len(body), err)
			}
		}
	}
	var parts Parts
	for n := 0; ; n++ {
		_, done, err := parts.Add(&Reply{ID: 7, Part: make([]byte, replyPart), More: true})
		if err != nil && done && n == maxReplyDeflated/replyPart {
			break
		}
		if err != nil || done || n > maxReplyDeflated/replyPart {
			t.Fatalf("part %d: done %v, %v", n+1, done, err)
		}
	}
	for what, b := range map[string][]byte{"nothing": {}, "no deflate": []byte("no deflate"), "cut": {0x62}} {
		var parts Parts
		if _, done, err := parts.Add(&Reply{ID: 7, Part: b}); b == nil || !done || err == nil && len(b) > 0 {
			t.Errorf("%s: done %v, %v", what, done, err)
		}
	}
}
