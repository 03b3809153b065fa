package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	certLife     = 2 * 365 * 24 * time.Hour
	certMargin   = 30 * 24 * time.Hour // a certificate with less than this left is made anew
	certMaxBytes = 16 << 10
)

// earliest is a time that has passed for sure. A board without a clock boots in 1970; a certificate made then would be
// expired as soon as its clock is set.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// loadCertificate reads the certificate kept in file, or makes one and keeps it there. An unreadable file, one with
// another kind of key, or a certificate near its end is replaced. With file "" it makes one that is not kept. made tells
// why a new one was made, "" if none was. A certificate that cannot be written is still returned, with the error.
func loadCertificate(file string, now time.Time) (cert *webrtc.Certificate, made string, err error) {
	if file != "" {
		cert, err := readCertificate(file, now)
		if err == nil {
			return cert, "", nil
		}
		made = err.Error()
	} else {
		made = "no file to keep it in"
	}
	if cert, err = makeCertificate(now); err != nil {
		return nil, made, err
	}
	if file != "" {
		err = writeCertificate(file, cert)
	}
	return cert, made, err
}

func readCertificate(file string, now time.Time) (*webrtc.Certificate, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, certMaxBytes))
	if err != nil {
		return nil, err
	}
	var chain *x509.Certificate
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			if chain, err = x509.ParseCertificate(block.Bytes); err != nil {
				return nil, fmt.Errorf("parsing the certificate in %s: %w", file, err)
			}
		case "PRIVATE KEY":
			any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("parsing the key in %s: %w", file, err)
			}
			key, _ = any.(*ecdsa.PrivateKey)
		}
	}
	switch {
	case chain == nil || key == nil || key.Curve != elliptic.P256():
		return nil, fmt.Errorf("%s holds no certificate with a P-256 key", file)
	case !key.PublicKey.Equal(chain.PublicKey):
		return nil, fmt.Errorf("in %s the key is not the certificate's", file)
	case !usable(chain.NotAfter, now):
		return nil, fmt.Errorf("the certificate in %s ends on %s", file, chain.NotAfter.Format(time.DateOnly))
	}
	cert := webrtc.CertificateFromX509(key, chain)
	return &cert, nil
}

func usable(notAfter, now time.Time) bool { return now.Add(certMargin).Before(notAfter) }

func makeCertificate(now time.Time) (*webrtc.Certificate, error) {
	if now.Before(earliest) {
		now = earliest
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a DTLS key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a DTLS certificate: %w", err)
	}
	// The name says nothing of the board: this certificate is seen by whoever answers a call.
	name := pkix.Name{CommonName: "WebRTC"}
	cert, err := webrtc.NewCertificate(key, x509.Certificate{
		SerialNumber: serial, Subject: name, Issuer: name,
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(certLife),
	})
	if err != nil {
		return nil, fmt.Errorf("making a DTLS certificate: %w", err)
	}
	return cert, nil
}

// writeCertificate replaces file as a whole, readable by its owner only (0600, as os.CreateTemp makes it).
func writeCertificate(file string, cert *webrtc.Certificate) (err error) {
	text, err := cert.PEM()
	if err != nil {
		return fmt.Errorf("writing the DTLS certificate: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".dtls-*")
	if err != nil {
		return fmt.Errorf("writing the DTLS certificate: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("writing the DTLS certificate to %s: %w", file, err)
	}
	return nil
}
