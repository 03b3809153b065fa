package hub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// served is a whole hub with its broker, and what a board has to know of it.
type served struct {
	t    testing.TB
	hub  *Hub
	log  *logBook
	addr string
	app  protocol.AppID
	key  string
	stop func()
}

func serve(t *testing.T, location string, change ...func(*Config)) *served {
	t.Helper()
	cfg := Config{Store: location, MQTT: "127.0.0.1:0", HTTP: "127.0.0.1:0", CreateOnLogin: true}
	for _, f := range change {
		f(&cfg)
	}
	s := &served{t: t, log: new(logBook)}
	var out io.Writer = s.log
	if testing.Verbose() {
		out = io.MultiWriter(s.log, t.Output())
	}
	h, err := New(cfg, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	keys, err := h.store.Keys(ctx, h.app)
	if err != nil {
		t.Fatal(err)
	}
	s.hub, s.addr, s.app, s.key = h, h.MQTTAddr().String(), h.App(), keys[0].Secret
	return s
}

// dial connects a terminal over MQTT with a UserSig. A refused login is an error.
func (s *served) dial(user, terminal, sig string, why bool) (*term, error) {
	name := protocol.Username(s.app, user)
	if why {
		name = protocol.WhyPrefix + name
	}
	x := &term{
		t: s.t, topic: protocol.TopicIn(s.app, user, terminal), boot: boots.Add(1) + 1<<50, cut: make(chan struct{}),
		more: make(chan struct{}, 1), first: 1, epoch: 1,
		login: &login{user: user, terminal: terminal}, peer: &broker.Peer{ClientID: protocol.ClientID(s.app, user, terminal)},
	}
	will, err := protocol.EncodeFrame(&protocol.Frame{Boot: x.boot, Bye: &protocol.Bye{Boot: x.boot}})
	if err != nil {
		return nil, err
	}
	lost := sync.OnceFunc(func() { close(x.cut) })
	o := paho.NewClientOptions().AddBroker("tcp://"+s.addr).SetProtocolVersion(4).SetClientID(x.peer.ClientID).
		SetUsername(name).SetPassword(sig).SetAutoReconnect(false).SetBinaryWill(x.topic, will, 1, false).
		SetConnectionLostHandler(func(paho.Client, error) { lost() }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			f, err := protocol.DecodeFrame(m.Payload())
			if err != nil {
				s.t.Errorf("the hub sends what cannot be read: %v", err)
				return
			}
			x.deliver(f)
		})
	c := paho.NewClient(o)
	if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		return nil, fmt.Errorf("connect: %w", tok.Error())
	}
	s.t.Cleanup(func() { c.Disconnect(0) })
	x.give = func(b []byte) error {
		tok := c.Publish(x.topic, 1, false, b)
		if !tok.WaitTimeout(patience) {
			return fmt.Errorf("no PUBACK")
		}
		return tok.Error()
	}
	if why {
		return x, nil
	}
	filters := map[string]byte{protocol.TopicTo(s.app, user): 1, protocol.TopicToTerminal(s.app, user, terminal): 1}
	if tok := c.SubscribeMultiple(filters, nil); !tok.WaitTimeout(patience) || tok.Error() != nil {
		return nil, fmt.Errorf("subscribe: %w", tok.Error())
	}
	x.client = c
	return x, nil
}

func (s *served) online(user, terminal string) *term {
	s.t.Helper()
	x, err := s.dial(user, terminal, makeSig(s.t, s.app, user, s.key, time.Now(), time.Hour), false)
	if err != nil {
		s.t.Fatal(err)
	}
	x.hello()
	return x
}

func TestEndToEnd(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s := serve(t, location)
		bob, alice := s.online("bob", "t"), s.online("alice", "t")
		alice.append(items(1, 300)...)
		var got []string
		for len(got) < 300 {
			got = append(got, bob.pushed()...)
		}
		for i, text := range got {
			if text != fmt.Sprintf("c2c:alice:bob:%d m%d", i+1, i+1) {
				t.Fatalf("entry %d is %q", i, text)
			}
		}
		if r := bob.pull(protocol.Pull{Log: "c2c:alice:bob", After: 298}); len(r.Entries) != 2 {
			t.Errorf("%+v", r)
		}
		// The same platform on another terminal.
		other, err := s.dial("bob", "t2", makeSig(t, s.app, "bob", s.key, time.Now(), time.Hour), false)
		if err != nil {
			t.Fatal(err)
		}
		other.hello(func(h *protocol.Hello) { h.Platform = "linux-t" })
		if b := bob.byeFrame(); b.Code != protocol.CodeLoginKickedOffByOther || b.Boot != bob.boot {
			t.Errorf("bye %+v", b)
		}
		<-bob.cut
		// The same terminal once more: a takeover.
		again, err := s.dial("bob", "t2", makeSig(t, s.app, "bob", s.key, time.Now(), time.Hour), false)
		if err != nil {
			t.Fatal(err)
		}
		<-other.cut
		again.hello(func(h *protocol.Hello) { h.Platform = "linux-t" })
		alice.append(c2c("bob", "more"))
		if got := again.pushed(); !reflect.DeepEqual(got, []string{"c2c:alice:bob:301 more"}) {
			t.Errorf("%q", got)
		}
		again.client.Disconnect(100)
		for s.hub.table.online("bob") {
			time.Sleep(time.Millisecond)
		}
		s.web(t)
		s.stop()
		// A new hub on the same database knows everything.
		s = serve(t, location)
		alice, err = s.dial("alice", "t", makeSig(t, s.app, "alice", s.key, time.Now(), time.Hour), false)
		if err != nil {
			t.Fatal(err)
		}
		w, heads := alice.hello()
		if w.LastCseq != 301 || w.Epoch != 1 || len(heads) != 1 || heads[0].Seq != 301 {
			t.Errorf("after a restart: %+v, %v", w, heads)
		}
	})
}

