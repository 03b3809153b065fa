package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

func TestLogin(t *testing.T) {
	d := newDesk()
	d.authenticate = func(l Login) (any, error) {
		switch string(l.Password) {
		case "right":
			return "identity", nil
		case "wrong":
			return nil, &Refusal{Code: BadCredentials, Err: errors.New("bad sig")}
		case "forbidden":
			return nil, &Refusal{Err: errors.New("blocked")}
		}
		return nil, errors.New("database is away")
	}
	r := start(t, d, Limits{})
	for _, c := range []struct {
		name string
		in   []byte
		want []byte // nil: closed without an answer
	}{
		{"right", hello{client: "c", user: "u", password: "right"}.bytes(), connackOK},
		{"credentials", hello{client: "c", user: "u", password: "wrong"}.bytes(), []byte{0x20, 2, 0, 4}},
		{"not authorized", hello{client: "c", user: "u", password: "forbidden"}.bytes(), []byte{0x20, 2, 0, 5}},
		{"no judgement", hello{client: "c", user: "u", password: "x"}.bytes(), []byte{0x20, 2, 0, 3}},
		{"MQTT 5", hello{level: 5, client: "c", user: "u", password: "right"}.bytes(), []byte{0x20, 2, 0, 1}},
		{"MQTT 3.1", hello{name: "MQIsdp", level: 3, client: "c", user: "u", password: "right"}.bytes(), []byte{0x20, 2, 0, 1}},
		{"level 0x84, a bridge", hello{level: 0x84, client: "c"}.bytes(), []byte{0x20, 2, 0, 1}},
		{"empty client id", hello{user: "u", password: "right"}.bytes(), []byte{0x20, 2, 0, 2}},
		{"empty client id, persistent", hello{persist: true, user: "u", password: "right"}.bytes(), []byte{0x20, 2, 0, 2}},
		{"long client id", hello{client: strings.Repeat("c", 257), user: "u", password: "right"}.bytes(), []byte{0x20, 2, 0, 2}},
		{"unknown protocol", hello{name: "AMQP", client: "c", password: "right"}.bytes(), nil},
		{"password without user", hello{client: "c", password: "right"}.bytes(), nil},
		{"too large", hello{client: "c", user: "u", password: strings.Repeat("x", 16<<10)}.bytes(), nil},
		{"not a CONNECT", frame(headPingreq), nil},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), nil},
		{"endless length", []byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x80}, nil},
		{"7-byte SUBSCRIBE", sevenBytes, nil},
		{"empty CONNECT", []byte{0x10, 0}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := r.dial(t)
			w.send(c.in)
			if c.want != nil {
				w.expect(c.want)
			}
			if c.name != "right" {
				w.closed()
			}
		})
	}
	r.alive2(t, "right")
	if s := r.Stats(); s.LoginsRefused != 9 || s.Panics != 0 {
		t.Errorf("%+v", s)
	}
}

// alive2 is alive for a broker that asks for a password.
func (r *runs) alive2(t *testing.T, password string) {
	w := r.login(t, hello{client: "alive", user: "u", password: password})
	w.send(frame(headPingreq))
	w.expect([]byte{0xd0, 0})
}

func TestPeerIsWhatLoggedIn(t *testing.T) {
	d := newDesk()
	var seen Login
	d.authenticate = func(l Login) (any, error) { seen = l; return 42, nil }
	r := start(t, d, Limits{})
	w := r.login(t, hello{client: "c1", user: "1/alice", password: "sig"})
	w.send(publish(0, "a", "x"))
	p := next(t, d.received, "the publish").peer
	if p.ClientID != "c1" || p.Username != "1/alice" || p.Data != 42 || p.Remote != w.LocalAddr().String() {
		t.Errorf("%+v", p)
	}
	if seen.ClientID != "c1" || seen.Username != "1/alice" || string(seen.Password) != "sig" || seen.Remote != p.Remote {
		t.Errorf("%+v", seen)
	}
}

