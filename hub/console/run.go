package console

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/certs"
	"github.com/herald-im/herald/logging"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/systemd"
)

func (o *options) run() *cobra.Command {
	var mqtt, http string
	cmd := o.where(&cobra.Command{
		Use: "run", Short: "Run the hub", Args: exactly(),
		Long: `Run the hub until SIGTERM or SIGINT.

The first start makes an app with a key, and where the boards are spoken to over
TLS a certificate authority and a certificate, all in the data directory.
SIGHUP reads the configuration again and applies the log level and the
certificate.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (configs.Hub, error) {
				cfg, err := o.load()
				if mqtt != "" {
					cfg.MQTT.Listen = mqtt
				}
				if http != "" {
					cfg.HTTP.Listen = http
				}
				if err == nil {
					err = cfg.Validate()
				}
				return cfg, err
			}
			cfg, err := load()
			if err != nil {
				return err
			}
			log, level := logging.New(o.stderr, cfg.Log.Level)
			slog.SetDefault(log)
			r := &runner{cfg: cfg, load: load, log: log, level: level}
			return r.run(cmd.Context())
		},
	})
	cmd.Flags().StringVar(&mqtt, "mqtt", "", "address for the boards, HOST:PORT, wins over the file")
	cmd.Flags().StringVar(&http, "http", "", "address for /healthz, /metrics and the files of messages, HOST:PORT, wins over the file")
	return cmd
}

// runner is a hub that runs as a process.
type runner struct {
	cfg   configs.Hub
	load  func() (configs.Hub, error)
	log   *slog.Logger
	level *slog.LevelVar
	cert  atomic.Pointer[tls.Certificate]
}

func (r *runner) run(ctx context.Context) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1) // from the beginning: one that comes early must not end the hub
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	if err := os.MkdirAll(r.cfg.Data.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory (data.dir, --data): %w", err)
	}
	lock, err := lockDir(r.cfg.Data.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	c, err := hubConfig(r.cfg)
	if err != nil {
		return err
	}
	if r.cfg.MQTT.TLS() {
		if err := r.certify(r.cfg); err != nil {
			return err
		}
		c.TLS = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.cert.Load(), nil },
		}
	}
	h, err := hub.New(c, r.log)
	if err != nil {
		return err
	}
	r.ready(h)
	var side sync.WaitGroup
	sideCtx, endSide := context.WithCancel(ctx)
	side.Go(func() { r.watch(sideCtx, h) })
	side.Go(func() { r.reload(sideCtx, hup) })
	side.Go(func() {
		<-sideCtx.Done()
		systemd.Tell(r.log, systemd.Stopping)
	})
	err = h.Run(ctx)
	endSide()
	side.Wait()
	if err != nil {
		return err
	}
	r.log.Info("stopped")
	return nil
}

func (r *runner) ready(h *hub.Hub) {
	scheme := "mqtt"
	if r.cfg.MQTT.TLS() {
		scheme = "mqtts"
	}
	attrs := []any{"sdkAppId", h.App(), "boards", fmt.Sprintf("%s://%s", scheme, h.MQTTAddr())}
	if a := h.HTTPAddr(); a != nil {
		attrs = append(attrs, "http", fmt.Sprintf("http://%s", a))
	}
	if a := h.TURNAddr(); a.IsValid() {
		attrs = append(attrs, "turn", a)
	}
	attrs = append(attrs, "data", r.cfg.Data.Dir, "version", protocol.BuildVersion)
	if scheme == "mqtts" && r.cfg.MQTT.TLSCert == "" {
		attrs = append(attrs, "ca", filepath.Join(r.cfg.Data.Dir, certs.CAFile))
	}
	r.log.Info("ready", attrs...)
	if r.cfg.MQTT.Exposed() {
		r.log.Warn("mqtt.plain: UserSigs and messages can be read on the way")
	}
	if r.cfg.FilesHidden() {
		r.log.Warn("boards on other machines cannot reach the files of messages: give http.listen an address that they can, or put a proxy before it and say files.public_url")
	}
	systemd.Tell(r.log, systemd.Ready)
}

// hubConfig is the file's configuration as the hub wants it.
func hubConfig(c configs.Hub) (hub.Config, error) {
	turn, mayLack := c.TurnListen()
	kept, err := filesConfig(c)
	return hub.Config{
		Store: location(c), MQTT: c.MQTT.Listen, HTTP: c.HTTP.Listen, Files: kept,
		Turn: hub.Turn{
			Listen: turn, MayLack: mayLack, Public: c.Turn.Public, Address: c.Turn.RelayIP(),
			MinPort: uint16(c.Turn.MinPort), MaxPort: uint16(c.Turn.MaxPort),
			Allocations: c.Turn.MaxAllocations, PerUser: c.Turn.MaxAllocationsPerUser,
			CredentialsFor: time.Duration(c.Turn.CredentialsFor),
		},
		CreateOnLogin:        c.Accounts.CreateOnLogin,
		TerminalsPerPlatform: c.Accounts.TerminalsPerPlatform,
		SigMaxExpire:         time.Duration(c.Accounts.SigMaxExpire),
		ClockTolerance:       time.Duration(c.Accounts.ClockTolerance),
		LockAfterFailures:    c.Accounts.LockAfterFailures,
		MessageBytes:         int(c.Limits.MessageBytes),
		WorkMembers:          c.Limits.GroupWorkMembers,
		PublicMembers:        c.Limits.GroupPublicMembers,
		MeetingMembers:       c.Limits.GroupMeetingMembers,
		GroupsPerUser:        c.Limits.GroupsPerUser,
		GroupNameBytes:       c.Limits.GroupNameBytes,
		GroupRate:            cmp.Or(c.Limits.GroupRate, -1),
		FriendsOnly:          c.Accounts.FriendsOnly,
		Friends:              c.Limits.Friends,
		FriendApplications:   c.Limits.FriendApplications,
		FriendGroups:         c.Limits.FriendGroups,
		Blacklist:            c.Limits.Blacklist,
		PullEntries:          c.Limits.PullEntries,
		SyncEntries:          c.Limits.SyncEntries,
		RevokeWindow:         time.Duration(c.Limits.RevokeWindow),
		Broker: broker.Limits{
			Connections:    c.MQTT.MaxConnections,
			PerAddress:     c.MQTT.MaxConnectionsPerAddr,
			ConnectTimeout: time.Duration(c.MQTT.ConnectTimeout),
		},
	}, err
}

// certify loads the operator's certificate, or the hub's own.
func (r *runner) certify(cfg configs.Hub) error {
	var cert tls.Certificate
	var err error
	if cfg.MQTT.TLSCert != "" {
		if cert, err = tls.LoadX509KeyPair(cfg.MQTT.TLSCert, cfg.MQTT.TLSKey); err != nil {
			return fmt.Errorf("read the certificate (mqtt.tls_cert, mqtt.tls_key): %w", err)
		}
	} else if cert, err = certs.Ensure(cfg.Data.Dir, certs.Hosts(cfg.MQTT.Listen), time.Now()); err != nil {
		return err
	}
	r.cert.Store(&cert)
	return nil
}

// renewEvery is how often the hub's own certificate is looked at.
const renewEvery = 24 * time.Hour

// reload reads the configuration again on SIGHUP, and the certificate also once
// in a while.
func (r *runner) reload(ctx context.Context, hup <-chan os.Signal) {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			if r.cfg.MQTT.TLS() {
				if err := r.certify(r.cfg); err != nil {
					r.log.Error("the certificate cannot be renewed, the present one stays", "err", err)
				}
			}
		case <-hup:
			systemd.Tell(r.log, systemd.Reloading())
			r.again()
			systemd.Tell(r.log, systemd.Ready)
		}
	}
}

func (r *runner) again() {
	cfg, err := r.load()
	if err != nil {
		r.log.Error("the configuration is not taken, the present one stays", "err", err)
		return
	}
	logging.SetLevel(r.level, cfg.Log.Level)
	if r.cfg.MQTT.TLS() && cfg.MQTT.TLS() {
		if err := r.certify(cfg); err != nil {
			r.log.Error("the certificate is not taken, the present one stays", "err", err)
		} else { // it is also the one to look at again later
			r.cfg.MQTT.TLSCert, r.cfg.MQTT.TLSKey = cfg.MQTT.TLSCert, cfg.MQTT.TLSKey
		}
	}
	now, then := cfg, r.cfg
	now.Log, then.Log = configs.Log{}, configs.Log{}
	if now != then {
		r.log.Warn("the configuration has changed beyond log and certificate: that needs a restart")
	}
	r.log.Info("reloaded")
}

// watch tells systemd that the hub gets on, after it has proved it.
func (r *runner) watch(ctx context.Context, h *hub.Hub) {
	every := systemd.WatchdogTime(r.log)
	if every == 0 {
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		probe, cancel := context.WithTimeout(ctx, every/2)
		if err := h.Alive(probe); err == nil {
			systemd.Tell(r.log, systemd.Alive)
		} else if ctx.Err() == nil {
			r.log.Error("the hub does not get on", "err", err)
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lockFile keeps two hubs from running on one data directory.
const lockFile = "hub.lock"

// lockPatience is how long a start waits for the lock: a command that looks whether a
// hub runs holds it for a moment.
const lockPatience = 500 * time.Millisecond

// runs tells whether a hub runs on a data directory; also if that cannot be seen.
func runs(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close() // with it ends the lock
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// lockDir takes the data directory for this process.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for end := time.Now().Add(lockPatience); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		pid := make([]byte, 20)
		n, _ := f.ReadAt(pid, 0) // empty while the other one is just starting
		_ = f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data directory: %s: %w", path, err)
		}
		return nil, fmt.Errorf("another hub (pid %s) runs on the data directory %s: stop it first", strings.TrimSpace(string(pid[:n])), dir)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data directory: %w", err), f.Close())
	}
	return f, nil
}
