package chaos

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/herald-im/herald/protocol"
)

// mostOfHub is what the hub may have in memory at most while strangers are at
// it, in MiB. It is about what its own limits allow to these few.
const mostOfHub = 256

// kinds of frames by their keys, see protocol.Frame.
const (
	kindHello  = 2
	kindAppend = 4
	kindPull   = 7
	kindCall   = 9
	kindBeat   = 11
)

// cbored encodes what no honest terminal would say.
func cbored(t *testing.T, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	must(t, err)
	return b
}

func (s *stranger) frameOf(kind int, body any) []byte {
	s.t.Helper()
	return cbored(s.t, map[int]any{1: s.boot, kind: body})
}

// malformed are payloads that are no frames of the wire, by what is wrong.
func (s *stranger) malformed() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	out := map[string][]byte{
		"empty":              {},
		"over 256 KiB":       s.frameOf(kindCall, map[int]any{1: 1, 2: strings.Repeat("m", 256<<10)}),
		"deep arrays":        bytes.Repeat([]byte{0x81}, 200_000),
		"deep maps":          bytes.Repeat([]byte{0xa1, 0x01}, 100_000),
		"deep tags":          bytes.Repeat([]byte{0xc1}, 200_000),
		"claims 2^64-1 text": {0xa1, 0x0e, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255},
		"claims 2^63 array":  {0xa1, 0x04, 0xa1, 0x04, 0x9b, 128, 0, 0, 0, 0, 0, 0, 0},
		"claims 2^32 map":    {0xa1, 0x02, 0xba, 255, 255, 255, 255},
		"indefinite":         append([]byte{0xa1, 0x02, 0x9f}, bytes.Repeat([]byte{0}, 1000)...),
		"no kind":            cbored(s.t, map[int]any{0: 1}),
		"two kinds":          cbored(s.t, map[int]any{kindCall: map[int]any{1: 1, 2: "x"}, kindBeat: map[int]any{1: 1}}),
		"key twice":          twice("k"),
		"17 eras":            s.frameOf(kindHello, map[int]any{1: 1, 3: "m", 5: make([]protocol.Era, 17)}),
		"a million eras":     append([]byte{0xa1, 0x02, 0xa1, 0x05, 0x9a, 0, 0x0f, 0x42, 0x40}, bytes.Repeat([]byte{0xa0}, 250_000)...),
		"100000 cursors":     s.frameOf(kindBeat, map[int]any{1: 0, 2: 0, 3: make([]struct{}, 100_000)}),
		"1001 cursors":       s.frameOf(kindBeat, map[int]any{1: 0, 2: 0, 3: make([]protocol.Cursor, 1001)}),
		"no items":           s.frameOf(kindAppend, map[int]any{1: 1, 2: 1, 3: 1, 4: []any{}}),
		"513 items":          s.frameOf(kindAppend, map[int]any{1: 1, 2: 1, 3: 1, 4: make([]protocol.Item, 513)}),
		"items from 0":       s.frameOf(kindAppend, map[int]any{1: 1, 2: 0, 3: 0, 4: make([]protocol.Item, 1)}),
		"first before base":  s.frameOf(kindAppend, map[int]any{1: 1, 2: 9, 3: 8, 4: make([]protocol.Item, 1)}),
		"past 2^64":          s.frameOf(kindAppend, map[int]any{1: 1, 2: uint64(math.MaxUint64), 3: uint64(math.MaxUint64), 4: make([]protocol.Item, 2)}),
		"a body over 16 KiB": s.frameOf(kindAppend, map[int]any{1: 1, 2: 1, 3: 1, 4: []any{map[int]any{1: 1, 2: "door", 3: make([]byte, 16<<10)}}}),
		"an epoch of 2^32":   s.frameOf(kindAppend, map[int]any{1: 1 << 32, 2: 1, 3: 1, 4: []any{map[int]any{1: 0}}}),
		"text in a number":   s.frameOf(kindPull, map[int]any{1: "one", 2: 3, 3: "x"}),
		"invalid UTF-8":      s.frameOf(kindPull, map[int]any{1: 1, 2: cbor.RawMessage("\x62\xff\xfe"), 3: 1}),
	}
	for i := range 50 {
		b := make([]byte, rnd.IntN(300))
		for j := range b {
			b[j] = byte(rnd.Uint32())
		}
		out[fmt.Sprintf("garbage %d", i)] = b
	}
	whole := s.frameOf(kindAppend, map[int]any{1: 1, 2: 1, 3: 1, 4: []protocol.Item{text("door", "truncated")}})
	for i := range whole {
		out[fmt.Sprintf("truncated to %d", i)] = whole[:i]
	}
	return out
}

// twice is a frame with the same key two times.
func twice(key string) []byte {
	k, _ := cbor.Marshal(key)
	return append(append(append(append([]byte{0xa2}, k...), 0), k...), 0)
}

