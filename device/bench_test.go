package device

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// BenchmarkEnqueue accepts messages of 256 bytes without a link, each on disk
// before its caller goes on.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			cfg := config(b, "127.0.0.1:1")
			cfg.Outbox.MaxItems, cfg.Outbox.MaxBytes = 1<<30, 1<<40
			d := start(b, cfg)
			go func() { _ = d.tryLogin("door") }()
			for d.Status().LoginStatus != protocol.LoggingIn {
				time.Sleep(time.Millisecond)
			}
			text := strings.Repeat("x", 256)
			left := make(chan struct{}, callers)
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for range left {
						if _, err := d.say(text); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for range b.N {
				left <- struct{}{}
			}
			close(left)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkReceive applies messages of 256 bytes, in pushes of 256.
func BenchmarkReceive(b *testing.B) {
	h := newHub(b)
	cfg := config(b, h.addr)
	cfg.Journal.MaxEvents, cfg.Journal.MaxBytes = 1<<30, 1<<40
	d := start(b, cfg)
	d.mustLogin()
	body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: strings.Repeat("x", 256)})
	if err != nil {
		b.Fatal(err)
	}
	cursor := func() int {
		at, _ := d.session.inbox.Cursor(talk)
		return int(at)
	}
	const batch, ahead = 256, 1024
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		var entries []protocol.Entry
		for i := range batch {
			entries = append(entries, protocol.Entry{
				Seq: uint64(n + i + 1), Time: hubTime, Kind: protocol.EntryMessage, From: "indoor", MsgID: protocol.MsgID("abcdefghijklmnop-", uint64(n+i)), Body: body,
			})
		}
		for n-cursor() > ahead {
			time.Sleep(100 * time.Microsecond)
		}
		h.mu.Lock()
		h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: entries}}}})
		h.mu.Unlock()
	}
	for cursor() < b.N {
		time.Sleep(100 * time.Microsecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkList lists a thousand conversations, to the JSON that programs get.
func BenchmarkList(b *testing.B) {
	h := newHub(b)
	d := start(b, config(b, h.addr))
	d.mustLogin()
	const n = 1000
	for i := range n {
		h.write(protocol.C2CLog("door", fmt.Sprintf("friend%d", i)), fmt.Sprintf("friend%d", i), strings.Repeat("x", 256), true)
	}
	table := protocol.NewTable[protocol.Caller]()
	d.Bind(table)
	list := func() int {
		res, err := table.CallJSON(b.Context(), protocol.Caller{}, "im.getConversationList", []byte(`{"count":1000}`))
		if err != nil {
			b.Fatal(err)
		}
		return strings.Count(string(res), `"lastMessage"`)
	}
	for list() < n {
		time.Sleep(time.Millisecond)
	}
	for b.Loop() {
		list()
	}
}
