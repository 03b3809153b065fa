package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func ensure(t *testing.T, dir string, hosts []string, now time.Time) tls.Certificate {
	t.Helper()
	c, err := Ensure(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"localhost", "127.0.0.1", "::1", "hub.example"}
	first := ensure(t, dir, hosts, start)
	pem, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the CA's file cannot be read")
	}
	for _, h := range hosts {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{DNSName: h, Roots: roots, CurrentTime: start.Add(time.Hour)}); err != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	if _, err := first.Leaf.Verify(x509.VerifyOptions{DNSName: "other", Roots: roots, CurrentTime: start}); err == nil {
		t.Error("it is good for any name")
	}
	for name, mode := range map[string]os.FileMode{CAFile: 0o644, caKeyFile: 0o600, serverFile: 0o644, serverKey: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	same := func(c tls.Certificate) bool { return slices.Equal(c.Certificate[0], first.Certificate[0]) }
	if !same(ensure(t, dir, hosts[:2], start.AddDate(1, 0, 0))) {
		t.Error("a good certificate is made anew")
	}
	next := ensure(t, dir, append(hosts, "10.1.2.3"), start)
	if same(next) || next.Leaf.VerifyHostname("10.1.2.3") != nil {
		t.Error("a new name is not in the certificate")
	}
	late := ensure(t, dir, hosts, start.AddDate(1, 11, 15))
	if same(late) || late.Leaf.NotAfter.Before(start.AddDate(3, 0, 0)) {
		t.Error("a certificate that ends soon is kept")
	}
	if _, err := late.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots, CurrentTime: start.AddDate(3, 0, 0)}); err != nil {
		t.Errorf("boards do not trust the new one: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, serverFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, hosts, start)
}

// An authority that is damaged must not be replaced by another that no board
// knows.
func TestDamagedCAIsNotReplaced(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"no certificate": func(dir string) error { return os.Remove(filepath.Join(dir, CAFile)) },
		"no key":         func(dir string) error { return os.Remove(filepath.Join(dir, caKeyFile)) },
		"an empty key":   func(dir string) error { return os.WriteFile(filepath.Join(dir, caKeyFile), nil, 0o600) },
		"another's key": func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, serverKey))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, caKeyFile), b, 0o600)
		},
	} {
		dir := t.TempDir()
		ensure(t, dir, []string{"localhost"}, start)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Ensure(dir, []string{"localhost"}, start); err == nil {
			t.Errorf("%s: it is replaced", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:1883": "localhost", "hub.example:8883": "hub.example", "10.9.8.7:1": "10.9.8.7", "[2001:db8::1]:1": "2001:db8::1"} {
		if !slices.Contains(Hosts(addr), want) {
			t.Errorf("Hosts(%s) = %v", addr, Hosts(addr))
		}
	}
	for _, addr := range []string{":8883", "0.0.0.0:8883", "[::]:8883"} {
		if h := Hosts(addr); slices.Contains(h, "") || slices.Contains(h, "0.0.0.0") || slices.Contains(h, "::") {
			t.Errorf("Hosts(%s) = %v", addr, h)
		}
	}
}

// A clock that says 1970 does not decide how long the authority is good, and one
// that comes to say it later does not keep the hub from its work.
func TestNoClock(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"localhost"}
	roots := func() *x509.CertPool {
		pem, err := os.ReadFile(filepath.Join(dir, CAFile))
		if err != nil {
			t.Fatal(err)
		}
		p := x509.NewCertPool()
		p.AppendCertsFromPEM(pem)
		return p
	}
	for _, now := range []time.Time{time.Unix(0, 0), start, time.Unix(3600, 0), start.AddDate(5, 0, 0)} {
		c := ensure(t, dir, hosts, now)
		for _, boards := range []time.Time{now, later(now, start)} {
			if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: roots(), CurrentTime: boards}); err != nil {
				t.Errorf("hub at %v, board at %v: %v", now, boards, err)
			}
		}
	}
	_, err := Ensure(dir, hosts, start.AddDate(11, 0, 0))
	if err == nil || !strings.Contains(err.Error(), CAFile) {
		t.Errorf("an authority that has ended: %v", err)
	}
}