// TestMalformedFrames: what is no frame is dropped, logged in few words, and
// hurts neither others nor the connection that it came by.
func TestMalformedFrames(t *testing.T) {
	h := newStreet(t, "")
	talk := h.talk(h.actor("door"), h.actor("indoor"))
	m := h.stranger("mallory", "m")
	m.raw(twice(strings.Repeat("\x00", 100<<10))) // first: the hub writes a few lines only of such things
	for what, payload := range m.malformed() {
		if !m.raw(payload) {
			t.Fatalf("the hub has ended the connection before %q", what)
		}
	}
	for _, f := range []*protocol.Frame{
		{Welcome: &protocol.Welcome{}}, {Acks: &protocol.Acks{Results: []protocol.Ack{{}}}}, {Push: &protocol.Push{}}, {Range: &protocol.Range{}},
		{Reply: &protocol.Reply{}}, {Heads: &protocol.Heads{}}, {Signal: &protocol.Signal{From: "door"}},
	} {
		m.send(f)
	}
	m.append(1, 1, 1, text("door", "still good"))
	talk.goesOn()
	talk.unbroken()
	for line := range strings.Lines(h.hub.Output()) {
		if len(line) > 2000 {
			t.Errorf("a line of %d bytes in the hub's log: %.300s…", len(line), line)
		}
	}
	talk.end()
	_, most := memory(t, h.hub.PID())
	if t.Logf("the hub had %d MiB at most", most); most > mostOfHub {
		t.Errorf("the hub had %d MiB", most)
	}
}

// TestHostileBatches: items that no board sends get an answer each and hurt
// nobody; numbers beyond what a database counts to are refused.
func TestHostileBatches(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { hostileBatches(t, "") })
	t.Run("postgres", func(t *testing.T) { hostileBatches(t, databases.Postgres(t)) })
}

func hostileBatches(t *testing.T, db string) {
	h := newStreet(t, db)
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	m := h.stranger("mallory", "m")

	item := func(kind protocol.ItemKind, to string, body any) protocol.Item {
		return protocol.Item{Kind: kind, To: to, Body: cbored(t, body)}
	}
	fine := map[int]any{1: 1, 2: "fine"}
	deep := cbor.RawMessage(append(bytes.Repeat([]byte{0x81}, 10), 0))
	cases := []struct {
		what string
		item protocol.Item
		want protocol.Code
	}{
		{"a void", protocol.Item{}, 0},
		{"an unknown kind", item(9, "door", fine), protocol.CodeInvalidParameters},
		{"nobody", item(1, "", fine), protocol.CodeSvrMsgToAccountNotFound},
		{"no such account", item(1, "nobody", fine), protocol.CodeSvrMsgToAccountNotFound},
		{"a name with spaces", item(1, "door door", fine), protocol.CodeSvrMsgToAccountNotFound},
		{"a name with a zero", item(1, "door\x00", fine), protocol.CodeSvrMsgToAccountNotFound},
		{"a topic", item(1, "door/+", fine), protocol.CodeSvrMsgToAccountNotFound},
		{"33 bytes", item(1, strings.Repeat("d", 33), fine), protocol.CodeSvrMsgToAccountNotFound},
		{"SQL", item(1, "'; DROP TABLE users; --", fine), protocol.CodeSvrMsgToAccountNotFound},
		{"a group of SQL", item(2, `x'); DROP TABLE entries; --`, fine), protocol.CodeSvrGroupNotFound},
		{"a group with a zero", item(2, "x\x00", fine), protocol.CodeSvrGroupNotFound},
		{"a strange priority", protocol.Item{Kind: 2, To: "g", Priority: 9, Body: cbored(t, fine)}, protocol.CodeInvalidParameters},
		{"no body", protocol.Item{Kind: 1, To: "door"}, protocol.CodeInvalidMsgElem},
		{"no message", item(1, "door", 42), protocol.CodeInvalidMsgElem},
		{"a body of 11 levels", item(1, "door", map[int]any{1: 1, 2: "deep", 99: deep}), protocol.CodeInvalidMsgElem},
		{"a long key twice", protocol.Item{Kind: 1, To: "door", Body: twice(strings.Repeat("\x00", 7<<10))}, protocol.CodeInvalidMsgElem},
		{"8193 bytes", text("door", strings.Repeat("x", 8193)), protocol.CodeSvrBodySizeLimit},
		{"8192 bytes", text("door", strings.Repeat("x", 8192)), 0},
		{"no text", text("door", ""), 0},
		{"a zero", text("door", "a\x00b"), 0},
		{"quotes and breaks", text("door", "'\"\\\r\n\u2028\x1b[31m"), 0},
		{"an element to come", item(1, "door", map[int]any{1: 77, 99: "later"}), 0},
		{"oneself", text("mallory", "to myself"), 0},
		{"somebody's id", protocol.Item{Kind: 1, To: "door", IDEpoch: math.MaxUint32, Body: cbored(t, fine)}, 0},
	}
	var items []protocol.Item
	for _, c := range cases {
		items = append(items, c.item)
	}
	for i, ack := range m.append(1, 1, 1, items...) {
		if ack.Code != cases[i].want || len(ack.Msg) > 200 {
			t.Errorf("%s: code %d (%.200s), want %d", cases[i].what, ack.Code, ack.Msg, cases[i].want)
		}
	}
	door.await("what mallory may write", func(ev []event) bool {
		var got []string
		for _, e := range ev {
			if e.sender() == "mallory" && e.str("text") != "fine" {
				got = append(got, e.str("text"))
			}
		}
		return len(got) == 4 && got[2] == "a\x00b" && got[3] == "'\"\\\r\n\u2028\x1b[31m"
	})
	talk.goesOn()

	for i, n := range []uint64{1 << 63, math.MaxUint64 - 1, math.MaxInt64, math.MaxInt64 - 1} {
		m.raw(m.frameOf(kindAppend, map[int]any{1: 10 * (i + 1), 2: n, 3: n, 4: []protocol.Item{text("door", "high")}}))
		again := h.stranger("mallory", "m") // in the place of the first
		if acks := again.append(uint32(10*(i+1)+1), 1, 1, text("mallory", "low")); acks[0].Code != 0 {
			t.Errorf("after number %d: %+v", n, acks[0])
		}
		m = again
	}
	talk.goesOn()
	talk.unbroken()
	talk.end()
}
