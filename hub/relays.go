package hub

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/herald-im/herald/hub/relay"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Turn is the hub's STUN and TURN server. A zero value takes the default that its
// comment names.
type Turn struct {
	Listen  string     // HOST:PORT for UDP and TCP; empty: there is none
	MayLack bool       // where Listen is taken, the hub does without
	Public  string     // HOST or HOST:PORT that boards are told; empty: theirs of the hub
	Address netip.Addr // of relayed sockets; the zero value: Listen's, or the machine's

	MinPort, MaxPort uint16        // of relayed sockets; 49152 and 65535
	Allocations      int           // 1000
	PerUser          int           // 12
	CredentialsFor   time.Duration // whole seconds; 6 h
}

func (t *Turn) fill() {
	t.MinPort = cmp.Or(t.MinPort, 49152)
	t.MaxPort = cmp.Or(t.MaxPort, 65535)
	t.Allocations = cmp.Or(t.Allocations, 1000)
	t.PerUser = cmp.Or(t.PerUser, 12)
	t.CredentialsFor = cmp.Or(t.CredentialsFor, 6*time.Hour)
}

// openRelay opens the TURN server's addresses.
func (h *Hub) openRelay(log *slog.Logger) (err error) {
	t := h.cfg.Turn
	if t.Listen == "" {
		return nil
	}
	h.relay, err = relay.New(relay.Config{
		Listen: t.Listen, Address: t.Address, MinPort: t.MinPort, MaxPort: t.MaxPort, Allocations: t.Allocations, PerUser: t.PerUser,
		Secret: h.relaySecret, Blocked: h.relayBlocked, Now: h.cfg.Now,
	}, log)
	switch {
	case err == nil:
		return nil
	case t.MayLack && errors.Is(err, syscall.EADDRINUSE):
		h.log.Warn("no TURN server: another program has its port; turn.listen gives it another one", "address", t.Listen)
		return nil
	}
	return fmt.Errorf("listen for STUN and TURN (turn.listen, \"off\" for none): %w", err)
}

// TURNAddr is where the TURN server is, by UDP and TCP; the zero value: nowhere.
func (h *Hub) TURNAddr() netip.AddrPort {
	if h.relay == nil {
		return netip.AddrPort{}
	}
	return h.relay.Addr()
}

// getICEServers gives the caller the hub's relay, and a password for it.
func (h *Hub) getICEServers(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.ICEServersResponse, err error) {
	res.ICEServers, res.TTLSeconds = []protocol.ICEServer{}, int64(h.cfg.Turn.CredentialsFor/time.Second)
	if h.relay == nil {
		return res, nil
	}
	u, err := c.tx.User(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	keys, err := c.tx.Keys(ctx, c.App)
	if err != nil {
		return res, err
	}
	expires := c.now.Add(h.cfg.Turn.CredentialsFor).Truncate(time.Second)
	secret, ok := h.secretOf(keys, expires)
	if u.Blocked || !ok { // its sessions are about to end; nobody gets anything without a key
		return res, nil
	}
	at := h.turnHost()
	s := protocol.ICEServer{URLs: []string{"turn:" + at + "?transport=udp", "turn:" + at + "?transport=tcp"}}
	s.Username, s.Credential = relay.Credentials(secret, c.User, expires)
	res.ICEServers = append(res.ICEServers, protocol.ICEServer{URLs: []string{"stun:" + at}}, s)
	return res, nil
}

// turnHost is HOST:PORT of the relay as boards are told.
func (h *Hub) turnHost() string {
	own := strconv.Itoa(int(h.relay.Addr().Port()))
	public := cmp.Or(h.cfg.Turn.Public, protocol.IceHostHub)
	if ip, err := netip.ParseAddr(public); err == nil {
		return net.JoinHostPort(ip.String(), own)
	}
	if _, _, err := net.SplitHostPort(public); err == nil {
		return public
	}
	return net.JoinHostPort(public, own)
}

// The secrets of the relay are derived from the app's keys, so that a password
// outlives the hub that gave it: boards refresh what they relay with it. It ends
// with the key, as a UserSig does.

// keyAge is how old a key is before passwords are made with it: whoever checks one
// must find the same key, and knows its time to the second.
const keyAge = 2 * time.Second

// secretOf is the secret of passwords that expire then: that of the key which was
// the newest when they were given out. false: no key is in force.
func (h *Hub) secretOf(keys []store.Key, expires time.Time) ([]byte, bool) {
	var best *store.Key
	given := expires.Add(-h.cfg.Turn.CredentialsFor)
	for i, k := range keys { // oldest first
		if !k.Removed && (best == nil || !k.Created.Add(keyAge).After(given)) {
			best = &keys[i]
		}
	}
	if best == nil {
		return nil, false
	}
	secret, err := hkdf.Key(sha256.New, []byte(best.Secret), nil, "herald-hub TURN 1", sha256.Size)
	return secret, err == nil
}

// relayKeys are the app's keys as the relay knows them.
type relayKeys struct {
	mu   sync.Mutex
	at   time.Time
	keys []store.Key
}

const (
	relayKeysFor = 5 * time.Second // how long a new or removed key may be unknown to the relay
	relayReadsIn = time.Second     // what the relay asks of the database; strangers' packets wait for that, too
)

// relaySecret is the relay's: it asks for each request that is signed.
func (h *Hub) relaySecret(expires time.Time) ([]byte, bool) {
	r := &h.relayKeys
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.at) > relayKeysFor {
		ctx, cancel := context.WithTimeout(h.life, relayReadsIn)
		defer cancel()
		r.at = now
		if keys, err := h.store.Keys(ctx, h.app); err == nil {
			r.keys = keys
		} else if h.life.Err() == nil {
			h.complain(slog.LevelWarn, "the keys cannot be read: the relay goes by those that it knows", "err", err)
		}
	}
	return h.secretOf(r.keys, expires)
}

// relayBlocked is the relay's: it asks for each allocation of those whose password
// is good. Passwords outlive a block.
func (h *Hub) relayBlocked(user string) bool {
	ctx, cancel := context.WithTimeout(h.life, relayReadsIn)
	defer cancel()
	u, err := h.store.User(ctx, h.app, user)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		if h.life.Err() == nil {
			h.complain(slog.LevelWarn, "an account cannot be read: the relay serves it as its password is good", "user", user, "err", err)
		}
		return false
	}
	return err != nil || u.Blocked
}
