package localapi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config says where the API listens and whom it answers.
type Config struct {
	// Socket is the path of the unix socket; empty: none.
	Socket string
	// Group, a name or a number, may use the socket besides its owner. A name
	// that does not exist is logged and changes nothing; empty: the daemon's
	// own group.
	Group string

	// HTTP is the TCP address host:port; empty: none.
	HTTP string
	// Token is needed by everybody who calls over TCP, at least MinToken bytes.
	Token string
	// Hosts are accepted in the Host header besides the address that is reached
	// and the loopback names: a name alone, or with a port where a proxy changes it.
	Hosts []string
	// Origins are the web pages that may call: "https://panel.example".
	Origins []string

	// MaxStreams limits the event streams that are open at once, at least 1.
	MaxStreams int
}

// MinToken is the shortest bearer token that is accepted, in bytes.
const MinToken = 16

// The limits of the API. Together they bound what strangers can make the
// daemon hold in memory.
const (
	// MaxBody is the largest request, in bytes.
	MaxBody = 1 << 20

	maxHeader = 16 << 10

	// Connections besides those of the streams.
	maxUnixConns = 256
	maxTCPConns  = 64

	// A body over smallBody waits for one of bigBodies places, so that many
	// callers at once cannot have the daemon hold MaxBody for each.
	smallBody = 16 << 10
	bigBodies = 4
)

// timing are the API's patience. Tests shorten it.
type timing struct {
	header    time.Duration // for a request's head
	body      time.Duration // for a request's body
	write     time.Duration // for the caller to take what is written
	linger    time.Duration // for what a refused caller still sends
	idle      time.Duration // for the next request of a connection
	heartbeat time.Duration // between the pings of a stream
	grace     time.Duration // for calls under way when the daemon ends
}

func defaultTiming() timing {
	return timing{
		header: 5 * time.Second, body: 10 * time.Second, write: 10 * time.Second,
		linger: time.Second, idle: 2 * time.Minute, heartbeat: 15 * time.Second, grace: 3 * time.Second,
	}
}

func (c *Config) validate() error {
	if c.Socket == "" && c.HTTP == "" {
		return errors.New("local API: neither a socket nor a TCP address is configured")
	}
	if c.HTTP != "" && len(c.Token) < MinToken {
		return fmt.Errorf("local API on %s: a token of at least %d bytes is needed on TCP, this one has %d", c.HTTP, MinToken, len(c.Token))
	}
	if strings.ContainsAny(c.Token, " \t\r\n") {
		return errors.New("local API: the token has white space in it")
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host || o != strings.ToLower(o) {
			return fmt.Errorf("local API: the origin %q is not of the form https://host or http://host:port, in lower case", o)
		}
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/ *") {
			return fmt.Errorf("local API: the host %q is not a name or name:port", h)
		}
	}
	if c.MaxStreams < 1 {
		return fmt.Errorf("local API: %d is no limit for the event streams", c.MaxStreams)
	}
	return nil
}
