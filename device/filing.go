package device

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/herald-im/herald/device/files"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/device/pictures"
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// FileLimits say where the files of messages are on the board, and how many.
type FileLimits struct {
	Dir   string // empty: "files" in the state directory
	Cache int64  // bytes of those that may go, 0: 256 MiB
	Spool int64  // bytes of those that wait to be sent, 0: 512 MiB
	Auto  int64  // bytes up to which a file that comes is fetched by itself; 0: none is
}

// filing is the files of messages on the board.
type filing struct {
	d        *Device
	store    *files.Store
	courier  *files.Courier
	pictures *pictures.Maker
	spool    int64 // bytes, FileLimits.Spool

	fetches chan fetch // that nobody waits for
	running sync.WaitGroup
	end     context.CancelFunc
}

func (d *Device) openFiles() error {
	l := d.cfg.Files
	if l.Dir == "" {
		l.Dir = filepath.Join(d.cfg.StateDir, "files")
	}
	if l.Cache == 0 {
		l.Cache = 256 << 20
	}
	if l.Spool == 0 {
		l.Spool = 512 << 20
	}
	f := &d.files
	var err error
	f.d, f.pictures, f.spool, f.fetches = d, pictures.NewMaker(), l.Spool, make(chan fetch, maxFetches)
	f.store, err = files.Open(files.Options{
		Dir: l.Dir, Cache: l.Cache, Spool: l.Spool, MinFree: d.cfg.MinFree, Private: []string{d.cfg.StateDir}, DB: d.db, Log: d.log,
	})
	if err != nil {
		return err
	}
	alive, err := d.fileOwners()
	if err != nil {
		f.store.Close()
		return err
	}
	// Which inserted messages are there, the account's next login knows.
	f.store.Sweep(func(owner string) bool { return alive[owner] || strings.HasPrefix(owner, insertedPrefix) })
	f.courier = files.NewCourier(files.CourierOptions{Store: f.store, Hub: f, Host: d.hubHost, TLS: d.fileTLS(), Log: d.log})
	ctx, cancel := context.WithCancel(context.Background())
	f.end = cancel
	for range fetchesAtOnce {
		f.running.Go(func() { f.fetchAll(ctx) })
	}
	return nil
}

func (f *filing) close() {
	if f.store == nil {
		return
	}
	f.end()
	f.courier.Close()
	f.running.Wait()
	f.store.Close()
}

// fileTLS trusts the hub's own authority besides the system's, where files come by
// https.
func (d *Device) fileTLS() *tls.Config {
	if d.cfg.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(d.cfg.CAFile)
	if err != nil {
		return nil // the link says so
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// hubHost is by what the board reaches the hub.
func (d *Device) hubHost() string {
	host, _, err := net.SplitHostPort(d.cfg.HubAddr)
	if err != nil {
		return ""
	}
	return host
}

// fileOwners are the names under which files are kept that are needed: by messages
// that were made, wait for their files, or wait to be sent.
func (d *Device) fileOwners() (map[string]bool, error) {
	alive := make(map[string]bool)
	err := d.db.View(func(tx *bbolt.Tx) error {
		accounts := tx.Bucket(acctName)
		return accounts.ForEachBucket(func(name []byte) error {
			acct := accounts.Bucket(name)
			keep := func(it outbox.Item) {
				if it.IDNumber != 0 {
					alive[fileOwner(string(name), it.IDEpoch, it.IDNumber)] = true
				}
			}
			if b := acct.Bucket(madeName); b != nil {
				_ = b.ForEach(func(k, v []byte) error {
					var made madeMessage
					if v, ok := store.Unseal(v); ok && protocol.Unmarshal(v, &made) == nil && made.Sent == "" {
						alive[owner(string(k))] = true
					}
					return nil
				})
			}
			if b := acct.Bucket(waitingName); b != nil {
				_ = b.ForEach(func(_, v []byte) error {
					keep(outbox.Unseal(v))
					return nil
				})
			}
			outbox.Each(acct, keep)
			return nil
		})
	})
	return alive, err
}

// fileOwner is the name under which the files of a message are kept until the hub
// has it.
func fileOwner(account string, epoch uint32, number uint64) string {
	return fmt.Sprintf("sent %s %d-%d", account, epoch, number)
}

func (s *session) fileOwner(epoch uint32, number uint64) string {
	return fileOwner(protocol.Username(s.app, s.user), epoch, number)
}

// PutFile and GetFile ask the hub where files go to and come from. They wait for
// the link: whoever asks has nothing better to do.
func (f *filing) PutFile(ctx context.Context, r protocol.PutFileRequest) (protocol.PutFileResponse, error) {
	if err := f.d.awaitLink(ctx); err != nil {
		return protocol.PutFileResponse{}, err
	}
	return Ask(ctx, f.d, protocol.PutFile, r)
}

func (f *filing) GetFile(ctx context.Context, r protocol.GetFileRequest) (protocol.GetFileResponse, error) {
	return Ask(ctx, f.d, protocol.GetFile, r)
}

// awaitLink waits until the link is up; ctx's error if that ends before.
func (d *Device) awaitLink(ctx context.Context) error {
	for {
		s, err := d.current()
		if err != nil {
			return err
		}
		up, changed := s.linkState()
		if up {
			return nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return s.endedWith()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// has tells whether all the files are on the board.
func (f *filing) has(list []protocol.File) bool {
	for _, x := range list {
		if _, here := f.store.Path(x.Hash); !here {
			return false
		}
	}
	return true
}

func hashes(list []protocol.File) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.Hash
	}
	return out
}

// keep pins the files of a message under a name.
func (f *filing) keep(name string, list []protocol.File) error {
	err := f.store.Pin(name, hashes(list)...)
	if errors.Is(err, fs.ErrNotExist) {
		return protocol.Errorf(protocol.CodeFileNotFound, "a file of the message is not on this board any more: make the message anew")
	}
	return err
}

// filePath is where a file is on the board; "" if it is not here.
func (d *Device) filePath(hash string) string {
	path, _ := d.files.store.Path(hash)
	return path
}

// Files gives the local API the files of messages.
func (d *Device) Files() *Files { return &Files{&d.files} }

// Files are the files of messages as programs send and read them.
type Files struct{ f *filing }

// Receive keeps what a program sends, see files.Store.
func (f *Files) Receive(ctx context.Context, body io.Reader, name string, limit int64) (upload string, size int64, uuid string, err error) {
	if err := f.f.d.db.Room(); err != nil {
		return "", 0, "", err
	}
	upload, file, err := f.f.store.Receive(ctx, body, name, limit)
	return upload, file.Size, file.Hash, err
}

// Open opens a file, which comes from the hub if it is not here, see files.Courier.
func (f *Files) Open(ctx context.Context, uuid string) (io.ReadSeekCloser, error) {
	return f.f.courier.Open(ctx, uuid)
}
