package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a private CA.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T, from, to time.Time) *authority {
	a := &authority{t: t, key: newKey(t)}
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key)
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// server starts a broker with a certificate for 127.0.0.1.
func (a *authority) server(from, to time.Time) *broker {
	key := newKey(a.t)
	cert := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key)
	return startBroker(a.t, tls.NewListener(listen(a.t), &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
	}))
}

func TestTLS(t *testing.T) {
	noneLeft(t)
	y := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	at := func(years ...int) func() []time.Time {
		return func() (times []time.Time) {
			for _, year := range years {
				times = append(times, y(year))
			}
			return times
		}
	}
	ca := newAuthority(t, y(2030), y(2050))
	good := ca.server(y(2031), y(2040))
	other := newAuthority(t, y(2000), y(2050))
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    *broker
		addr string
		tls  TLS
		want string
	}{
		"the board's clock is right":        {b: good, tls: TLS{ca.file, at(2035)}},
		"the board boots in 1970":           {b: good, tls: TLS{ca.file, at(1970)}},
		"the board's clock is a bit behind": {b: good, tls: TLS{ca.file, at(2030)}},
		"the certificate has run out":       {b: good, tls: TLS{ca.file, at(2041)}, want: "expired"},
		"a hub once said a wrong time":      {b: good, tls: TLS{ca.file, at(2045, 2035)}},
		"it has run out by any clock":       {b: good, tls: TLS{ca.file, at(2045, 2041)}, want: "expired"},
		"no time at all":                    {b: good, tls: TLS{ca.file, at()}, want: "no time"},
		"the authority ran out before it":   {b: newAuthority(t, y(1999), y(2000)).server(y(2001), y(2040)), tls: TLS{other.file, at(1970)}, want: "unknown authority"},
		"another authority":                 {b: good, tls: TLS{other.file, at(2035)}, want: "unknown authority"},
		"the system's authorities":          {b: good, tls: TLS{"", at(2035)}, want: "unknown authority"},
		"another host":                      {b: good, addr: "localhost", tls: TLS{ca.file, at(2035)}, want: "localhost"},
		"no file":                           {b: good, tls: TLS{ca.file + ".none", at(2035)}, want: "no such file"},
		"a file without a certificate":      {b: good, tls: TLS{garbage, at(2035)}, want: "no certificate in"},
		"the server speaks no TLS":          {b: startBroker(t, nil), tls: TLS{ca.file, at(2035)}, want: "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			p := params(c.b.addr)
			if c.addr != "" {
				_, port, _ := net.SplitHostPort(c.b.addr)
				p.Addr = net.JoinHostPort(c.addr, port)
			}
			p.TLS, p.ConnectTimeout = &c.tls, 3*time.Second
			conn, err := Dial(t.Context(), p)
			if err == nil {
				defer conn.Close()
			}
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Error(err)
			case err != nil:
				t.Log(err)
			default:
				if err := conn.Send(frame(1)); err != nil {
					t.Error(err)
				}
				<-c.b.hook.published
			}
		})
	}
}
