package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

func unhex(tb testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// What of CBOR, and of frames, is refused.
func TestDecodeFrameRefuses(t *testing.T) {
	deep := func(n int) string { return "a1 09 a3 01 01 02 61 78 03" + strings.Repeat("81", n) + "01" }
	for name, c := range map[string]struct{ hex, says string }{
		"nothing":                      {"", "EOF"},
		"null":                         {"f6", "exactly one kind"},
		"undefined":                    {"f7", "exactly one kind"},
		"no map":                       {"80", "array"},
		"a number":                     {"01", "integer"},
		"no kind":                      {"a0", "exactly one kind"},
		"only exp and boot":            {"a2 00 01 01 01", "exactly one kind"},
		"a kind that is null":          {"a1 0e f6", "exactly one kind"},
		"a kind of a later version":    {"a1 18 63 a0", "exactly one kind"},
		"two kinds":                    {"a2 0d a0 0e a0", "exactly one kind"},
		"a kind that is no map":        {"a1 0e 80", "array"},
		"cut short":                    {"a1 0e", "EOF"},
		"bytes behind it":              {"a1 0e a0 00", "extraneous"},
		"a second frame behind it":     {"a1 0e a0 a1 0e a0", "extraneous"},
		"map of indefinite length":     {"bf 0e a0 ff", "indefinite"},
		"array of indefinite length":   {"a1 06 a1 01 9f ff", "indefinite"},
		"text of indefinite length":    {"a1 0e a1 03 7f 61 61 ff", "indefinite"},
		"a tag":                        {"a1 0e c1 a0", "tag"},
		"a tag in a body":              {"a1 09 a3 01 01 02 61 78 03 c0 60", "tag"},
		"a tag around all":             {"d9d9f7 a1 0e a0", "tag"},
		"a kind twice":                 {"a2 0e a0 0e a0", "duplicate"},
		"a field twice":                {"a1 0e a2 01 01 01 02", "duplicate"},
		"an unknown key twice":         {"a1 0e a2 18 63 01 18 63 02", "duplicate"},
		"a key twice in two spellings": {"a1 0e a2 01 01 18 01 02", "duplicate"},
		"reserved length":              {"a1 0e bc", "invalid additional information"},
		"text that is not UTF-8":       {"a1 0e a1 03 61 ff", "UTF-8"},
		"a number for a text":          {"a1 0e a1 03 01", "integer"},
		"bytes for a text":             {"a1 0e a1 03 41 61", "byte string"},
		"a negative boot":              {"a1 0e a1 01 20", "negative"},
		"a code over int32":            {"a1 0e a1 02 1a 80000000", "overflow"},
		"a kind of item over uint8":    {"a1 04 a4 01 01 02 01 03 01 04 81 a1 01 19 0100", "overflow"},
		"a float for a number":         {"a1 0e a1 01 f9 3c00", "primitives"},
		"a key that is an array":       {"a1 80 a0", "map key"},
		"17 levels":                    {deep(15), "max nested level"},
		"4097 elements":                {"a1 09 a3 01 01 02 61 78 03 99 1001" + strings.Repeat("01", 4097), "max number of elements"},
		"257 pairs":                    {"a1 09 a3 01 01 02 61 78 03 b9 0101" + strings.Repeat("01 01", 257), "max number of key-value pairs"},
		"an array of 2^32":             {"a1 06 a1 01 9a ffffffff", "max number of elements"},
		"an array of 2^64-1":           {"a1 06 a1 01 9b ffffffffffffffff", "too large"},
		"a map of 2^64-1":              {"bb ffffffffffffffff", "too large"},
		"a text of 2^63":               {"a1 0e a1 03 7b 8000000000000000", "too large"},
		"a text of 2^31":               {"a1 0e a1 03 7a 80000000", "EOF"},
		"no item":                      {"a1 04 a4 01 01 02 01 03 01 04 80", "append of 0 items"},
		"items are null":               {"a1 04 a4 01 01 02 01 03 01 04 f6", "append of 0 items"},
		"first 0":                      {"a1 04 a4 01 01 02 00 03 00 04 81 a1 01 00", "append numbered from 0"},
		"first below base":             {"a1 04 a4 01 01 02 02 03 01 04 81 a1 01 00", "append numbered from 1 with base 2"},
		"numbers run over":             {"a1 04 a4 01 01 02 01 03 1b ffffffffffffffff 04 81 a1 01 00", "append numbered"},
		"numbers over 2^62":            {"a1 04 a4 01 01 02 01 03 1b 4000000000000001 04 81 a1 01 00", "append numbered"},
		"epoch 0":                      {"a1 04 a4 01 00 02 01 03 01 04 81 a1 01 00", "epoch 0"},
	} {
		f, err := DecodeFrame(unhex(t, c.hex))
		if err == nil || f != nil || !strings.HasPrefix(err.Error(), "decode frame: ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v; want %q", name, f, err, c.says)
		}
	}
}

