package peer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestCertificateIsKept(t *testing.T) {
	now := time.Now()
	file := filepath.Join(t.TempDir(), "dtls.pem")
	first, made, err := loadCertificate(file, now)
	if err != nil || made == "" {
		t.Fatalf("made: %q, err: %v", made, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
	again, made, err := loadCertificate(file, now)
	if err != nil || made != "" || !again.Equals(*first) {
		t.Errorf("read again: made %q, err %v, same %v", made, err, err == nil && again.Equals(*first))
	}
	key := must(again.PEM())
	if !strings.Contains(key, "PRIVATE KEY") {
		t.Error("no key in the PEM")
	}

	good := must(os.ReadFile(file))
	other := must(must(makeCertificate(now)).PEM())
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	rsaCert := must(webrtc.NewCertificate(rsaKey, x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now.Add(certLife)}))
	split := strings.Index(string(good), "-----BEGIN PRIVATE")
	for name, content := range map[string]string{
		"empty":        "",
		"words":        "hello",
		"cut":          string(good[:len(good)/2]),
		"no key":       string(good[:split]),
		"another key":  string(good[:split]) + other[strings.Index(other, "-----BEGIN PRIVATE"):],
		"RSA":          must(rsaCert.PEM()),
		"garbage DER":  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"20 KiB first": strings.Repeat("#\n", 10<<10) + string(good),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cert, made, err := loadCertificate(file, now)
		if err != nil || made == "" || cert.Equals(*first) {
			t.Errorf("%s: made %q, err %v", name, made, err)
		}
		if _, made, _ = loadCertificate(file, now); made != "" {
			t.Errorf("%s: made again after it was made anew: %s", name, made)
		}
	}
	if left := must(os.ReadDir(filepath.Dir(file))); len(left) != 1 {
		t.Errorf("files left beside the certificate: %v", left)
	}
}

func TestCertificateEnds(t *testing.T) {
	now := time.Now()
	file := filepath.Join(t.TempDir(), "dtls.pem")
	if _, _, err := loadCertificate(file, now); err != nil {
		t.Fatal(err)
	}
	if _, made, _ := loadCertificate(file, now.Add(certLife-certMargin-time.Hour)); made != "" {
		t.Errorf("made too early: %s", made)
	}
	if _, made, _ := loadCertificate(file, now.Add(certLife-certMargin+time.Hour)); !strings.Contains(made, "ends on") {
		t.Errorf("near the end: %q", made)
	}
	// A board that boots in 1970 and hears the time later.
	cert := must(makeCertificate(time.Unix(100, 0)))
	if !usable(cert.Expires(), earliest.Add(365*24*time.Hour)) {
		t.Errorf("a certificate made in 1970 ends on %v", cert.Expires())
	}
}

func TestCertificateWithoutPlace(t *testing.T) {
	config := testConfig(t)
	config.CertFile = filepath.Join(t.TempDir(), "none", "dtls.pem")
	f := newFactory(t, config)
	if _, err := f.certificate(t.Context()); err != nil {
		t.Errorf("a certificate that cannot be kept: %v", err)
	}
}

func TestRestartKeepsFingerprint(t *testing.T) {
	config := testConfig(t)
	config.CertFile = filepath.Join(t.TempDir(), "dtls.pem")
	fingerprint := func() string {
		f := newFactory(t, config)
		defer f.Close()
		offer := must(newEnd(t, f, Options{}).Offer(t.Context()))
		at := strings.Index(offer, "a=fingerprint:")
		return offer[at : at+80]
	}
	if a, b := fingerprint(), fingerprint(); a != b {
		t.Errorf("%s, then %s", a, b)
	}
}
