// Package device is the account living on the board: it logs in, keeps the
// link to the hub, sends what is queued, applies what comes, and answers the
// methods of the API that concern messages. It knows nothing of cameras or
// sound (room media) and nothing of how programs reach it (room agent).
package device

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Config is what a device is made of.
type Config struct {
	StateDir string
	MinFree  int64 // bytes of disk kept back, see store.DB.Room
	Outbox   outbox.Limits
	Journal  journal.Limits
	Mirror   mirror.Limits
	Files    FileLimits

	HubAddr        string // HOST:PORT of its broker
	HubTLS         bool
	CAFile         string // PEM, for HubTLS; empty: the system's
	ConnectTimeout time.Duration
	KeepAlive      time.Duration
	ReconnectMin   time.Duration // of the waits between attempts, which grow with full jitter
	ReconnectMax   time.Duration
	Beat           time.Duration

	Platform string
	// User and Sig, if given, make the device log in by itself. Sig is asked at
	// each attempt, so that a new ticket on disk is found.
	User string
	Sig  func() (string, error)

	Now      func() time.Time // the board's clock; nil: time.Now
	LogLevel *slog.LevelVar   // what im.init's logLevel sets; nil: it sets nothing
}

// Device is the account's side of the daemon.
type Device struct {
	cfg      Config
	log      *slog.Logger
	db       *store.DB
	journal  *journal.Journal
	moments  moments
	clock    hubClock
	terminal string
	started  time.Time
	timing   timing
	sessions sync.WaitGroup
	begun    chan struct{}
	wake     chan struct{} // do not wait any longer to look for the UserSig
	follower Follower
	files    filing

	groupWishes  listed[groupWish]
	friendWishes listed[friendWish]

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before it. Sessions end with it
	destroyed bool
	taken     bool           // a program has logged out: the configured login is its business now
	pinned    protocol.AppID // by im.init; 0: any
	session   *session       // nil: logged out
	last      *session       // that began; its queue is shown also when it has ended. nil: none yet
	lastErr   *protocol.Error
}

// Open opens the device's state.
func Open(cfg Config, log *slog.Logger) (*Device, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	db, replaced, err := store.Open(store.Options{Dir: cfg.StateDir, MinFree: cfg.MinFree, Log: log})
	if err != nil {
		return nil, err
	}
	d := &Device{cfg: cfg, log: log, db: db, started: time.Now(), timing: usualTiming(), begun: make(chan struct{}), wake: make(chan struct{}, 1)}
	d.clock.board = cfg.Now
	if d.journal, err = journal.Open(db, cfg.Journal); err == nil {
		err = d.loadState()
	}
	if err == nil && replaced != nil {
		err = d.reportReplaced(replaced)
	}
	if err == nil {
		err = d.openFiles()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

func (d *Device) reportReplaced(r *store.Replaced) error {
	d.log.Error("the store was damaged; it was set aside and a new one begun with what could be read of it",
		"reason", r.Reason, "aside", r.SetAside, "carried", r.Carried, "lost", r.Lost)
	waiting, err := d.waiting()
	if err != nil {
		return err
	}
	ev, err := protocol.OnStoreReplaced.New(protocol.StoreReplacedEvent{
		Reason: r.Reason, SetAside: filepath.Base(r.SetAside), Salvaged: waiting, Damaged: r.Lost,
	})
	if err != nil {
		return err
	}
	return d.journal.Write(ev)
}

var (
	deviceName  = []byte("device")
	terminalKey = []byte("terminal")
	timeKey     = []byte("time")
	acctName    = []byte("accounts")
)

// waiting counts the messages in all outboxes.
func (d *Device) waiting() (n int, err error) {
	err = d.db.View(func(tx *bbolt.Tx) error {
		accounts := tx.Bucket(acctName)
		return accounts.ForEachBucket(func(name []byte) error {
			n += outbox.Waiting(accounts.Bucket(name))
			return nil
		})
	})
	return n, err
}

// loadState reads, or makes, what is the board's own.
func (d *Device) loadState() error {
	return d.db.Do(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(acctName); err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists(deviceName)
		if err != nil {
			return err
		}
		d.clock.remember(b.Get(timeKey))
		if id := string(b.Get(terminalKey)); protocol.ValidTerminal(id) {
			d.terminal = id
			return nil
		}
		var raw [6]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return err
		}
		d.terminal = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:]))
		return b.Put(terminalKey, []byte(d.terminal))
	})
}

// Run logs in if the configuration says so and returns when ctx is over and
// every session has ended, or when the store was found damaged. It closes the state.
func (d *Device) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	d.ctx = ctx
	d.mu.Unlock()
	defer func() {
		cancel()
		d.mu.Lock()
		d.ctx = nil
		d.mu.Unlock()
		d.sessions.Wait()
		err = errors.Join(err, d.Close())
	}()
	again := d.autoLogin()
	close(d.begun)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.db.Damaged():
			return fmt.Errorf("the store cannot be used any more, the next start looks after it: %w", err)
		case <-again:
		case <-d.wake:
		}
		again = d.autoLogin()
	}
}

// Close closes the state of a device that is not run.
func (d *Device) Close() error {
	d.files.close()
	return d.db.Close()
}

func (d *Device) fail(e *protocol.Error) {
	d.mu.Lock()
	d.lastErr = e
	d.mu.Unlock()
}

// Journal is where the device's events are kept.
func (d *Device) Journal() *journal.Journal { return d.journal }

// Begun is closed once Run has begun the session that the configuration asks
// for: from then on messages are accepted, link or no link.
func (d *Device) Begun() <-chan struct{} { return d.begun }

// Alive returns an error when one of the device's loops has not gone round for
// long: then the process should be restarted. It takes as long as the store
// takes for what is queued before it.
func (d *Device) Alive() error {
	d.db.Ping()
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s == nil {
		return nil
	}
	if at := s.alive.Load(); at != 0 && d.uptime()-time.Duration(at) > stuck {
		return fmt.Errorf("the connection's loop has not gone round for %v", (d.uptime() - time.Duration(at)).Round(time.Second))
	}
	return nil
}

// uptime is monotonic: the board's clock may be set at any time.
func (d *Device) uptime() time.Duration { return time.Since(d.started) }

// stuck is how long a loop that ticks every two seconds may take for one round.
const stuck = 30 * time.Second

// Retry has a login that waits for its next attempt make it now.
func (d *Device) Retry() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != nil {
		d.session.hurry()
	}
	d.lookAgain()
}

// lookAgain has Run look whether the configuration asks for a login.
func (d *Device) lookAgain() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Watch follows the transient events. A watcher that does not take them loses
// the oldest; stop ends it.
func (d *Device) Watch() (events <-chan protocol.Occurrence, stop func()) { return d.moments.watch() }

// raise records an event, or shows a transient one to those who watch.
func raise[T any](d *Device, e protocol.Event[T], data T) {
	ev, err := e.New(data)
	if err == nil && ev.Info.Transient {
		d.moments.show(ev)
		return
	}
	if err == nil {
		err = d.journal.Write(ev)
	}
	if err != nil {
		d.log.Error("an event could not be recorded", "event", e.Info().Name, "err", err)
	}
}

// account returns what finds an account's bucket, and makes the bucket.
func (d *Device) account(app protocol.AppID, user string) (func(*bbolt.Tx) *bbolt.Bucket, error) {
	name := []byte(protocol.Username(app, user))
	err := d.db.Do(func(tx *bbolt.Tx) error {
		_, err := tx.Bucket(acctName).CreateBucketIfNotExists(name)
		return err
	})
	return func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(acctName).Bucket(name) }, err
}
