package localapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/herald-im/herald/protocol"
)

// guard decides who is answered at all. On TCP it keeps out whoever has no
// token, web pages that were not allowed, and names that somebody else's DNS
// points at this board (DNS rebinding). The unix socket is kept by the file's
// permissions; no browser can open it, so an Origin there is a proxy that lets
// pages through.
type guard struct {
	tcp     bool
	token   [sha256.Size]byte
	hosts   map[string]bool // lower case, as in the Host header
	origins map[string]bool
}

func newGuard(tcp bool, c *Config, addr net.Addr) guard {
	g := guard{tcp: tcp}
	if !tcp {
		return g
	}
	g.token = sha256.Sum256([]byte(c.Token))
	g.origins = make(map[string]bool, len(c.Origins))
	for _, o := range c.Origins {
		g.origins[o] = true
	}
	g.hosts = make(map[string]bool)
	_, port, _ := net.SplitHostPort(addr.String())
	add := func(name string) {
		g.hosts[strings.ToLower(net.JoinHostPort(name, port))] = true
		if port == "80" { // what browsers leave out
			g.hosts[strings.ToLower(bracket(name))] = true
		}
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		add(name)
	}
	if name, _, err := net.SplitHostPort(c.HTTP); err == nil && name != "" && !net.ParseIP(name).IsUnspecified() {
		add(name)
	}
	for _, h := range c.Hosts {
		g.hosts[strings.ToLower(h)] = true
		if _, _, err := net.SplitHostPort(h); err != nil {
			add(strings.Trim(h, "[]"))
		}
	}
	return g
}

func bracket(name string) string {
	if strings.Contains(name, ":") {
		return "[" + name + "]"
	}
	return name
}

// errNotAllowed tells a stranger nothing but that.
func errNotAllowed(what string) *protocol.Error {
	return protocol.Errorf(protocol.CodeNetAuthInvalid, "%s", what)
}

// admit looks at Host and Origin. A nil error lets the request go on.
func (g *guard) admit(h http.Header, r *http.Request) *protocol.Error {
	origins := r.Header["Origin"]
	if !g.tcp {
		if len(origins) > 0 {
			return errNotAllowed("web pages may not use the socket")
		}
		return nil
	}
	if !g.hosts[strings.ToLower(r.Host)] && !isReached(r) {
		return errNotAllowed("this host name is not allowed")
	}
	if len(origins) == 0 {
		return nil
	}
	if len(origins) > 1 || !g.origins[origins[0]] {
		return errNotAllowed("this origin is not allowed")
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Vary", "Origin")
	return nil
}

// isReached tells whether the Host is the address that the caller has reached,
// in numbers: nobody's DNS comes into that.
func isReached(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	host := r.Host
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "80") // what browsers leave out
	}
	named, err := netip.ParseAddrPort(host)
	plain := func(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
	return err == nil && int(named.Port()) == local.Port && plain(named.Addr()) == plain(local.AddrPort().Addr())
}

// preflight answers the question a browser asks before it lets a page call
// [Fetch §3.2.2]. It is asked without the token.
func (g *guard) preflight(w http.ResponseWriter, r *http.Request) bool {
	if !g.tcp || r.Method != http.MethodOptions || len(r.Header["Origin"]) != 1 || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// knows tells whether the caller showed the token. The comparison takes the
// same time wherever the two differ, also in length.
func (g *guard) knows(r *http.Request) bool {
	if !g.tcp {
		return true
	}
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}
