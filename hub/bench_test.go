package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/protocol"
)

// sink is a wire that throws away what it is given, but for answers to appends.
type sink struct {
	mu   sync.Mutex
	acks map[string]chan int // by topic
}

func (s *sink) Publish(topic string, payload []byte, _ byte, _ bool) error {
	s.mu.Lock()
	c := s.acks[topic]
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	f, err := protocol.DecodeFrame(payload)
	if err == nil && f.Acks != nil {
		c <- len(f.Acks.Results)
	}
	return err
}

func (*sink) Confine(string, func(string) bool) {}

func (*sink) Disconnect(string, any) bool { return false }

// BenchmarkAppend is messages of 256 bytes, in batches, from frame to answer,
// each pushed to its receiver.
func BenchmarkAppend(b *testing.B) {
	for _, senders := range []int{1, 4, 50} {
		for _, batch := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("senders=%d/batch=%d", senders, batch), func(b *testing.B) {
				benchmarkAppend(b, sqlite(b), senders, batch)
			})
		}
	}
}

func BenchmarkAppendPostgres(b *testing.B) { benchmarkAppend(b, databases.Postgres(b), 4, 256) }

func benchmarkAppend(b *testing.B, location string, senders, batch int) {
	r := newRig(b, location)
	wire := &sink{acks: make(map[string]chan int)}
	var terms []*term
	for i := range senders {
		r.online(fmt.Sprint("to", i), "t")
		x := r.online(fmt.Sprint("from", i), "t")
		wire.acks[protocol.TopicToTerminal(r.app, x.login.user, "t")] = make(chan int, 1)
		terms = append(terms, x)
	}
	r.wire = wire
	body := text(strings.Repeat("x", 256))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, x := range terms {
		rounds := b.N / senders
		if i < b.N%senders {
			rounds++
		}
		wg.Go(func() {
			answers := wire.acks[protocol.TopicToTerminal(r.app, x.login.user, "t")]
			items := make([]protocol.Item, batch)
			for n := range items {
				items[n] = protocol.Item{Kind: protocol.ItemC2C, To: fmt.Sprint("to", i), Body: body}
			}
			for range rounds {
				x.batch(items...) // encodes, and has the hub decode
				if n := <-answers; n != batch {
					b.Errorf("%d answers", n)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkFanOut is a message to a group whose members are all online.
func BenchmarkFanOut(b *testing.B) {
	const members = 500
	r := newRig(b, sqlite(b))
	owner := r.online("owner", "t")
	owner.mustCall("im.createGroup", protocol.CreateGroupRequest{GroupType: protocol.GroupMeeting, GroupID: "g", GroupName: "g"})
	for i := range members {
		r.online(fmt.Sprint("m", i), "t").mustCall("im.joinGroup", protocol.JoinGroupRequest{GroupID: "g"})
	}
	wire := &sink{acks: map[string]chan int{protocol.TopicToTerminal(r.app, "owner", "t"): make(chan int, 1)}}
	answers := wire.acks[protocol.TopicToTerminal(r.app, "owner", "t")]
	r.settle()
	r.wire = wire
	item := toGroup("g", strings.Repeat("x", 256))
	b.ResetTimer()
	for range b.N {
		owner.batch(item)
		<-answers
	}
	b.ReportMetric(float64(b.N*members)/b.Elapsed().Seconds(), "pushes/s")
}

// BenchmarkHello is a terminal that comes back, with 100 logs.
func BenchmarkHello(b *testing.B) {
	r := newRig(b, sqlite(b))
	x := r.online("alice", "t")
	for i := range 100 {
		r.connect(fmt.Sprint("u", i), "t")
		x.append(c2c(fmt.Sprint("u", i), "x"))
	}
	r.wire = &sink{}
	f, err := protocol.EncodeFrame(&protocol.Frame{Boot: x.boot, Hello: &protocol.Hello{Version: protocol.Version, Platform: "linux"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := r.Receive(x.peer, x.topic, f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleSession is what a terminal costs that only waits, without its
// connection.
func BenchmarkIdleSession(b *testing.B) {
	t := newTable()
	b.ReportAllocs()
	for i := range b.N {
		l := &login{user: fmt.Sprint("user", i), terminal: "t", clientID: fmt.Sprint("1400000000-user", i, "-t")}
		p := &broker.Peer{Data: l}
		t.heard(p.Data.(*login))
		t.enter(l, uint64(i)+1, "linux", 1)
	}
}

// A conversation of a million messages: what a page of 20, a message by its id,
// a forward pull and a survey take, from frame to frame.
func BenchmarkMillion(b *testing.B) { benchmarkMillion(b, sqlite(b)) }

func BenchmarkMillionPostgres(b *testing.B) { benchmarkMillion(b, databases.Postgres(b)) }

func benchmarkMillion(b *testing.B, location string) {
	const log, n = "c2c:alice:bob", 1_000_000
	r := newRig(b, location)
	r.online("alice", "t")
	bob := r.online("bob", "t")
	r.fill(log, n, protocol.EntryMessage, 3)
	bob.append(readUpTo(log, n-500), deleteOf(log, n-3, n/2+7, 100))
	bob.quiet()
	for _, c := range []struct {
		name string
		f    func(i int)
	}{
		{"newest page", func(int) { bob.pull(protocol.Pull{Log: log, Before: 1 << 62, Limit: 20}) }},
		{"page anywhere", func(i int) { bob.pull(protocol.Pull{Log: log, Before: 1000 + uint64(i)*7919%(n-1000), Limit: 20}) }},
		{"page of 256", func(i int) { bob.pull(protocol.Pull{Log: log, Before: 1000 + uint64(i)*7919%(n-1000)}) }},
		{"message by id", func(i int) { bob.pull(protocol.Pull{Log: log, MsgID: fmt.Sprintf("aaaaaaaaaaaaaaaa-%d", 1+i*7919%n)}) }},
		{"survey", func(int) { bob.survey(protocol.SurveyItem{Log: log}) }},
		{"survey all unread", func(int) { bob.survey(protocol.SurveyItem{Log: log, Before: n - 500}, protocol.SurveyItem{Log: log}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			times := make([]time.Duration, 0, b.N)
			for i := range b.N {
				start := time.Now()
				c.f(i)
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// BenchmarkMarks is readers who mark each message, from frame to answer.
func BenchmarkMarks(b *testing.B) {
	r := newRig(b, sqlite(b))
	r.online("alice", "t")
	bob := r.online("bob", "t")
	r.fill("c2c:alice:bob", b.N*64+64, protocol.EntryMessage, 1<<40)
	wire := &sink{acks: map[string]chan int{protocol.TopicToTerminal(r.app, "bob", "t"): make(chan int, 1)}}
	r.settle()
	r.wire = wire
	next := uint64(0)
	b.ResetTimer()
	for range b.N {
		var items []protocol.Item
		for range 64 {
			next++
			items = append(items, readUpTo("c2c:alice:bob", next))
		}
		bob.batch(items...)
		<-wire.acks[protocol.TopicToTerminal(r.app, "bob", "t")]
	}
	b.ReportMetric(float64(b.N*64)/b.Elapsed().Seconds(), "marks/s")
}