// web looks at the web server of a hub that is well.
func (s *served) web(t *testing.T) {
	get := func(path string) (int, string) {
		res, err := http.Get("http://" + s.hub.HTTPAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	code, body := get("/metrics")
	for _, want := range []string{
		`herald_hub_entries_total 301`, `herald_hub_sessions 1`, `herald_hub_logins_total{code="0"} 4`, `herald_hub_commit_seconds{quantile="0.99"}`,
		`herald_broker_messages_in_total`, `herald_hub_byes_total{code="6208"} 1`, `herald_hub_pulls_total 1`,
	} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics (%d) lacks %s", code, want)
		}
	}
	if code, _ := get("/debug/pprof/"); code != 404 {
		t.Errorf("/debug/pprof/: %d", code)
	}
}

func TestRefusedLoginIsExplained(t *testing.T) {
	s := serve(t, sqlite(t))
	expired := makeSig(t, s.app, "alice", s.key, time.Now().Add(-time.Hour), time.Minute)
	if _, err := s.dial("alice", "t", expired, false); err == nil || !strings.Contains(err.Error(), "not Authorized") {
		t.Errorf("an expired UserSig: %v", err)
	}
	x, err := s.dial("alice", "t", expired, true)
	if err != nil {
		t.Fatal(err)
	}
	if b := x.byeFrame(); b.Code != protocol.CodeSvrAccountUserSigExpired || b.Msg == "" {
		t.Errorf("bye %+v", b)
	}
	<-x.cut
	forged := makeSig(t, s.app, "alice", "another key", time.Now(), time.Hour)
	if _, err := s.dial("alice", "t", forged, false); err == nil || !strings.Contains(err.Error(), "bad user name or password") {
		t.Errorf("a forged UserSig: %v", err)
	}
	if s.log.has(expired[:40]) || s.log.has(s.key) {
		t.Error("a UserSig or the key is in the log")
	}
}

func TestForeignTopicsAreRefusedAndLogged(t *testing.T) {
	s := serve(t, sqlite(t))
	s.online("bob", "t")
	mallory := s.online("mallory", "t")
	tok := mallory.client.SubscribeMultiple(map[string]byte{
		protocol.TopicTo(s.app, "bob"): 1, "#": 1, protocol.TopicConfig(s.app, "mallory"): 1,
	}, nil)
	if !tok.WaitTimeout(patience) {
		t.Fatal("no SUBACK")
	}
	want := map[string]byte{protocol.TopicTo(s.app, "bob"): 0x80, "#": 0x80, protocol.TopicConfig(s.app, "mallory"): 1}
	if got := tok.(*paho.SubscribeToken).Result(); !reflect.DeepEqual(got, want) {
		t.Errorf("SUBACK %v, want %v", got, want)
	}
	if !s.log.has("subscribe denied") {
		t.Error("it is not in the log")
	}
	mallory.client.Publish(protocol.TopicIn(s.app, "bob", "t"), 1, false, []byte{0xa0})
	<-mallory.cut
	if !s.log.has("publish denied") {
		t.Error("it is not in the log")
	}
}

// What a device reports stays for those who come later.
func TestReportedIsKept(t *testing.T) {
	s := serve(t, sqlite(t))
	x := s.online("alice", "t")
	if tok := x.client.Publish(protocol.TopicReported(s.app, "alice"), 1, false, []byte("report")); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	if n := s.hub.broker.Stats().Retained; n != 1 {
		t.Errorf("%d messages are kept", n)
	}
}

func TestShortSigExpiresOverTheWire(t *testing.T) {
	s := serve(t, sqlite(t))
	x, err := s.dial("alice", "t", makeSig(t, s.app, "alice", s.key, time.Now(), time.Second), false)
	if err != nil {
		t.Fatal(err)
	}
	x.hello()
	if b := x.byeFrame(); b.Code != protocol.CodeSvrAccountUserSigExpired || b.Boot != x.boot {
		t.Errorf("bye %+v", b)
	}
	<-x.cut
}

// childHub is what a child process says of its hub.
type childHub struct {
	Addr string
	App  protocol.AppID
	Key  string
}

