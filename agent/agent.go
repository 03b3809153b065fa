// Package agent is the process on the board: it puts the device and the local
// API together, keeps the watchdog, and ends when either of them ends.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/agent/calling"
	"github.com/herald-im/herald/agent/localapi"
	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/logging"
	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/systemd"
)

// Logging is where the process writes its log and what sets how much.
type Logging struct {
	*slog.Logger
	Level *slog.LevelVar
}

// Agent is the process's parts, put together and not yet running.
type Agent struct {
	cfg    configs.Agent
	log    Logging
	device *device.Device
	media  *media.Engine
	calls  *calling.Machine
	api    *localapi.Server
}

// New opens the state and the local API. An Agent that was made must be run.
func New(cfg configs.Agent, log Logging) (*Agent, error) {
	api, err := apiConfig(cfg.API)
	if err != nil {
		return nil, err
	}
	d, err := device.Open(deviceConfig(cfg, log), log.With("room", "device"))
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, log: log, device: d}
	if a.media, err = openMedia(cfg, log.With("room", "media")); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	a.calls = calling.New(callingConfig(cfg.Calls), d, callMedia{a.media}, log.With("room", "calling"))
	if a.api, err = a.openAPI(api); err != nil {
		a.media.Close()
		return nil, errors.Join(err, d.Close())
	}
	return a, nil
}

func (a *Agent) openAPI(cfg localapi.Config) (*localapi.Server, error) {
	log := a.log.With("room", "localapi")
	table := protocol.NewTable[protocol.Caller]()
	streams := localapi.NewStreams(log)
	streams.Bind(table)
	a.device.Bind(table)
	a.calls.Bind(table)
	protocol.Bind(table, protocol.GetMediaDevices, a.getMediaDevices)
	if missing := table.Unbound(protocol.Local, protocol.Hub, protocol.Queued); len(missing) > 0 {
		return nil, fmt.Errorf("nothing answers the methods %s", strings.Join(missing, ", "))
	}
	set := metrics.NewSet()
	a.device.Metrics(set)
	mediaMetrics(set, a.media)
	return localapi.Open(cfg, localapi.Parts{
		Table: table, Streams: streams, Journal: a.device.Journal(), Moments: a.device, Files: a.device.Files(),
		Pictures: pictures{a}, Health: a.alive, Metrics: set, Log: log,
	})
}

func apiConfig(c configs.API) (localapi.Config, error) {
	out := localapi.Config{Socket: c.Socket, Group: c.SocketGroup, HTTP: c.HTTP, Hosts: c.Hosts(), Origins: c.Origins(), MaxStreams: c.MaxStreams}
	if c.HTTP == "" {
		return out, nil
	}
	token, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return out, fmt.Errorf("api.token_file: %w", err)
	}
	out.Token = strings.TrimSpace(string(token))
	return out, nil
}

func deviceConfig(c configs.Agent, log Logging) device.Config {
	addr, secure := c.Hub.Broker()
	if host, _, err := net.SplitHostPort(addr); err == nil && !secure && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		log.Warn("the link to the hub is not encrypted: anybody on the way can read it and log in as this board; use mqtts://", "hub", addr)
	}
	return device.Config{
		StateDir: c.State.Dir, MinFree: int64(c.State.MinFree),
		Outbox:  outbox.Limits{MaxItems: c.Outbox.MaxItems, MaxBytes: int64(c.Outbox.MaxBytes)},
		Journal: journal.Limits{MaxEvents: c.Journal.MaxEvents, MaxBytes: int64(c.Journal.MaxBytes)},
		Files: device.FileLimits{
			Dir: c.FilesDir(), Cache: int64(c.Files.Cache), Spool: int64(c.Files.Spool), Auto: int64(c.Files.AutoDownload),
		},
		Mirror:  mirror.Limits{MaxRows: c.Mirror.MaxPerConversation, MaxBytes: int64(c.Mirror.MaxBytes)},
		HubAddr: addr, HubTLS: secure, CAFile: c.Hub.CAFile,
		ConnectTimeout: time.Duration(c.Hub.ConnectTimeout), KeepAlive: time.Duration(c.Hub.Keepalive),
		ReconnectMin: time.Duration(c.Hub.ReconnectMin), ReconnectMax: time.Duration(c.Hub.ReconnectMax),
		Beat: time.Duration(c.Health.Beat), Platform: c.Account.Platform,
		User: c.Account.User, Sig: func() (string, error) { return readSig(c.Account) },
		LogLevel: log.Level,
	}
}

