// Package hub is the authority: it decides who may log in, numbers the entries
// of every log, hands them to the terminals that are online, and runs the
// methods that boards ask of it.
//
// What arrives from a terminal goes through Receive. Reads (hello, pull, survey,
// beat) are answered at once from the store's readers. Whatever writes (append, call)
// becomes a job in the queue; the writer takes all that has gathered into one
// transaction, and after its commit the emitter hands out answers and pushes in
// the order of the commits. So one fsync serves many, and nobody hears of what
// is not on disk.
//
// A hub keeps no state that is not in the database but who is online (table),
// the replies to a session's last calls (ring) and what bounds abuse (lock). The
// broker and the database are rooms of their own, broker and store.
package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/files"
	"github.com/herald-im/herald/hub/relay"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Config is what a Hub is made of. A zero limit takes the default that its
// comment names.
type Config struct {
	Store string         // a postgres:// URL, or the path of a SQLite file
	App   protocol.AppID // 0: the only one in the database, made if there is none

	MQTT string      // the address to listen on, HOST:PORT
	TLS  *tls.Config // nil: plain TCP
	HTTP string      // the address of /healthz, /metrics and the files of messages; empty: none
	Turn Turn        // STUN and TURN

	Files files.Limits // no Dir, or no HTTP: there are none

	CreateOnLogin        bool          // make an account for whoever has a good UserSig
	TerminalsPerPlatform int           // sessions of one account and platform; 1
	SigMaxExpire         time.Duration // the longest that a UserSig may be good for; ten years
	ClockTolerance       time.Duration // how far in the future a UserSig may have been issued; 10 min
	LockAfterFailures    int           // wrong UserSigs in a minute, per account and address; 10

	MessageBytes   int // of a text or custom message; 8 KiB, which is also the most
	WorkMembers    int // of a group; 200
	PublicMembers  int // 2000
	MeetingMembers int // 6000
	GroupsPerUser  int // 1000
	GroupNameBytes int // 30
	GroupRate      int // messages a second in a group; 40. Below 0: no limit

	FriendsOnly        bool // messages and invitations go between friends alone
	Friends            int  // of an account; 3000
	FriendApplications int  // open ones that an account has received, or sent; 100
	FriendGroups       int  // of an account; 32, which is also the most
	Blacklist          int  // accounts in one; 1000

	PullEntries int // in a range; 256, at most 512
	SyncEntries int // of one log, that a terminal gets after it was away; 100,000

	RevokeWindow time.Duration // in which a sender may take a message back; 2 min

	Broker broker.Limits
	Now    func() time.Time // nil: time.Now

	pause func(context.Context, time.Duration) error // between two tries of the writer
}

