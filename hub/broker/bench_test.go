package broker

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var benchPayload = string(make([]byte, 256))

// BenchmarkPublish is hub to one client with QoS 1: paho-free, the client acknowledges at once.
func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{1, 100} {
		b.Run(fmt.Sprint("subscribers=", subscribers), func(b *testing.B) {
			r := start(b, newDesk(), Limits{Unacked: 4096})
			var wg sync.WaitGroup
			total := b.N
			for i := range subscribers {
				w := r.subscribed(b, fmt.Sprint(i), "to/all")
				wg.Go(func() {
					_ = w.SetReadDeadline(time.Time{})
					var acks []byte
					for range total {
						id := readPublish(w)
						acks = append(acks, puback(id)...)
						if w.r.Buffered() == 0 {
							if _, err := w.Write(acks); err != nil {
								panic(err)
							}
							acks = acks[:0]
						}
					}
					if _, err := w.Write(acks); err != nil {
						panic(err)
					}
				})
			}
			slowest := func() (n int) {
				r.mu.RLock()
				defer r.mu.RUnlock()
				for _, s := range r.sessions {
					s.mu.Lock()
					n = max(n, s.unacked.count)
					s.mu.Unlock()
				}
				return n
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range total {
				for i%512 == 0 && slowest() > 3000 {
					runtime.Gosched()
				}
				if err := r.Publish("to/all", []byte(benchPayload), 1, false); err != nil {
					b.Fatal(err)
				}
			}
			wg.Wait()
			b.ReportMetric(float64(total*subscribers)/b.Elapsed().Seconds(), "deliveries/s")
			if s := r.Stats(); s.DroppedQueue+s.DroppedUnacked != 0 {
				b.Errorf("dropped: %+v", s)
			}
		})
	}
}

// readPublish reads a QoS 1 PUBLISH and returns its id.
func readPublish(w *wire) uint16 {
	_, _ = w.r.Discard(1)
	n := 0
	for shift := 0; ; shift += 7 {
		c, err := w.r.ReadByte()
		if err != nil {
			panic(err)
		}
		n |= int(c&0x7f) << shift
		if c&0x80 == 0 {
			break
		}
	}
	p, err := w.r.Peek(2)
	if err != nil {
		panic(err)
	}
	topic := int(p[0])<<8 | int(p[1])
	p, err = w.r.Peek(topic + 4)
	if err != nil {
		panic(err)
	}
	id := uint16(p[topic+2])<<8 | uint16(p[topic+3])
	if _, err := w.r.Discard(n); err != nil {
		panic(err)
	}
	return id
}

// BenchmarkReceive is client to hub with QoS 1, with so many publishes under way.
func BenchmarkReceive(b *testing.B) {
	for _, window := range []int{1, 64} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) {
			d := newDesk()
			var n atomic.Int64
			d.receive = func(*Peer, string, []byte) error { n.Add(1); return nil }
			r := start(b, d, Limits{})
			w := r.login(b, hello{client: "c"})
			one := publish(1, "in/00/alice/laptop", benchPayload)
			tokens := make(chan bool, window)
			total := b.N
			acked := make(chan error, 1)
			_ = w.SetReadDeadline(time.Time{})
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				ack := make([]byte, 4)
				for range total {
					if _, err := io.ReadFull(w.r, ack); err != nil {
						acked <- err
						return
					}
					<-tokens
				}
				acked <- nil
			}()
			for range total {
				tokens <- true
				if _, err := w.Write(one); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-acked; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "publishes/s")
		})
	}
}

// TestIdleMemory keeps what an idle terminal costs within the hub's budget of 80 kB each.
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("opens thousands of connections")
	}
	const terminals = 2000
	r := start(t, newDesk(), Limits{})
	use := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // pools are emptied by the second
		runtime.ReadMemStats(&m)
		t.Logf("heap %d, stacks %d, goroutines %d", m.HeapInuse, m.StackInuse, runtime.NumGoroutine())
		return m.HeapInuse + m.StackInuse
	}
	r.alive(t)
	before := use()
	peers := make([]*wire, terminals)
	for i := range peers {
		name := fmt.Sprintf("1400000000-user%d-linux", i)
		w := r.dial(t)
		w.r.Reset(nil)
		w.r = bufioSmall(w)
		w.send(hello{client: name, user: "1400000000/" + name, password: benchPayload + "x", keepalive: 60, willTopic: "in/00/" + name, will: "gone"}.bytes(),
			subscribe(1, 1, "im/1/1400000000/to/"+name, "im/1/1400000000/to/"+name+"/linux", "im/1/1400000000/cfg/"+name))
		w.expect(connackOK)
		w.expect([]byte{0x90, 5, 0, 1, 1, 1, 1})
		if err := r.Publish("im/1/1400000000/to/"+name, []byte(benchPayload), 1, false); err != nil {
			t.Fatal(err)
		}
		w.send(puback(must(w.message())))
		w.send(publish(1, "in/00/"+name, benchPayload))
		w.expect(puback(1))
		peers[i] = w
	}
	after := use()
	each := (after - before) / terminals
	t.Logf("%d bytes each, both ends of the connection", each)
	if each > 40_000 {
		t.Errorf("an idle terminal costs %d bytes", each)
	}
	runtime.KeepAlive(peers)
}

func must(_ byte, id uint16, _, _ string) uint16 { return id }
