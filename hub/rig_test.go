package hub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/hub/store/storetest"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

var databases storetest.Databases

func TestMain(m *testing.M) {
	if os.Getenv("HERALD_HUB_CHILD") != "" {
		os.Exit(child())
	}
	code := m.Run()
	databases.Stop()
	os.Exit(code)
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// rig is a hub whose broker is a few lines of test, so that thousands of frames
// take no time. What goes over the network is in wire_test.go.
type rig struct {
	*Hub
	t    testing.TB
	log  *logBook
	stop func()

	mu    sync.Mutex
	terms map[string]*term // by client id
	live  map[string][]*term
	gone  []string // client ids that the hub has disconnected
}

// logBook keeps what was logged.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// newRig starts a hub on a database.
func newRig(t testing.TB, location string, change ...func(*Config)) *rig {
	t.Helper()
	st, err := store.OpenAsOwner(context.Background(), location)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, log: new(logBook), terms: make(map[string]*term), live: make(map[string][]*term)}
	cfg := Config{CreateOnLogin: true, GroupRate: -1}
	for _, f := range change {
		f(&cfg)
	}
	var out io.Writer = r.log
	if testing.Verbose() {
		out = io.MultiWriter(r.log, t.Output())
	}
	if _, bench := t.(*testing.B); bench {
		out = io.Discard
	}
	r.Hub, err = newHub(cfg, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})), st, r)
	if err != nil {
		t.Fatal(err)
	}
	stop, _ := r.start()
	r.stop = sync.OnceFunc(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func sqlite(t testing.TB) string { return filepath.Join(t.TempDir(), "hub.db") }

// each runs f with a hub on each of the databases.
func each(t *testing.T, f func(t *testing.T, r *rig)) {
	databases.Each(t, func(t *testing.T, location string) { f(t, newRig(t, location)) })
}

// Publish is the wire's.
func (r *rig) Publish(topic string, payload []byte, _ byte, _ bool) error {
	f, err := protocol.DecodeFrame(payload)
	if err != nil {
		r.t.Errorf("the hub sends what cannot be read: %v", err)
		return nil
	}
	t := protocol.ParseTopic(topic)
	r.mu.Lock()
	var to []*term
	switch t.Kind {
	case protocol.TopicKindTo:
		for _, x := range r.terms {
			if x.login.user == t.User && (t.Terminal == "" || t.Terminal == x.login.terminal) {
				to = append(to, x)
			}
		}
	case protocol.TopicKindLive:
		to = append(to, r.live[topic]...)
	default:
		r.t.Errorf("the hub publishes to %q", topic)
	}
	r.mu.Unlock()
	for _, x := range to {
		x.deliver(f)
	}
	return nil
}

// Confine is the wire's.
func (r *rig) Confine(username string, may func(string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, terms := range r.live {
		if !may(topic) {
			r.live[topic] = slices.DeleteFunc(slices.Clone(terms), func(x *term) bool { return x.peer.Username == username })
		}
	}
}

// Disconnect is the wire's.
func (r *rig) Disconnect(clientID string, data any) bool {
	r.mu.Lock()
	x := r.terms[clientID]
	if x != nil && x.peer.Data != data {
		x = nil // another one has taken the client id over
	} else {
		delete(r.terms, clientID)
	}
	r.gone = append(r.gone, clientID)
	r.mu.Unlock()
	if x != nil {
		r.Gone(x.peer, nil)
		close(x.cut)
	}
	return x != nil
}

// term is a terminal. Frames to it gather in order.
type term struct {
	r      *rig
	t      testing.TB
	peer   *broker.Peer
	login  *login
	topic  string
	boot   uint64
	cut    chan struct{} // closed when the hub has disconnected it
	give   func([]byte) error
	client paho.Client // nil in a rig

	mu     sync.Mutex
	frames []*protocol.Frame
	more   chan struct{}

	first uint64 // number of the next item
	epoch uint32
}

var boots atomic.Uint64

// connect logs a terminal in, without a hello.
func (r *rig) connect(user, terminal string) *term {
	r.t.Helper()
	id, err := r.Authenticate(broker.Login{
		ClientID: protocol.ClientID(r.app, user, terminal), Username: protocol.Username(r.app, user),
		Password: []byte(r.sig(user)), Remote: "127.0.0.1:4711",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	x := &term{
		r: r, t: r.t, login: id.(*login), topic: protocol.TopicIn(r.app, user, terminal), boot: boots.Add(1) + 1<<40,
		cut: make(chan struct{}), more: make(chan struct{}, 1), first: 1, epoch: 1,
	}
	x.peer = &broker.Peer{ClientID: x.login.clientID, Username: protocol.Username(r.app, user), Remote: "127.0.0.1:4711", Data: id}
	x.give = func(b []byte) error { return r.Receive(x.peer, x.topic, b) }
	r.mu.Lock()
	r.terms[x.peer.ClientID] = x
	r.mu.Unlock()
	return x
}

// online connects a terminal and says hello.
func (r *rig) online(user, terminal string) *term {
	r.t.Helper()
	x := r.connect(user, terminal)
	x.hello()
	return x
}

func (r *rig) sig(user string) string {
	keys, err := r.store.Keys(context.Background(), r.app)
	if err != nil {
		r.t.Fatal(err)
	}
	return makeSig(r.t, r.app, user, keys[0].Secret, r.cfg.Now(), 24*time.Hour)
}

func makeSig(t testing.TB, app protocol.AppID, user, key string, at time.Time, expire time.Duration) string {
	t.Helper()
	sig, err := usersig.Sign(usersig.Claims{AppID: uint32(app), UserID: user, IssuedAt: at, Expire: expire}, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func (x *term) deliver(f *protocol.Frame) {
	x.mu.Lock()
	x.frames = append(x.frames, f)
	x.mu.Unlock()
	select {
	case x.more <- struct{}{}:
	default:
	}
}

// send gives a frame to the hub.
func (x *term) send(f *protocol.Frame) {
	x.t.Helper()
	if f.Boot == 0 {
		f.Boot = x.boot
	}
	b, err := protocol.EncodeFrame(f)
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.give(b); err != nil {
		x.t.Fatal(err)
	}
}

// next is the next frame.
func (x *term) next() *protocol.Frame {
	x.t.Helper()
	late := time.After(patience)
	for {
		x.mu.Lock()
		if len(x.frames) > 0 {
			f := x.frames[0]
			x.frames = x.frames[1:]
			x.mu.Unlock()
			return f
		}
		x.mu.Unlock()
		select {
		case <-x.more:
		case <-late:
			x.t.Fatalf("%s: no frame comes", x.peer.ClientID)
		}
	}
}

// until is the next frame for which f is true; others are dropped.
func (x *term) until(f func(*protocol.Frame) bool) *protocol.Frame {
	x.t.Helper()
	for {
		if got := x.next(); f(got) {
			return got
		}
	}
}

// quiet fails if frames have come. Whatever the hub has committed before has
// been sent: a call that was answered is behind it.
func (x *term) quiet() {
	x.t.Helper()
	x.r.settle()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.frames {
		x.t.Errorf("%s: unexpected %s", x.peer.ClientID, show(f))
	}
	x.frames = nil
}

// settle waits until writer and emitter have done all they were given.
func (r *rig) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Alive(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func show(f *protocol.Frame) string {
	switch {
	case f.Push != nil:
		return fmt.Sprintf("push %+v", *f.Push)
	case f.Bye != nil:
		return fmt.Sprintf("bye %+v", *f.Bye)
	case f.Acks != nil:
		return fmt.Sprintf("acks %+v", *f.Acks)
	case f.Heads != nil:
		return fmt.Sprintf("heads %+v", *f.Heads)
	case f.Signal != nil:
		return fmt.Sprintf("signal %+v", *f.Signal)
	case f.Reply != nil:
		return fmt.Sprintf("reply %+v", *f.Reply)
	case f.Welcome != nil:
		return fmt.Sprintf("welcome %+v", *f.Welcome)
	}
	return fmt.Sprintf("%+v", *f)
}

// hello says hello and takes the welcome and its heads.
func (x *term) hello(change ...func(*protocol.Hello)) (*protocol.Welcome, []protocol.Head) {
	x.t.Helper()
	h := &protocol.Hello{Version: protocol.Version, Program: "test", Platform: "linux-" + x.login.terminal, Epoch: 1}
	for _, f := range change {
		f(h)
	}
	x.send(&protocol.Frame{Hello: h})
	w := x.until(func(f *protocol.Frame) bool { return f.Welcome != nil }).Welcome
	if w.Boot != x.boot {
		x.t.Errorf("welcome of boot %d, not %d", w.Boot, x.boot)
	}
	var heads []protocol.Head
	for more := w.Heads; more; {
		f := x.until(func(f *protocol.Frame) bool { return f.Heads != nil })
		heads = append(heads, f.Heads.Items...)
		more = f.Heads.More
	}
	return w, heads
}

func text(s string) []byte {
	b, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: s})
	if err != nil {
		panic(err)
	}
	return b
}

func c2c(to, s string) protocol.Item {
	return protocol.Item{Kind: protocol.ItemC2C, To: to, Body: text(s)}
}

func toGroup(id, s string) protocol.Item {
	return protocol.Item{Kind: protocol.ItemGroup, To: id, Body: text(s)}
}

// batch sends items as the next batch and does not wait.
func (x *term) batch(items ...protocol.Item) {
	x.t.Helper()
	x.send(&protocol.Frame{Append: &protocol.Append{Epoch: x.epoch, Base: 1, First: x.first, Items: items}})
	x.first += uint64(len(items))
}

func (x *term) acks() *protocol.Acks {
	x.t.Helper()
	return x.until(func(f *protocol.Frame) bool { return f.Acks != nil || f.Bye != nil }).Acks
}

// append sends items and takes their answers.
func (x *term) append(items ...protocol.Item) []protocol.Ack {
	x.t.Helper()
	first := x.first
	x.batch(items...)
	a := x.acks()
	if a == nil || a.Epoch != x.epoch || a.First != first || len(a.Results) != len(items) {
		x.t.Fatalf("%d items from %d are answered with %+v", len(items), first, a)
	}
	return a.Results
}

var callIDs atomic.Uint64

// call runs a method and returns its code. res may be nil.
func (x *term) call(method string, req, res any) protocol.Code {
	x.t.Helper()
	body, err := protocol.Marshal(req)
	if err != nil {
		x.t.Fatal(err)
	}
	id := callIDs.Add(1)
	x.send(&protocol.Frame{Call: &protocol.Call{ID: id, Method: method, Body: body}})
	var parts protocol.Parts
	var reply []byte
	f := x.until(func(f *protocol.Frame) bool {
		if f.Reply == nil || f.Reply.ID != id {
			return false
		}
		b, done, err := parts.Add(f.Reply)
		if err != nil {
			x.t.Fatal(err)
		}
		reply = b
		return done
	})
	if f.Reply.Code == 0 && res != nil {
		if err := protocol.Unmarshal(reply, res); err != nil {
			x.t.Fatal(err)
		}
	}
	if f.Reply.Code != 0 && f.Reply.Msg == "" {
		x.t.Errorf("%s: code %d without a sentence", method, f.Reply.Code)
	}
	return f.Reply.Code
}

// mustCall is call with code 0.
func (x *term) mustCall(method string, req any) {
	x.t.Helper()
	if code := x.call(method, req, nil); code != 0 {
		x.t.Fatalf("%s: code %d", method, code)
	}
}

var pullIDs atomic.Uint32

func (x *term) pull(p protocol.Pull) *protocol.Range {
	x.t.Helper()
	p.ID = pullIDs.Add(1)
	x.send(&protocol.Frame{Pull: &p})
	return x.until(func(f *protocol.Frame) bool { return f.Range != nil && f.Range.ID == p.ID }).Range
}

// bye waits for a bye.
func (x *term) byeFrame() *protocol.Bye {
	x.t.Helper()
	return x.until(func(f *protocol.Frame) bool { return f.Bye != nil }).Bye
}

// pushed waits for a push and returns its entries as "log:seq text".
func (x *term) pushed() []string {
	x.t.Helper()
	return entriesOf(x.t, x.until(func(f *protocol.Frame) bool { return f.Push != nil }).Push)
}

func entriesOf(t testing.TB, p *protocol.Push) []string {
	t.Helper()
	var out []string
	for _, l := range p.Logs {
		for i, e := range l.Entries {
			if i > 0 && e.Seq != l.Entries[i-1].Seq+1 {
				t.Errorf("%s: entry %d follows %d in one push", l.Log, e.Seq, l.Entries[i-1].Seq)
			}
			out = append(out, fmt.Sprintf("%s:%d %s", l.Log, e.Seq, bodyOf(t, e)))
		}
	}
	return out
}

func bodyOf(t testing.TB, e protocol.Entry) string {
	t.Helper()
	if e.Kind == protocol.EntryTip {
		var tip protocol.Tip
		if err := protocol.Unmarshal(e.Body, &tip); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("tip %d %s", tip.Kind, strings.Join(tip.Users, " "))
	}
	m, err := protocol.DecodeMessage(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m.Text
}