// child runs a hub until it is killed.
func child() int {
	h, err := New(Config{Store: os.Getenv("HERALD_HUB_CHILD"), MQTT: "127.0.0.1:0", CreateOnLogin: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	keys, err := h.store.Keys(context.Background(), h.app)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(childHub{h.MQTTAddr().String(), h.app, keys[0].Secret})
	}
	if err == nil {
		err = h.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func startChild(t *testing.T, location string) (*served, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HERALD_HUB_CHILD="+location)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var c childHub
	if err == nil {
		err = json.Unmarshal(line, &c)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the child says nothing: %v", err)
	}
	return &served{t: t, addr: c.Addr, app: c.App, key: c.Key}, cmd
}

// A hub that is killed while it writes has either stored a batch and says so, or
// has not: a board that repeats what was not answered ends up with each message
// once, in order.
func TestKilledHubLosesAndDoublesNothing(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		const total, batch, kills = 4000, 50, 4
		acked := uint64(0) // the last item that was answered
		for life := range kills + 1 {
			s, cmd := startChild(t, location)
			kill := func() {
				_ = cmd.Process.Signal(syscall.SIGKILL)
				_ = cmd.Wait()
			}
			if life == 0 {
				s.online("bob", "t").client.Disconnect(0)
			}
			x, err := s.dial("alice", "t", makeSig(t, s.app, "alice", s.key, time.Now(), time.Hour), false)
			if err != nil {
				kill()
				t.Fatal(err)
			}
			if w, _ := x.hello(); w.LastCseq < acked {
				t.Errorf("the hub has %d items, %d were answered", w.LastCseq, acked)
			}
			end := uint64(total)
			if life < kills {
				end = uint64(total / (kills + 1) * (life + 1))
			}
			for x.first = acked + 1; acked < end; {
				var list []protocol.Item
				for n := x.first; n < x.first+batch; n++ {
					list = append(list, c2c("bob", fmt.Sprint(n)))
				}
				for i, a := range x.append(list...) {
					if a.Code != 0 || a.Seq != acked+uint64(i)+1 {
						t.Fatalf("item %d: %+v", acked+uint64(i)+1, a)
					}
				}
				acked += batch
			}
			if life < kills { // in the middle of the next one
				var list []protocol.Item
				for n := acked + 1; n <= acked+batch; n++ {
					list = append(list, c2c("bob", fmt.Sprint(n)))
				}
				b, err := protocol.EncodeFrame(&protocol.Frame{Boot: x.boot, Append: &protocol.Append{Epoch: 1, Base: 1, First: acked + 1, Items: list}})
				if err != nil {
					t.Fatal(err)
				}
				x.client.Publish(x.topic, 1, false, b)
			}
			kill()
		}
		st, err := store.Open(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		apps, err := st.Apps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := st.Log(t.Context(), apps[0], "c2c:alice:bob")
		if err != nil {
			t.Fatal(err)
		}
		es, err := st.Entries(t.Context(), l.ID, 0, l.Head, 1<<20, 1<<30)
		if err != nil || len(es) != total || l.Head != total {
			t.Fatalf("%d entries, head %d, %v", len(es), l.Head, err)
		}
		for i, e := range es {
			if bodyOf(t, e) != fmt.Sprint(i+1) || e.Seq != uint64(i)+1 {
				t.Fatalf("entry %d is %q with seq %d", i, bodyOf(t, e), e.Seq)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s := serve(t, sqlite(t))
	for name, cfg := range map[string]Config{
		"wrong database":  {Store: "postgres://u:geheim@127.0.0.1:1/x?sslmode=disable", MQTT: "127.0.0.1:0"},
		"no directory":    {Store: "/nonexistent/hub.db", MQTT: "127.0.0.1:0"},
		"address in use":  {Store: sqlite(t), MQTT: s.addr},
		"HTTP in use":     {Store: sqlite(t), MQTT: "127.0.0.1:0", HTTP: s.addr},
		"another app":     {Store: s.hub.cfg.Store, App: 4711, MQTT: "127.0.0.1:0"},
		"not an address":  {Store: sqlite(t), MQTT: "nowhere"},
		"limits too high": {Store: sqlite(t), MQTT: "127.0.0.1:0", Broker: broker.Limits{Unacked: 1 << 20}},
	} {
		h, err := New(cfg, log)
		if err == nil {
			t.Errorf("%s: it starts", name)
			_ = h.store.Close()
			continue
		}
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the password is in %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

// A hub whose database was put back to an older state, or worked with by another
// hub, ends: it would go on in an era that boards take for another one.
func TestHubEndsOnAnotherDatabase(t *testing.T) {
	location := databases.Postgres(t)
	h, err := New(Config{Store: location, MQTT: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(t.Context()) }()
	other, err := store.Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = other.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.BeginEra(ctx, 1, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	databases.Restart(t, func() {})
	deadline := time.After(patience)
	for {
		_ = h.write(func(context.Context, *store.Tx) error { return nil })
		select {
		case err := <-done:
			if !errors.Is(err, store.ErrRewound) {
				t.Error(err)
			}
			return
		case <-deadline:
			t.Fatal("the hub goes on")
		default:
		}
	}
}
