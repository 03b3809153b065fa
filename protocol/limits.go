package protocol

import (
	"errors"
	"fmt"
)

// check holds a frame to the limits of the wire that CBOR itself does not know.
func (f *Frame) check() error {
	kinds := 0
	for _, present := range [...]bool{
		f.Hello != nil, f.Welcome != nil, f.Append != nil, f.Acks != nil, f.Push != nil, f.Pull != nil, f.Range != nil,
		f.Call != nil, f.Reply != nil, f.Beat != nil, f.Heads != nil, f.Signal != nil, f.Bye != nil, f.Survey != nil, f.States != nil,
	} {
		if present {
			kinds++
		}
	}
	if err := atMost("frame", len(f.People), "people", MaxPeople); err != nil {
		return err
	}
	switch {
	case kinds != 1:
		return errors.New("not exactly one kind in it")
	case f.Hello != nil:
		return atMost("hello", len(f.Hello.Eras), "eras", MaxEras)
	case f.Welcome != nil:
		return atMost("welcome", len(f.Welcome.Eras), "eras", MaxEras)
	case f.Append != nil:
		return f.Append.check()
	case f.Acks != nil:
		return atMost("acks", len(f.Acks.Results), "results", MaxBatchItems)
	case f.Push != nil:
		return f.Push.check()
	case f.Range != nil:
		return checkEntries("range", f.Range.Entries)
	case f.Beat != nil:
		return atMost("beat", len(f.Beat.Moved), "cursors", MaxHeads)
	case f.Heads != nil:
		return atMost("heads", len(f.Heads.Items), "heads", MaxHeads)
	case f.Signal != nil:
		return checkBody("signal", f.Signal.Body)
	case f.Survey != nil:
		return atMost("survey", len(f.Survey.Items), "logs", MaxSurvey)
	case f.States != nil:
		return f.States.check()
	}
	return nil
}

func (a *Append) check() error {
	if len(a.Items) == 0 || len(a.Items) > MaxBatchItems {
		return fmt.Errorf("append of %d items, not 1 to %d", len(a.Items), MaxBatchItems)
	}
	if a.Base == 0 || a.First < a.Base || a.First > maxNumber {
		return fmt.Errorf("append numbered from %d with base %d", a.First, a.Base)
	}
	if a.Epoch == 0 {
		return errors.New("append of epoch 0, which is none")
	}
	bytes := 0
	for i := range a.Items {
		if err := checkBody("append", a.Items[i].Body); err != nil {
			return err
		}
		bytes += len(a.Items[i].Body)
	}
	return atMost("append", bytes, "bytes of bodies", MaxBatchBytes)
}

func (p *Push) check() error {
	entries := 0
	for i := range p.Logs {
		if err := checkEntries("push", p.Logs[i].Entries); err != nil {
			return err
		}
		entries += len(p.Logs[i].Entries)
	}
	return atMost("push", entries, "entries", MaxPushEntries)
}

func (s *States) check() error {
	for i := range s.Items {
		if last := s.Items[i].Last; last != nil {
			if err := checkBody("states", last.Body); err != nil {
				return err
			}
		}
	}
	return atMost("states", len(s.Items), "logs", MaxSurvey)
}

func checkEntries(kind string, entries []Entry) error {
	for i := range entries {
		if err := checkBody(kind, entries[i].Body); err != nil {
			return err
		}
	}
	return atMost(kind, len(entries), "entries", MaxPushEntries)
}

func checkBody(kind string, body []byte) error {
	return atMost(kind, len(body), "bytes of one body", MaxBodyBytes)
}

func atMost(kind string, n int, what string, limit int) error {
	if n > limit {
		return fmt.Errorf("%s with %d %s, over the limit of %d", kind, n, what, limit)
	}
	return nil
}

// entriesDepth is how many arrays and maps are around the entries of a push,
// the deepest of the arrays that become Go structs: frame, push, logs, one log.
const entriesDepth = 4

// checkElements refuses a frame whose arrays have more elements together than
// any honest one. An element of one byte becomes a struct of over a hundred:
// nested arrays would let a stranger turn MaxFrameBytes into 30 MB. What is not
// well-formed is left to the decoder, which reads the same bytes next.
func checkElements(b []byte) error {
	var left [maxDepth + 1]uint64 // items to come in each open array or map
	total := uint64(0)
	for depth := 0; ; {
		major, value, rest, ok := cborHead(b)
		if !ok {
			return nil
		}
		b = rest
		if depth > 0 {
			left[depth-1]--
		}
		switch major {
		case cborBytes, cborText:
			if value > uint64(len(b)) {
				return nil
			}
			b = b[value:]
		case cborArray, cborMap:
			if value > MaxFrameBytes || depth == len(left) {
				return nil
			}
			if major == cborMap {
				value *= 2
			} else if depth <= entriesDepth {
				if total += value; total > maxFrameArrays {
					return fmt.Errorf("over %d elements in its arrays", maxFrameArrays)
				}
			}
			left[depth] = value
			depth++
		case cborTag:
			return nil
		}
		for depth > 0 && left[depth-1] == 0 {
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// Major types, RFC 8949 §3.1.
const (
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
	cborTag   = 6
)

// cborHead reads the head of a data item, RFC 8949 §3. ok is false where it is
// cut short, reserved or of indefinite length.
func cborHead(b []byte) (major byte, value uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, value, b = b[0]>>5, uint64(b[0]&0x1f), b[1:]
	if value < 24 {
		return major, value, b, true
	}
	size := 1 << (value - 24)
	if value > 27 || len(b) < size {
		return 0, 0, nil, false
	}
	value = 0
	for _, c := range b[:size] {
		value = value<<8 | uint64(c)
	}
	return major, value, b[size:], true
}
