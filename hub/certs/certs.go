// Package certs keeps the hub's own certificate authority: made at the first
// start, so that boards can reach a hub over TLS without anybody buying a
// certificate. Boards are given ca.crt. The server's certificate is made anew
// when it comes to its end or the hub gets another name.
package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Names of the files in a data directory.
const (
	CAFile     = "ca.crt"
	caKeyFile  = "ca.key"
	serverFile = "hub.crt"
	serverKey  = "hub.key"
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 2 * 365 * 24 * time.Hour
	renewAhead = 60 * 24 * time.Hour // a certificate that ends sooner is made anew
	backdate   = 24 * time.Hour      // for boards whose clock is a little behind
)

// built is before any start of this program: a clock that is behind it, as that of
// a board without a battery at its first start, must not decide when the authority
// ends.
var built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Ensure returns the server's certificate for these names and IP addresses from
// dir. It makes the authority and the certificate where they are missing, and
// the certificate where it lacks a name or ends soon.
func Ensure(dir string, hosts []string, now time.Time) (tls.Certificate, error) {
	ca, err := load(dir, CAFile, caKeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if ca, err = newCA(dir, now); err != nil {
			return tls.Certificate{}, fmt.Errorf("make the certificate authority: %w", err)
		}
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("read the certificate authority (%s and %s in %s must belong together): %w", CAFile, caKeyFile, dir, err)
	}
	if now.After(ca.Leaf.NotAfter) {
		return tls.Certificate{}, fmt.Errorf("the certificate authority %s was good until %s and this machine's clock says %s: set the clock, or take %s and %s away and give all boards the new %s",
			filepath.Join(dir, CAFile), day(ca.Leaf.NotAfter), day(now), CAFile, caKeyFile, CAFile)
	}
	server, err := load(dir, serverFile, serverKey)
	if err == nil && good(server.Leaf, ca.Leaf, hosts, now) {
		return server, nil
	}
	// One that cannot be read is replaced as well: the authority is what counts.
	if server, err = newServer(dir, ca, hosts, now); err != nil {
		return tls.Certificate{}, fmt.Errorf("make the hub's certificate: %w", err)
	}
	return server, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// load reads a certificate and its key.
func load(dir, cert, key string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(filepath.Join(dir, cert), filepath.Join(dir, key))
}

func good(leaf, ca *x509.Certificate, hosts []string, now time.Time) bool {
	if leaf.CheckSignatureFrom(ca) != nil || now.Before(leaf.NotBefore) || leaf.NotAfter.Sub(now) < renewAhead {
		return false
	}
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

func newCA(dir string, now time.Time) (tls.Certificate, error) {
	for _, name := range []string{CAFile, caKeyFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return tls.Certificate{}, fmt.Errorf("%s has only one of %s and %s: put both back, or take both away and give all boards the new %s",
				dir, CAFile, caKeyFile, CAFile)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Herald hub CA " + day(now)},
		NotBefore:    now.Add(-backdate), NotAfter: later(now, built).Add(caLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	return keep(dir, CAFile, caKeyFile, t, t, key, key)
}

func newServer(dir string, ca tls.Certificate, hosts []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	end := later(now, built).Add(serverLife)
	if end.After(ca.Leaf.NotAfter) {
		end = ca.Leaf.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Herald hub"},
		NotBefore:    now.Add(-backdate), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return keep(dir, serverFile, serverKey, t, ca.Leaf, key, ca.PrivateKey)
}

// keep signs a certificate and writes it with its key, the key first.
func keep(dir, certName, keyName string, t, parent *x509.Certificate, key *ecdsa.PrivateKey, signer any) (tls.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := write(dir, keyName, 0o600, "PRIVATE KEY", keyDER); err != nil {
		return tls.Certificate{}, err
	}
	if err := write(dir, certName, 0o644, "CERTIFICATE", der); err != nil {
		return tls.Certificate{}, err
	}
	return load(dir, certName, keyName)
}

// write puts a PEM file in place as a whole.
func write(dir, name string, mode os.FileMode, kind string, der []byte) (err error) {
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // it never fails
	}
	return n.Add(n, big.NewInt(1))
}

// Hosts are the names and addresses by which boards may reach a hub that listens
// on addr: localhost, the machine's name, and addr's host or, if it listens on
// all addresses, those that the machine has now.
func Hosts(addr string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && name != "" {
		hosts = append(hosts, name)
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return hosts
	}
	ip := net.ParseIP(host)
	switch {
	case host != "" && (ip == nil || !ip.IsUnspecified()):
		hosts = append(hosts, host)
	default:
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return hosts // boards then use the name
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				hosts = append(hosts, n.IP.String())
			}
		}
	}
	return hosts
}
