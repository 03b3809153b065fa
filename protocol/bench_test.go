package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// benchBody is a message of 256 bytes of text.
func benchBody(tb testing.TB) []byte {
	b, err := Marshal(Message{Elem: ElemText, Text: strings.Repeat("x", 256)})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// benchFrames are the frames that carry messages, n of them of 256 bytes each.
func benchFrames(tb testing.TB, n int) map[string]*Frame {
	body, prefix := benchBody(tb), MsgIDPrefix(1400000001, "door", "main", 7)
	items, entries, acks := make([]Item, n), make([]Entry, n), make([]Ack, n)
	for i := range n {
		items[i] = Item{Kind: ItemC2C, To: "indoor", Body: body}
		entries[i] = Entry{Seq: 70_000 + uint64(i), Era: 3, Time: 1760000000000, Kind: EntryMessage, From: "door", MsgID: MsgID(prefix, 70_000+uint64(i)), Body: body, Term: "main"}
		acks[i] = Ack{Log: "c2c:door:indoor", Seq: 70_000 + uint64(i), Time: 1760000000000}
	}
	return map[string]*Frame{
		"append": {Boot: 1 << 60, Append: &Append{Epoch: 7, Base: 1, First: 70_000, Items: items}},
		"push":   {Exp: 1760000030000, Push: &Push{Logs: []LogEntries{{Log: "c2c:door:indoor", Entries: entries}}}},
		"acks":   {Acks: &Acks{Epoch: 7, First: 70_000, Results: acks}},
	}
}

// Pure frame work. The metric ns/msg tells what a message costs in its batch;
// at 10,000 ns/msg one core does 100,000 messages a second.
func BenchmarkFrame(b *testing.B) {
	for _, n := range []int{1, 256} {
		for _, name := range []string{"append", "acks", "push"} {
			f := benchFrames(b, n)[name]
			wire, err := EncodeFrame(f)
			if err != nil {
				b.Fatal(err)
			}
			perMessage := func(b *testing.B) {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/msg")
			}
			b.Run(fmt.Sprintf("encode/%s-%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := EncodeFrame(f); err != nil {
						b.Fatal(err)
					}
				}
				perMessage(b)
			})
			b.Run(fmt.Sprintf("decode/%s-%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := DecodeFrame(wire); err != nil {
						b.Fatal(err)
					}
				}
				perMessage(b)
			})
		}
	}
}
