package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/hub/files"
	"github.com/herald-im/herald/hub/store"
)

func (o *options) files() *cobra.Command {
	cmd := group("files", "The files of messages")
	cmd.AddCommand(o.filesStatus())
	return cmd
}

type filesRow struct {
	Files     int64      `json:"files"`
	Bytes     int64      `json:"bytes"`
	Oldest    *time.Time `json:"oldest,omitempty"`
	Half      int64      `json:"unfinished"`
	HalfBytes int64      `json:"unfinishedBytes"`
	Dir       string     `json:"dir"`
	Bucket    string     `json:"s3Bucket,omitempty"`
	FreeBytes int64      `json:"freeBytes"`

	MaxBytes  int64   `json:"maxBytes"`
	MinFree   int64   `json:"minFree"`
	MaxAge    float64 `json:"maxAgeSeconds"` // 0: for ever
	UnusedFor float64 `json:"unusedForSeconds"`
}

func (o *options) filesStatus() *cobra.Command {
	return o.machine(o.where(&cobra.Command{
		Use: "status", Short: "Show how many files there are, how large they are, and the limits", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, app, cfg, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			t, err := s.FileTotals(cmd.Context(), app)
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			row, err := statusOf(cfg, t)
			if err != nil {
				return err
			}
			return o.answer(row, row.String())
		},
	}))
}

func statusOf(cfg configs.Hub, t store.FileTotals) (filesRow, error) {
	row := filesRow{
		Files: t.Files, Bytes: t.Bytes, Dir: filesDir(cfg), Bucket: cfg.Files.S3Bucket,
		MaxBytes: int64(cfg.Files.MaxBytes), MinFree: int64(cfg.Files.MinFree),
		MaxAge: cfg.Files.MaxAge.D().Seconds(), UnusedFor: cfg.Files.UnusedFor.D().Seconds(),
	}
	if !t.Oldest.IsZero() {
		oldest := t.Oldest.UTC()
		row.Oldest = &oldest
	}
	var err error
	row.Half, row.HalfBytes, row.FreeBytes, err = files.Disk(row.Dir)
	return row, err
}

// String is the row for people.
func (r filesRow) String() string {
	var b strings.Builder
	oldest, age := "none", "for ever"
	if r.Oldest != nil {
		oldest = r.Oldest.Format(time.RFC3339)
	}
	if r.MaxAge > 0 {
		age = configs.Duration(r.MaxAge * float64(time.Second)).String()
	}
	fmt.Fprintf(&b, "files       %d\nbytes       %d of %s\noldest      %s, kept %s\nunfinished  %d, %d bytes, kept %s\n", r.Files, r.Bytes,
		configs.Size(r.MaxBytes), oldest, age, r.Half, r.HalfBytes, configs.Duration(r.UnusedFor*float64(time.Second)))
	fmt.Fprintf(&b, "disk        %d bytes free, %s of them kept back, %s\n", r.FreeBytes, configs.Size(r.MinFree), r.Dir)
	if r.Bucket != "" {
		fmt.Fprintf(&b, "bucket      %s\n", r.Bucket)
	}
	return b.String()
}

func filesDir(cfg configs.Hub) string {
	if cfg.Files.Dir != "" {
		return cfg.Files.Dir
	}
	return filepath.Join(cfg.Data.Dir, "files")
}

// maxSecret bounds the file with the secret, in bytes.
const maxSecret = 4096

// filesConfig is the file's configuration as the room of files wants it.
func filesConfig(c configs.Hub) (files.Limits, error) {
	// Zero takes a default there, and stands for none here.
	orNone := func(n int64) int64 {
		if n == 0 {
			return -1
		}
		return n
	}
	f := c.Files
	l := files.Limits{
		Dir: filesDir(c), PublicURL: f.PublicURL, MaxBytes: int64(f.MaxBytes), MinFree: orNone(int64(f.MinFree)),
		MaxAge: time.Duration(orNone(int64(f.MaxAge))), UnusedFor: f.UnusedFor.D(), URLFor: f.URLFor.D(), UploadFor: f.UploadFor.D(),
	}
	if f.S3Bucket == "" {
		return l, nil
	}
	secret, err := readSecret(f.S3SecretFile)
	if err != nil {
		return l, fmt.Errorf("read the secret of S3 (files.s3_secret_file): %w", err)
	}
	l.S3 = files.S3{Endpoint: f.S3Endpoint, Bucket: f.S3Bucket, Region: f.S3Region, AccessKey: f.S3AccessKey, SecretKey: string(bytes.TrimSpace(secret))}
	return l, nil
}

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(secret) > maxSecret {
		err = fmt.Errorf("%s is too large for a secret", path)
	}
	return secret, err
}