// Who sends nothing, or a byte now and then, is not waited for.
func TestConnectTimeout(t *testing.T) {
	r := start(t, newDesk(), Limits{ConnectTimeout: 200 * time.Millisecond})
	silent, slow := r.dial(t), r.dial(t)
	go func() {
		for _, b := range (hello{client: "slow", password: strings.Repeat("x", 200)}).bytes() {
			if _, err := slow.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the drip is what is tested
		}
	}()
	silent.closed()
	slow.closed()
	eventually(t, "both to be forgotten", func() bool { return r.Stats().Connections == 0 })
}

// The timeout is for the login only.
func TestConnectTimeoutEndsWithLogin(t *testing.T) {
	r := start(t, newDesk(), Limits{ConnectTimeout: 500 * time.Millisecond})
	w := r.subscribed(t, "c", "a")
	r.dial(t).closed() // so long it takes
	if err := r.Publish("a", []byte("x"), 1, false); err != nil {
		t.Fatal(err)
	}
	w.message()
}

func TestWillMustBePermitted(t *testing.T) {
	d := newDesk()
	d.mayPublish = func(_ *Peer, topic string) bool { return topic == "mine" }
	r := start(t, d, Limits{})
	w := r.dial(t)
	w.send(hello{client: "c", willTopic: "yours", will: "x"}.bytes())
	w.expect([]byte{0x20, 2, 0, 5})
	w.closed()
	if g := next(t, d.left, "the identity that Authenticate gave"); g.peer.ClientID != "c" || g.will != nil {
		t.Errorf("%+v", g)
	}
	r.login(t, hello{client: "c", willTopic: "mine", will: "x"})
}

func TestNotice(t *testing.T) {
	d := newDesk()
	d.authenticate = func(l Login) (any, error) {
		if strings.HasPrefix(l.Username, "why:") {
			return nil, &Refusal{Err: errors.New("expired"), Notice: &Message{"why/c", []byte("70001")}}
		}
		return nil, nil
	}
	r := start(t, d, Limits{})
	real := r.subscribed(t, "c", "a")

	why := r.dial(t)
	// Whatever follows the CONNECT has no effect, not even the will's.
	why.send(hello{client: "c", user: "why:u", password: "x", willTopic: "w", will: "gone"}.bytes(),
		subscribe(1, 1, "a"), publish(1, "p", "x"))
	why.expect(connackOK)
	if head, _, topic, payload := why.message(); head != 0x30 || topic != "why/c" || payload != "70001" {
		t.Errorf("%#x %q %q", head, topic, payload)
	}
	why.closed()
	why.Close()

	eventually(t, "the notice to be over", func() bool { return r.Stats().Connections == 1 })
	if err := r.Publish("a", []byte("still here"), 1, false); err != nil {
		t.Fatal(err)
	}
	real.message()
	if len(d.left) != 0 || len(d.received) != 0 {
		t.Error("the hub has heard of a connection that is no peer")
	}
	if s := r.Stats(); s.Notices != 1 || s.Sessions != 1 || s.Takeovers != 0 || s.Subscriptions != 1 || s.LoginsRefused != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk()
	r := startOn(t, d, Limits{ConnectTimeout: 2 * time.Second}, tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)

	r.dial(t).closed() // no handshake: the timeout holds for it, too

	raw := r.dial(t)
	raw.Conn = tls.Client(raw.Conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	raw.r.Reset(raw.Conn)
	raw.send(hello{client: "c", willTopic: "w", will: "gone"}.bytes())
	raw.expect(connackOK)
	raw.send(subscribe(1, 1, "a"))
	raw.expect([]byte{0x90, 3, 0, 1, 1})
	big := strings.Repeat("x", 200_000)
	if err := r.Publish("a", []byte(big), 1, false); err != nil {
		t.Fatal(err)
	}
	r.Disconnect("c", "")
	if _, _, _, payload := raw.message(); payload != big {
		t.Error("the goodbye did not arrive whole")
	}
	raw.closed()
	if g := next(t, d.left, "Gone"); string(g.will) != "gone" {
		t.Errorf("will %q", g.will)
	}
}