// maxSigFile is more than any UserSig that is accepted.
const maxSigFile = protocol.MaxUserSig + 64

func readSig(a configs.Account) (string, error) {
	path := a.SigPath()
	if path == "" {
		return "", protocol.Errorf(protocol.CodeSvrAccountUserSigEmpty,
			"account.user is %s, but there is no UserSig: set account.sig_file (or --sig), or give the unit the credential herald.sig", a.User)
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxSigFile {
		return "", protocol.Errorf(protocol.CodeSvrAccountUserSigCheckFailed, "%s is no UserSig: it has %d bytes", path, info.Size())
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return "", fmt.Errorf("read the UserSig: %w", err) // that passes: another UserSig would not help
	case err != nil:
		return "", protocol.Errorf(protocol.CodeSvrAccountUserSigEmpty, "the UserSig cannot be read: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Run serves until ctx is over or one of the parts fails, and returns when all
// are gone. reload receives wishes to look at the configuration again.
func (a *Agent) Run(ctx context.Context, reload <-chan configs.Agent) error {
	deviceCtx, endDevice := context.WithCancel(context.WithoutCancel(ctx))
	apiCtx, endAPI := context.WithCancel(context.WithoutCancel(ctx))
	callsCtx, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	deviceEnd, apiEnd := make(chan error, 1), make(chan error, 1)
	var calls sync.WaitGroup
	calls.Go(func() { a.calls.Run(callsCtx) })
	go func() { deviceEnd <- a.device.Run(deviceCtx) }()
	// The API goes first: what it still answers needs the rest; then the call, which
	// the other side is to hear of over the link.
	end := func(err error, fromDevice, fromAPI bool) error {
		systemd.Tell(a.log.Logger, systemd.Stopping)
		endAPI()
		if !fromAPI {
			err = errors.Join(err, <-apiEnd)
		}
		endCalls()
		calls.Wait()
		a.media.Close()
		endDevice()
		if !fromDevice {
			err = errors.Join(err, <-deviceEnd)
		}
		return err
	}
	select {
	case <-a.device.Begun(): // until then callers wait: a program that starts with us can send at once
	case err := <-deviceEnd:
		a.api.Close()
		return end(err, true, true)
	}
	go func() { apiEnd <- a.api.Run(apiCtx) }()
	systemd.Tell(a.log.Logger, systemd.Ready)
	a.log.Info("herald is ready", "version", protocol.BuildVersion, "socket", a.cfg.API.Socket, "http", a.cfg.API.HTTP, "state", a.cfg.State.Dir)

	watch, stop := a.watchdog()
	defer stop()
	for {
		select {
		case cfg := <-reload:
			systemd.Tell(a.log.Logger, systemd.Reloading())
			a.reload(cfg)
			systemd.Tell(a.log.Logger, systemd.Ready)
		case <-watch:
			if err := a.alive(); err != nil {
				a.log.Error("the watchdog is not fed", "err", err)
				continue
			}
			systemd.Tell(a.log.Logger, systemd.Alive)
		case <-ctx.Done():
			return end(nil, false, false)
		case err := <-deviceEnd:
			return end(err, true, false)
		case err := <-apiEnd:
			return end(err, false, true)
		}
	}
}

// alive says what is wrong with the daemon's loops; nil if nothing is.
func (a *Agent) alive() error { return errors.Join(a.device.Alive(), a.calls.Alive()) }

// reload takes over what can change while running: how much is logged. A new
// UserSig is found by the attempt that follows at once.
func (a *Agent) reload(cfg configs.Agent) {
	logging.SetLevel(a.log.Level, cfg.Log.Level)
	a.device.Retry()
	cfg.Log = a.cfg.Log
	if cfg != a.cfg {
		a.log.Warn("the configuration has changed in parts that need a restart of herald")
	}
}

// watchdog ticks twice in the time that systemd allows, or never.
func (a *Agent) watchdog() (<-chan time.Time, func()) {
	limit := systemd.WatchdogTime(a.log.Logger)
	if limit == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(limit / 2)
	return t.C, t.Stop
}
