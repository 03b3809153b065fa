package broker

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bounds what strangers, terminals and the hub itself can make the broker hold. A zero
// field takes the default that its comment names.
type Limits struct {
	Connections int // open connections, logged in or not; 20000
	PerAddress  int // open connections of one IPv4 address or IPv6 /64; 10000
	Pending     int // connections that have not logged in yet; 2048
	// PendingPerAddress is how many of them one address may have, so that one
	// stranger does not shut everybody out; 256.
	PendingPerAddress int
	// PerUser is how many logged-in connections one user name may have: the
	// newest stay. 64.
	PerUser int

	ConnectBytes  int // size of a CONNECT; 16 KiB
	PacketBytes   int // size of a PUBLISH, in either direction; 512 KiB
	Subscriptions int // filters of one peer; 64

	QueueBytes      int   // waiting to be written to one peer; 1 MiB
	TotalQueueBytes int64 // waiting to be written to all peers, but for what each may have in any case; 256 MiB
	Unacked         int   // QoS 1 messages sent to a peer and not acknowledged, at most 65535; 8192

	Retained      int   // retained messages; 100000
	RetainedBytes int64 // topics and payloads of all retained messages; 256 MiB

	ConnectTimeout  time.Duration // from accept (with TLS handshake) to the whole CONNECT; 10 s
	WriteTimeout    time.Duration // for 16 KiB to leave for a peer; 20 s
	AckTimeout      time.Duration // without any PUBACK while Unacked is reached; 60 s
	MaxKeepalive    time.Duration // longest keepalive; a longer one, or 0 (none), is taken as this; 20 min, at most 12 h
	TakeoverTimeout time.Duration // for the older connection of a client id to be gone; 10 s
	DrainTimeout    time.Duration // for queued packets to leave when the broker ends a connection; 2 s
}

const (
	controlBytes  = 16 << 10 // size of a SUBSCRIBE or UNSUBSCRIBE
	clientIDBytes = 256
	writeChunk    = 16 << 10 // what has to leave within WriteTimeout
	queueShare    = 64 << 10 // what may wait for a peer even when others have used up TotalQueueBytes
)

// withDefaults fills in the fields that are zero.
func (l Limits) withDefaults() Limits {
	l.Connections = cmp.Or(l.Connections, 20000)
	l.PerAddress = cmp.Or(l.PerAddress, 10000)
	l.Pending = cmp.Or(l.Pending, 2048)
	l.PendingPerAddress = cmp.Or(l.PendingPerAddress, 256)
	l.PerUser = cmp.Or(l.PerUser, 64)
	l.ConnectBytes = cmp.Or(l.ConnectBytes, 16<<10)
	l.PacketBytes = cmp.Or(l.PacketBytes, 512<<10)
	l.Subscriptions = cmp.Or(l.Subscriptions, 64)
	l.QueueBytes = cmp.Or(l.QueueBytes, 1<<20)
	l.TotalQueueBytes = cmp.Or(l.TotalQueueBytes, 256<<20)
	l.Unacked = cmp.Or(l.Unacked, 8192)
	l.Retained = cmp.Or(l.Retained, 100_000)
	l.RetainedBytes = cmp.Or(l.RetainedBytes, 256<<20)
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, 10*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 20*time.Second)
	l.AckTimeout = cmp.Or(l.AckTimeout, time.Minute)
	l.MaxKeepalive = cmp.Or(l.MaxKeepalive, 20*time.Minute)
	l.TakeoverTimeout = cmp.Or(l.TakeoverTimeout, 10*time.Second)
	l.DrainTimeout = cmp.Or(l.DrainTimeout, 2*time.Second)
	return l
}

func (l Limits) validate() error {
	for _, f := range []struct {
		name     string
		v        int64
		min, max int64
	}{
		{"Connections", int64(l.Connections), 1, 1 << 24},
		{"PerAddress", int64(l.PerAddress), 1, 1 << 24},
		{"Pending", int64(l.Pending), 1, 1 << 24},
		{"PendingPerAddress", int64(l.PendingPerAddress), 1, 1 << 24},
		{"PerUser", int64(l.PerUser), 1, 1 << 24},
		{"ConnectBytes", int64(l.ConnectBytes), 64, 1 << 20},
		{"PacketBytes", int64(l.PacketBytes), 1 << 10, 16 << 20},
		{"Subscriptions", int64(l.Subscriptions), 1, 1 << 16},
		{"QueueBytes", int64(l.QueueBytes), 1 << 10, 1 << 30},
		{"TotalQueueBytes", l.TotalQueueBytes, int64(l.QueueBytes), 1 << 40},
		{"Unacked", int64(l.Unacked), 1, 65535}, // packet identifiers [MQTT-2.3.1-1]
		{"Retained", int64(l.Retained), 1, 1 << 30},
		{"RetainedBytes", l.RetainedBytes, 1 << 10, 1 << 40},
		{"ConnectTimeout", int64(l.ConnectTimeout), 1, int64(time.Hour)},
		{"WriteTimeout", int64(l.WriteTimeout), 1, int64(time.Hour)},
		{"AckTimeout", int64(l.AckTimeout), 1, int64(24 * time.Hour)},
		{"MaxKeepalive", int64(l.MaxKeepalive), int64(time.Second), int64(12 * time.Hour)},
		{"TakeoverTimeout", int64(l.TakeoverTimeout), 1, int64(time.Hour)},
		{"DrainTimeout", int64(l.DrainTimeout), 1, int64(time.Hour)},
	} {
		if f.v < f.min || f.v > f.max {
			return fmt.Errorf("broker: limit %s is %d, want %d to %d", f.name, f.v, f.min, f.max)
		}
	}
	return nil
}