// What a reader takes, because a newer side may send it.
func TestDecodeFrameTakes(t *testing.T) {
	for name, c := range map[string]struct {
		hex  string
		want Frame
	}{
		"a bye":                       {"a1 0e a0", Frame{Bye: &Bye{}}},
		"unknown keys":                {"a3 0e a2 01 07 18 63 82 01 02 18 63 a0 20 01", Frame{Bye: &Bye{Boot: 7}}},
		"a text for a key":            {"a2 61 61 01 0e a0", Frame{Bye: &Bye{}}},
		"a text for a key we have":    {"a2 62 3134 a0 0d a0", Frame{Signal: &Signal{}}},
		"keys in any order":           {"a2 0e a2 02 00 01 07 00 05", Frame{Exp: 5, Bye: &Bye{Boot: 7}}},
		"numbers longer than need be": {"a1 18 0e a1 01 1b 0000000000000007", Frame{Bye: &Bye{Boot: 7}}},
		"a field that is null":        {"a1 0e a1 03 f6", Frame{Bye: &Bye{}}},
		"16 levels": {"a1 09 a3 01 01 02 61 78 03" + strings.Repeat("81", 14) + "01",
			Frame{Call: &Call{ID: 1, Method: "x", Body: append(bytes.Repeat([]byte{0x81}, 14), 1)}}},
	} {
		f, err := DecodeFrame(unhex(t, c.hex))
		if err != nil || !reflect.DeepEqual(*f, c.want) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

// A list that is there and empty means something else than none.
func TestEmptyListArrives(t *testing.T) {
	for _, rooms := range []*[]LiveRoom{nil, {}, new([]LiveRoom), {{Group: "lobby", Epoch: 2}}} {
		wire, err := EncodeFrame(&Frame{Signal: &Signal{Rooms: rooms}})
		if err != nil {
			t.Fatal(err)
		}
		f, err := DecodeFrame(wire)
		if err != nil {
			t.Fatal(err)
		}
		got := f.Signal.Rooms
		if (got == nil) != (rooms == nil) || got != nil && len(*got) != len(*rooms) {
			t.Errorf("%v became %v (%x)", rooms, got, wire)
		}
	}
}

func sized(tb testing.TB, n int) []byte {
	b, err := Marshal(strings.Repeat("x", n-3))
	if err != nil || len(b) != n {
		tb.Fatalf("%d bytes, %v", len(b), err)
	}
	return b
}

func times[T any](n int, v T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// Each limit of the wire: what is just within it goes both ways, what is just
// beyond it goes neither.
func TestFrameLimits(t *testing.T) {
	push := func(logs, entries int) *Frame {
		return &Frame{Push: &Push{Logs: times(logs, LogEntries{Log: "user:a", Entries: make([]Entry, entries)})}}
	}
	appended := func(n int, it Item) *Frame {
		return &Frame{Append: &Append{Epoch: 1, Base: 1, First: 1, Items: times(n, it)}}
	}
	item := func(size int) Item { return Item{Kind: ItemC2C, Body: sized(t, size)} }
	for name, f := range map[string]struct{ within, beyond *Frame }{
		"eras of hello":    {&Frame{Hello: &Hello{Eras: make([]Era, MaxEras)}}, &Frame{Hello: &Hello{Eras: make([]Era, MaxEras+1)}}},
		"eras of welcome":  {&Frame{Welcome: &Welcome{Eras: make([]Era, MaxEras)}}, &Frame{Welcome: &Welcome{Eras: make([]Era, MaxEras+1)}}},
		"items":            {appended(MaxBatchItems, Item{}), appended(MaxBatchItems+1, Item{})},
		"no items":         {appended(1, Item{}), appended(0, Item{})},
		"body of an item":  {appended(1, item(MaxBodyBytes)), appended(1, item(MaxBodyBytes+1))},
		"bodies":           {appended(8, item(MaxBodyBytes)), appended(9, item(MaxBodyBytes))},
		"results":          {&Frame{Acks: &Acks{Results: make([]Ack, MaxBatchItems)}}, &Frame{Acks: &Acks{Results: make([]Ack, MaxBatchItems+1)}}},
		"entries, one log": {push(1, MaxPushEntries), push(1, MaxPushEntries+1)},
		"entries, logs":    {push(MaxPushEntries, 1), push(MaxPushEntries+1, 1)},
		"body of an entry": {
			&Frame{Push: &Push{Logs: []LogEntries{{Entries: []Entry{{Body: sized(t, MaxBodyBytes)}}}}}},
			&Frame{Push: &Push{Logs: []LogEntries{{Entries: []Entry{{Body: sized(t, MaxBodyBytes+1)}}}}}},
		},
		"entries of a range": {&Frame{Range: &Range{Entries: make([]Entry, MaxPushEntries)}}, &Frame{Range: &Range{Entries: make([]Entry, MaxPushEntries+1)}}},
		"cursors":            {&Frame{Beat: &Beat{Moved: make([]Cursor, MaxHeads)}}, &Frame{Beat: &Beat{Moved: make([]Cursor, MaxHeads+1)}}},
		"heads":              {&Frame{Heads: &Heads{Items: make([]Head, MaxHeads)}}, &Frame{Heads: &Heads{Items: make([]Head, MaxHeads+1)}}},
		"body of a signal":   {&Frame{Signal: &Signal{Body: sized(t, MaxBodyBytes)}}, &Frame{Signal: &Signal{Body: sized(t, MaxBodyBytes+1)}}},
		"kinds":              {&Frame{Bye: &Bye{}}, &Frame{Bye: &Bye{}, Beat: &Beat{}}},
		"bytes": {
			&Frame{Reply: &Reply{Body: sized5(t, MaxFrameBytes-6)}},
			&Frame{Reply: &Reply{Body: sized5(t, MaxFrameBytes-5)}},
		},
	} {
		wire, err := EncodeFrame(f.within)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := DecodeFrame(wire)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again, err := EncodeFrame(back); err != nil || !bytes.Equal(again, wire) {
			t.Errorf("%s: not the same again, %v", name, err)
		}
		if _, err := EncodeFrame(f.beyond); err == nil || !strings.HasPrefix(err.Error(), "encode frame: ") {
			t.Errorf("%s: encoded beyond the limit: %v", name, err)
		}
		if wire, err = encMode.Marshal(f.beyond); err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeFrame(wire); err == nil {
			t.Errorf("%s: decoded beyond the limit", name)
		}
	}
	if wire, err := EncodeFrame(&Frame{Reply: &Reply{Body: sized5(t, MaxFrameBytes-6)}}); err != nil || len(wire) != MaxFrameBytes {
		t.Errorf("the largest frame has %d bytes, %v", len(wire), err)
	}
}

// sized5 is like sized, for texts whose length takes four bytes.
func sized5(tb testing.TB, n int) []byte {
	b, err := Marshal(strings.Repeat("x", n-5))
	if err != nil || len(b) != n {
		tb.Fatalf("%d bytes, %v", len(b), err)
	}
	return b
}

// decodeCost is what a decode allocates, in bytes.
func decodeCost(wire []byte) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := DecodeFrame(wire)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// A stranger's frame costs at most some times its own size, whatever it claims
// or nests.
func TestHostileFramesCostLittle(t *testing.T) {
	// Logs of entries of one byte each: without a limit on the sum every one of
	// them becomes a struct of over a hundred bytes.
	nested := unhex(t, "a1 06 a1 01 98 3f")
	for range 63 {
		nested = append(append(nested, unhex(t, "a1 02 99 1000")...), bytes.Repeat([]byte{0xa0}, 4096)...)
	}
	if len(nested) > MaxFrameBytes || len(nested) < MaxFrameBytes-8192 {
		t.Fatalf("%d bytes", len(nested))
	}
	within := unhex(t, "a1 06 a1 01 81 a1 02 99 1000")
	within = append(within, bytes.Repeat([]byte{0xa0}, 4096)...)
	many := unhex(t, "a1 0e a2 03 60 04 b8 ff")
	for i := range 255 {
		many = append(many, unhex(t, fmt.Sprintf("19 %04x 80", i+256))...)
	}
	for name, c := range map[string]struct {
		wire []byte
		most uint64
	}{
		"array of 2^32":        {unhex(t, "a1 06 a1 01 9a ffffffff"), 16 << 10},
		"array of 4096, empty": {unhex(t, "a1 06 a1 01 99 1000"), 16 << 10},
		"text of 2^62":         {unhex(t, "a1 0e a1 03 7b 4000000000000000"), 16 << 10},
		"map of 2^32":          {unhex(t, "ba ffffffff"), 16 << 10},
		"nested entries":       {nested, 16 << 10},
		"4096 entries":         {within, 1 << 20},
		"unknown keys":         {many, 64 << 10},
		"257 KB":               {make([]byte, MaxFrameBytes+1), 16 << 10},
		"nesting":              {append(unhex(t, "a1 0e"), bytes.Repeat([]byte{0x81}, MaxFrameBytes-2)...), 16 << 10},
		"tags":                 {bytes.Repeat([]byte{0xc1}, MaxFrameBytes), 16 << 10},
	} {
		cost, err := decodeCost(c.wire)
		if cost > c.most {
			t.Errorf("%s: %d bytes for %d (%v)", name, cost, len(c.wire), err)
		}
	}
}

// An honest frame is far from the limit on elements, long lists in its bodies included.
func TestLongTipsPass(t *testing.T) {
	users := make([]string, 100)
	for i := range users {
		users[i] = fmt.Sprintf("u%03d", i)
	}
	tip, err := Marshal(Tip{Kind: TipJoined, Users: users})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := EncodeFrame(&Frame{Push: &Push{Logs: []LogEntries{{Log: "group:g", Entries: times(MaxPushEntries-120, Entry{Seq: 1, Body: tip})}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFrame(wire); err != nil {
		t.Error(err)
	}
}

func TestDecodeMessage(t *testing.T) {
	message := func(m Message) []byte {
		b, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	latin, umlauts := strings.Repeat("x", MaxTextBytes), strings.Repeat("ä", MaxTextBytes/2)
	for name, c := range map[string]struct {
		body []byte
		code Code
	}{
		"text":                  {message(Message{Elem: ElemText, Text: "hello"}), 0},
		"8192 bytes":            {message(Message{Elem: ElemText, Text: latin}), 0},
		"8192 bytes, umlauts":   {message(Message{Elem: ElemText, Text: umlauts}), 0},
		"8193 bytes":            {message(Message{Elem: ElemText, Text: latin + "x"}), CodeSvrBodySizeLimit},
		"8193 bytes, umlauts":   {message(Message{Elem: ElemText, Text: umlauts + "x"}), CodeSvrBodySizeLimit},
		"custom, 8192":          {message(Message{Elem: ElemCustom, Custom: latin}), 0},
		"custom, 8193":          {message(Message{Elem: ElemCustom, Custom: latin + "x"}), CodeSvrBodySizeLimit},
		"both, over the body":   {message(Message{Elem: ElemText, Text: latin, Custom: latin}), CodeSvrBodySizeLimit},
		"a body of 16 KB + 1":   {sized(t, MaxBodyBytes+1), CodeSvrBodySizeLimit},
		"an element to come":    {unhex(t, "a2 01 09 18 63 82 01 02"), 0},
		"no element":            {unhex(t, "a1 02 61 78"), CodeInvalidMsgElem},
		"element 0":             {unhex(t, "a2 01 00 02 61 78"), CodeInvalidMsgElem},
		"nothing":               {nil, CodeInvalidMsgElem},
		"null":                  {unhex(t, "f6"), CodeInvalidMsgElem},
		"no map":                {unhex(t, "01"), CodeInvalidMsgElem},
		"bytes behind it":       {append(message(Message{Elem: ElemText}), 0), CodeInvalidMsgElem},
		"cut short":             {unhex(t, "a2 01 01 02 65 78"), CodeInvalidMsgElem},
		"a tag":                 {unhex(t, "c0 a1 01 01"), CodeInvalidMsgElem},
		"text that is not UTF8": {unhex(t, "a2 01 01 02 61 ff"), CodeInvalidMsgElem},
		"a field of 7 levels":   {unhex(t, "a2 01 01 18 63"+strings.Repeat("81", 7)+"00"), 0},
		"a field of 8 levels":   {unhex(t, "a2 01 01 18 63"+strings.Repeat("81", 8)+"00"), CodeInvalidMsgElem},
		"a long key twice":      {append(append(append(unhex(t, "a2"), sized(t, 8000)...), 1), append(sized(t, 8000), 1)...), CodeInvalidMsgElem},
	} {
		m, err := DecodeMessage(c.body)
		if c.code == 0 {
			if err != nil || m.Elem == 0 || m.Text != "" && !bytes.Equal(message(m), c.body) {
				t.Errorf("%s: %.60v, %v", name, m, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || len(e.Msg) > 200 {
			t.Errorf("%s: %.300v; want code %d", name, err, c.code)
		}
	}
}

// Cursors that move must move the digest, also where two move at once: that is
// all that tells a terminal of what it has missed.
func TestDigestTellsMoves(t *testing.T) {
	if got := CursorHash("c2c:door:indoor", 42); got != 0x0aa46f5a4b799201 {
		t.Errorf("%#x: other programs of version 1 make another digest", got)
	}
	for i := range 200 {
		for _, seq := range []uint64{0, 1, 10, 255, 256, 1 << 32} {
			a, b := fmt.Sprintf("c2c:door:u%d", i), fmt.Sprintf("group:g%d", i)
			was := CursorHash(a, seq) + CursorHash(b, seq)
			for _, now := range []uint64{
				CursorHash(a, seq+1) + CursorHash(b, seq), CursorHash(a, seq+1) + CursorHash(b, seq+1),
				CursorHash(a, seq+2) + CursorHash(b, seq+1), CursorHash(a, seq+3) + CursorHash(b, seq+3), CursorHash(a, seq+256) + CursorHash(b, seq+256),
			} {
				if now == was {
					t.Fatalf("%s and %s at %d: the digest stays when they move", a, b, seq)
				}
			}
		}
	}
}

// The scan that bounds a frame's elements never refuses what is not well-formed
// by itself: that is the decoder's, with its own words.
func TestElementsOfBrokenFrames(t *testing.T) {
	for _, s := range []string{"", "9f", "1c", "5a", "5affffffff", "9affffffff", "c1", "a1", "a1 06", "ff", "9b ffffffffffffffff", strings.Repeat("81", 40)} {
		if err := checkElements(unhex(t, s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if cbor.Wellformed(unhex(t, s)) == nil && !strings.HasPrefix(s, "9f") {
			t.Errorf("%s is well-formed", s)
		}
	}
	if err := checkElements(append(unhex(t, "99 2001"), make([]byte, 0x2001)...)); err == nil {
		t.Error("8193 elements passed")
	}
	if err := checkElements(append(unhex(t, "99 2000"), make([]byte, 0x2000)...)); err != nil {
		t.Error(err)
	}
}

// What the hub takes as a message's body fits into a push, which has more
// around it: else it would be lost on its way.
func TestDeepestBodyFitsIntoPush(t *testing.T) {
	body := unhex(t, "a2 01 01 18 63"+strings.Repeat("81", maxBodyDepth-1)+"00")
	if _, err := DecodeMessage(body); err != nil {
		t.Fatal(err)
	}
	wire, err := EncodeFrame(&Frame{Push: &Push{Logs: []LogEntries{{Log: "user:a", Entries: []Entry{{Seq: 1, Body: body}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFrame(wire); err != nil {
		t.Error(err)
	}
}

// Of two different epochs exactly one is after the other, and there is always a
// next one.
func TestEpochAfter(t *testing.T) {
	for _, c := range [][2]uint32{
		{1, 0}, {1 << 31, 0}, {1<<32 - 1, 0}, {2, 1}, {1025, 1}, {1 << 31, 1}, {1<<31 + 7, 7}, {1, 1<<32 - 1}, {1, 1<<32 - 1000}, {5, 1<<31 + 6}, {1<<32 - 1, 1<<32 - 2},
	} {
		if !EpochAfter(c[0], c[1]) || EpochAfter(c[1], c[0]) || EpochAfter(c[0], c[0]) {
			t.Errorf("%d is after %d: %v; the other way: %v", c[0], c[1], EpochAfter(c[0], c[1]), EpochAfter(c[1], c[0]))
		}
	}
}
