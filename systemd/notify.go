// Package systemd holds the units of both programs, and what the programs tell
// systemd while they run (sd_notify(3)). Without systemd there is nobody to tell,
// and nothing happens.
package systemd

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// What a program tells.
const (
	Ready    = daemon.SdNotifyReady
	Stopping = daemon.SdNotifyStopping
	Alive    = daemon.SdNotifyWatchdog
)

// Reloading is what a program tells before it reads its configuration again; Ready
// ends it.
func Reloading() string {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // Linux has it
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, ts.Nano()/1000)
}

// Tell tells systemd, where it listens.
func Tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd cannot be told", "state", state, "err", err)
	}
}

// WatchdogTime is how long systemd waits for Alive before it kills the program; 0:
// for ever.
func WatchdogTime(log *slog.Logger) time.Duration {
	d, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog's environment is not valid", "err", err)
	}
	return d
}