func (c *Config) fill() {
	c.TerminalsPerPlatform = cmp.Or(c.TerminalsPerPlatform, 1)
	c.SigMaxExpire = cmp.Or(c.SigMaxExpire, 10*365*24*time.Hour)
	c.ClockTolerance = cmp.Or(c.ClockTolerance, 10*time.Minute)
	c.LockAfterFailures = cmp.Or(c.LockAfterFailures, 10)
	c.MessageBytes = cmp.Or(c.MessageBytes, protocol.MaxTextBytes)
	c.WorkMembers = cmp.Or(c.WorkMembers, 200)
	c.PublicMembers = cmp.Or(c.PublicMembers, 2000)
	c.MeetingMembers = cmp.Or(c.MeetingMembers, 6000)
	c.GroupsPerUser = cmp.Or(c.GroupsPerUser, 1000)
	c.GroupNameBytes = cmp.Or(c.GroupNameBytes, protocol.MaxGroupName)
	c.GroupRate = cmp.Or(c.GroupRate, 40)
	c.Friends = cmp.Or(c.Friends, 3000)
	c.FriendApplications = cmp.Or(c.FriendApplications, 100)
	c.FriendGroups = cmp.Or(c.FriendGroups, protocol.MaxFriendGroups)
	c.Blacklist = cmp.Or(c.Blacklist, 1000)
	c.PullEntries = cmp.Or(c.PullEntries, 256)
	c.SyncEntries = cmp.Or(c.SyncEntries, 100_000)
	c.RevokeWindow = cmp.Or(c.RevokeWindow, 2*time.Minute)
	c.Turn.fill()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.pause == nil {
		c.pause = pause
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wire is what the hub needs of a broker.
type wire interface {
	Publish(topic string, payload []byte, qos byte, retain bool) error
	Disconnect(clientID string, data any) bool
	Confine(username string, may func(filter string) bool)
}

// Hub is a running authority.
type Hub struct {
	cfg      Config
	log      *slog.Logger
	store    *store.Store
	app      protocol.AppID
	era      protocol.Era
	began    time.Time
	ordered  int64 // the last order before the start: it is about nobody here
	wire     wire
	broker   *broker.Broker // nil in tests that have a wire of their own
	web      net.Listener   // nil: none
	relay    *relay.Server  // nil: none
	files    *files.Server  // nil: none
	table    *table
	lock     *lock
	queue    *queue
	seen     *seen
	calls    *protocol.Table[Caller]
	looks    map[string]struct{} // of them those that are run beside the writer
	faces    *faces
	crowds   crowds
	lively   lively
	roomTurn atomic.Uint64 // rises when somebody is told of live rooms
	book     callBook
	metrics  *metricSet

	relayKeys  relayKeys
	complaints *rate.Limiter

	life context.Context // bounds reads; ends when the hub is to stop
	end  context.CancelFunc

	timeouts chan struct{} // an invitation has come that may be the next to time out

	failing atomic.Pointer[error] // what the writer's last try failed with
	broken  chan error            // why the hub cannot go on: takes one
}

// New opens the database and the addresses. Errors say in a sentence what to do
// about them. Run must follow; it closes what New has opened.
func New(cfg Config, log *slog.Logger) (*Hub, error) {
	st, err := store.OpenAsOwner(context.Background(), cfg.Store)
	if err != nil {
		return nil, err
	}
	h, err := newHub(cfg, log, st, nil)
	if err == nil {
		err = h.listen(log)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return h, nil
}

// newHub makes a hub around an open database. It begins an era.
func newHub(cfg Config, log *slog.Logger, st *store.Store, w wire) (*Hub, error) {
	cfg.fill()
	h := &Hub{
		cfg: cfg, log: log.With("room", "hub"), store: st, wire: w,
		table: newTable(), lock: newLock(cfg.LockAfterFailures), queue: newQueue(), seen: newSeen(),
		began: cfg.Now(), faces: newFaces(), lively: lively{rows: bounded[string, time.Time]{size: maxRates}},
		complaints: rate.NewLimiter(10, 50), broken: make(chan error, 1), timeouts: make(chan struct{}, 1),
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.metrics = newMetrics(h)
	if err := h.bind(); err != nil {
		return nil, err
	}
	err := st.Write(context.Background(), func(ctx context.Context, tx *store.Tx) (err error) {
		if h.app, err = EnsureApp(ctx, tx, cfg.App, cfg.Now()); err != nil {
			return err
		}
		if h.ordered, err = tx.LastOrder(ctx); err != nil {
			return err
		}
		h.era, err = tx.BeginEra(ctx, randomUint64(), cfg.Now())
		return err
	})
	return h, err
}

// EnsureApp finds the app to serve, or makes it with its first key where there
// is none. want 0 is the only one there is.
func EnsureApp(ctx context.Context, tx *store.Tx, want protocol.AppID, now time.Time) (protocol.AppID, error) {
	apps, err := tx.Apps(ctx)
	if err != nil {
		return 0, err
	}
	for _, app := range apps {
		if app == want || want == 0 && len(apps) == 1 {
			return app, nil
		}
	}
	if len(apps) > 0 {
		return 0, fmt.Errorf("the database has the apps %v: say which one this hub serves", apps)
	}
	if want == 0 {
		n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
		if err != nil {
			return 0, err
		}
		want = protocol.AppID(1_400_000_000 + n.Uint64()) // in the range of Tencent's
	}
	if err := tx.CreateApp(ctx, want, now); err != nil {
		return 0, err
	}
	return want, tx.AddKey(ctx, want, NewKey("k1", now))
}

// NewKey makes a key: 256 random bits, as 64 hex digits.
func NewKey(id string, now time.Time) store.Key {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return store.Key{ID: id, Secret: hex.EncodeToString(b), Created: now}
}

func randomUint64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.BigEndian.Uint64(b[:])
}

func (h *Hub) listen(log *slog.Logger) error {
	l, err := net.Listen("tcp", h.cfg.MQTT)
	if err != nil {
		return fmt.Errorf("listen for boards (mqtt.listen, --mqtt): %w", err)
	}
	if h.cfg.TLS != nil {
		l = tls.NewListener(l, h.cfg.TLS)
	}
	if h.cfg.HTTP != "" {
		if h.web, err = net.Listen("tcp", h.cfg.HTTP); err != nil {
			return errors.Join(fmt.Errorf("listen for HTTP (http.listen, --http): %w", err), l.Close())
		}
	}
	err = h.openFiles(log)
	if err == nil {
		err = h.openRelay(log)
	}
	if err != nil {
		err = errors.Join(err, l.Close())
		if h.web != nil {
			err = errors.Join(err, h.web.Close())
		}
		return err
	}
	limits := h.cfg.Broker
	if limits.PerUser == 0 { // terminals of several platforms, each with an older connection that is not known to be dead
		limits.PerUser = max(64, 8*h.cfg.TerminalsPerPlatform)
	}
	h.broker, err = broker.New(broker.Config{Listeners: []net.Listener{l}, Log: log, Limits: limits}, h)
	if err != nil {
		err = errors.Join(err, l.Close())
		if h.web != nil {
			err = errors.Join(err, h.web.Close())
		}
		if h.relay != nil {
			err = errors.Join(err, h.relay.Close())
		}
		return err
	}
	h.wire = h.broker
	return nil
}

// App is the sdkAppId that the hub serves.
func (h *Hub) App() protocol.AppID { return h.app }

// MQTTAddr is where boards connect.
func (h *Hub) MQTTAddr() net.Addr { return h.broker.Addrs()[0] }

// HTTPAddr is where /healthz, /metrics and the files of messages are, or nil.
func (h *Hub) HTTPAddr() net.Addr {
	if h.web == nil {
		return nil
	}
	return h.web.Addr()
}

// Run serves until ctx ends, then closes everything. What was received is
// written before it returns. The error is nil unless something broke.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, abort := h.start()
	context.AfterFunc(ctx, func() { // a database that hangs must not hold up the stop
		h.end()
		time.AfterFunc(stopTime, abort)
	})
	var watch sync.WaitGroup
	var why error
	watch.Go(func() {
		select {
		case why = <-h.broken:
			cancel()
		case <-ctx.Done():
		}
	})
	var web sync.WaitGroup
	if h.web != nil {
		server := h.server()
		web.Go(func() {
			if err := server.Serve(h.web); !errors.Is(err, http.ErrServerClosed) {
				h.log.Error("the web server has ended", "err", err)
			}
		})
		defer web.Wait()
		defer server.Close() // a scrape that is cut off comes again
	}
	if h.relay != nil {
		var relaying sync.WaitGroup
		defer relaying.Wait()
		relaying.Go(func() {
			if err := h.relay.Run(ctx); err != nil {
				h.log.Error("the TURN server has ended", "err", err)
			}
		})
	}
	err := errors.Join(h.broker.Run(ctx), stop())
	cancel()
	watch.Wait()
	return errors.Join(why, err)
}

// stopTime is how long a database that hangs can hold up the stop.
const stopTime = 2 * time.Second

// start begins all work but the network's. stop ends it and closes the database;
// nothing must call Receive any more then. abort gives up a transaction that runs.
func (h *Hub) start() (stop func() error, abort func()) {
	ctx, cancel := context.WithCancel(context.Background())
	hard, abort := context.WithCancel(context.Background())
	w := &writer{hub: h, results: make(chan *results, 2), plan: newPlanner(h)}
	e := &emitter{hub: h}
	var writing, others sync.WaitGroup
	writing.Go(func() { w.run(ctx, hard) })
	writing.Go(func() { e.run(w.results) })
	for _, f := range []func(context.Context){h.keepSeen, h.obey, h.expire, h.timeOut, h.keepFiles} {
		others.Go(func() { f(ctx) })
	}
	return func() error {
		cancel()
		defer time.AfterFunc(stopTime, abort).Stop()
		others.Wait() // keepSeen writes once more
		h.queue.close()
		writing.Wait()
		h.end()
		return h.store.Close()
	}, abort
}

// publish encodes a frame and sends it.
func (h *Hub) publish(topic string, f *protocol.Frame, qos byte) {
	b, err := protocol.EncodeFrame(f)
	if err != nil {
		h.log.Error("frame not sent", "topic", topic, "err", err)
		return
	}
	h.send(topic, b, qos)
}

func (h *Hub) send(topic string, b []byte, qos byte) {
	if err := h.wire.Publish(topic, b, qos, false); err != nil && !errors.Is(err, broker.ErrClosed) {
		h.log.Error("frame not sent", "topic", topic, "err", err)
	}
}

// setFailing notes why the database cannot be written, nil when it can.
func (h *Hub) setFailing(err error) {
	if err == nil {
		h.failing.Store(nil)
		return
	}
	h.failing.Store(&err)
}
