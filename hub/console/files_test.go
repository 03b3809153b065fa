package console

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/hub/store"
)

func TestFilesStatus(t *testing.T) {
	c := commands{t, emptyConfig(t, "[files]\nmax_age = \"0s\"\nmin_free = \"0B\"\nmax_bytes = \"1GiB\"\n"), t.TempDir()}
	c.fails("there is no hub", "files", "status")
	hub := start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	text := c.ok("files", "status")
	if !strings.Contains(text, "files       0\n") || !strings.Contains(text, "oldest      none, kept for ever\n") {
		t.Errorf("%s", text)
	}
	if code := hub.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, hub.log)
	}
	s, err := store.Open(t.Context(), filepath.Join(c.dir, store.File))
	if err != nil {
		t.Fatal(err)
	}
	apps, err := s.Apps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1772366400000)
	err = s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.PutFile(ctx, apps[0], strings.Repeat("a", 64), 1234, "disk", at)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"u": "0123456789", "u.info": "{}"} {
		if err := os.WriteFile(filepath.Join(c.dir, "files", "uploads", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var row filesRow
	if err := json.Unmarshal([]byte(c.ok("files", "status", "--json")), &row); err != nil {
		t.Fatal(err)
	}
	if row.Files != 1 || row.Bytes != 1234 || row.Oldest == nil || !row.Oldest.Equal(at) || row.Half != 1 || row.HalfBytes != 10 || row.FreeBytes <= 0 ||
		row.MaxBytes != 1<<30 || row.MinFree != 0 || row.MaxAge != 0 || row.UnusedFor != 24*3600 || row.Dir != filepath.Join(c.dir, "files") {
		t.Errorf("%+v", row)
	}
	text = c.ok("files", "status")
	for _, line := range []string{"files       1\n", "bytes       1234 of 1GiB\n", "oldest      2026-03-01T12:00:00Z, kept for ever\n", "unfinished  1, 10 bytes, kept 24h\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q lacks %q", text, line)
		}
	}
}

// Zero means none in the file, and the default in the room of files.
func TestFilesConfig(t *testing.T) {
	cfg := configs.DefaultHub()
	l, err := filesConfig(cfg)
	if err != nil || l.Dir != "/var/lib/herald-hub/files" || l.MaxBytes != 10<<30 || l.MinFree != 256<<20 || l.MaxAge != 8760*time.Hour ||
		l.UnusedFor != 24*time.Hour || l.URLFor != 10*time.Minute || l.UploadFor != 24*time.Hour || l.S3.Bucket != "" {
		t.Errorf("%+v %v", l, err)
	}
	cfg.Files.MaxAge, cfg.Files.MinFree, cfg.Files.Dir = 0, 0, "/d"
	if l, err := filesConfig(cfg); err != nil || l.MaxAge >= 0 || l.MinFree >= 0 || l.Dir != "/d" {
		t.Errorf("%+v %v", l, err)
	}
	cfg.Files.S3Endpoint, cfg.Files.S3Bucket, cfg.Files.S3AccessKey, cfg.Files.S3SecretFile = "https://s3.example", "herald", "key", filepath.Join(t.TempDir(), "secret")
	if _, err := filesConfig(cfg); err == nil || !strings.Contains(err.Error(), "files.s3_secret_file") {
		t.Errorf("a secret that is not there: %v", err)
	}
	if err := os.WriteFile(cfg.Files.S3SecretFile, []byte(" secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := filesConfig(cfg); err != nil || l.S3.SecretKey != "secret" || l.S3.Endpoint != "https://s3.example" || l.S3.AccessKey != "key" {
		t.Errorf("%+v %v", l, err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

// What is not a file with a secret is not read to its end, which it may not have.
func TestSecretIsReadWithinBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for size, want := range map[int]bool{maxSecret: true, maxSecret + 1: false} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readSecret(path); (err == nil) != want || want && len(got) != size {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
	endless := filepath.Join(t.TempDir(), "endless")
	if err := syscall.Mkfifo(endless, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(endless, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, maxSecret+1)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := readSecret(endless)
		done <- err
	}()
	late := time.AfterFunc(20*time.Second, func() { w.Close() })
	if err := <-done; err == nil || !late.Stop() {
		t.Errorf("it is read to its end: %v", err)
	}
	w.Close()
}
