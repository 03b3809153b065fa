// Command herald is the daemon on the board and, in the same binary, its
// command line. Each command but run calls the daemon's local API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], &shell{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv,
		now: time.Now, zone: time.Local, piped: isPiped(os.Stdin), terminal: isTerminal(os.Stderr),
	})
	stop()
	os.Exit(code)
}

// isPiped tells whether f is a file or a pipe, and not a terminal or /dev/null.
func isPiped(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice == 0
}

// isTerminal tells whether f is shown on a terminal.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
