package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long the network has to be quiet before a change is told: DHCP and IPv6 change several things in a row.
const settle = 300 * time.Millisecond

// settleAtMost bounds that wait where the network is never quiet.
const settleAtMost = 3 * time.Second

// lookAgain is how soon the network is looked at again where the kernel could not tell: no file was free for the question, say.
const lookAgain = time.Second

// netState is what a change of the network is judged by.
type netState struct {
	addresses []netip.Addr
	routes    []string
}

func (f *Factory) netState() (s netState, err error) {
	if s.addresses, err = f.interfaces.addresses(); err != nil {
		return s, err
	}
	s.routes, err = f.interfaces.defaultRoutes()
	return s, err
}

func (s netState) equal(o netState) bool {
	return slices.Equal(s.addresses, o.addresses) && slices.Equal(s.routes, o.routes)
}

// watching is logged when what follows is told.
const watching = "watching the network"

// Watch calls changed each time the addresses or default routes of the allowed interfaces have become others, once they have
// been quiet for 300 ms: the time for RestartOffer. It returns when ctx ends, with nil, or when it cannot begin or hears no more
// from the kernel.
func (f *Factory) Watch(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("watching the network: %w", err)
	}
	// A file gives reading with a deadline, from Go's poller.
	socket := os.NewFile(uintptr(fd), "netlink")
	defer socket.Close()
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("watching the network: %w", err)
	}
	last, err := f.netState() // after Bind, so that nothing falls between
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })()
	f.log.Debug(watching, "addresses", len(last.addresses), "default_routes", len(last.routes))

	buf := make([]byte, 1<<16)
	var again time.Time // the state could not be read; zero: it could
	for {
		// What the messages say is not looked at, only that there are some; then the state is read anew.
		err := await(ctx, socket, buf, again)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return ended(ctx, err)
		}
		for limit := time.Now().Add(settleAtMost); time.Now().Before(limit); {
			err := await(ctx, socket, buf, time.Now().Add(settle))
			if ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
				break // quiet
			}
			if err != nil {
				return ended(ctx, err)
			}
		}
		now, err := f.netState()
		if err != nil {
			if again.IsZero() {
				f.log.Warn("the network may have changed, and cannot be looked at; tried again until it can", "err", err)
			}
			again = time.Now().Add(lookAgain)
			continue
		}
		again = time.Time{}
		if !now.equal(last) {
			last = now
			f.log.Info("the network has changed", "addresses", len(now.addresses), "default_routes", len(now.routes))
			changed()
		}
	}
}

// await waits for messages of the kernel's.
func await(ctx context.Context, socket *os.File, buf []byte, deadline time.Time) error {
	if err := socket.SetReadDeadline(deadline); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // ended before the deadline was set over that of ctx
		return err
	}
	_, err := socket.Read(buf)
	if errors.Is(err, syscall.ENOBUFS) {
		return nil // more messages than fit: something changed, then
	}
	return err
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watching the network: %w", err)
}
