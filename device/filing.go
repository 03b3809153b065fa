package device

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
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

	fetches chan fetch // that nobody waits for
	running sync.WaitGroup
	end     context.CancelFunc
}

// maxFetches is how many files wait to be fetched by themselves. Beyond it a file
// stays where it is until somebody asks for it.
const maxFetches = 256

// fetch is a file of a message that is to be fetched.
type fetch struct {
	s       *session
	message protocol.MessageInfo
	hash    string
	size    int64
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
	f.d, f.pictures, f.fetches = d, pictures.NewMaker(), make(chan fetch, maxFetches)
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
	f.store.Sweep(func(owner string) bool { return alive[owner] })
	f.courier = files.NewCourier(files.CourierOptions{Store: f.store, Hub: f, Host: d.hubHost, TLS: d.fileTLS(), Log: d.log})
	ctx, cancel := context.WithCancel(context.Background())
	f.end = cancel
	for range uploadsAtOnce {
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

// hubHost is by what the board reaches the hub.
func (d *Device) hubHost() string {
	host, _, err := net.SplitHostPort(d.cfg.HubAddr)
	if err != nil {
		return ""
	}
	return host
}

func (d *Device) fileTLS() *tls.Config { return nil }

// fileOwners are the names under which files are kept that are needed: by messages
// that were made, wait for their files, or wait to be sent.
func (d *Device) fileOwners() (map[string]bool, error) {
	alive := make(map[string]bool)
	err := d.db.View(func(tx *bbolt.Tx) error {
		accounts := tx.Bucket(acctName)
		return accounts.ForEachBucket(func(name []byte) error {
			acct := accounts.Bucket(name)
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
					var w waitingMessage
					if v, ok := store.Unseal(v); ok && protocol.Unmarshal(v, &w) == nil {
						alive[fileOwner(string(name), w.IDEpoch, w.IDNumber)] = true
					}
					return nil
				})
			}
			outbox.Each(acct, func(it outbox.Item) {
				if it.IDNumber != 0 {
					alive[fileOwner(string(name), it.IDEpoch, it.IDNumber)] = true
				}
			})
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

// makeWith takes files and makes a message of them. What was taken is let go of if
// the message cannot be made.
func (d *Device) makeWith(build func(take func(path string, e protocol.Elem, role protocol.FileRole) (protocol.File, error), name string) (protocol.Message, error), ctx context.Context) (res protocol.MessageKeyResponse, err error) {
	s, err := d.current()
	if err != nil {
		return res, err
	}
	key := newKey()
	name := owner(key)
	m, err := build(func(path string, e protocol.Elem, role protocol.FileRole) (protocol.File, error) {
		f, err := d.files.store.Take(ctx, path, name, e.MaxBytes(role))
		return protocol.File{Hash: f.Hash, Size: f.Size, Role: role}, err
	}, name)
	if err == nil {
		res, err = s.makeMessage(key, m)
	}
	if err != nil {
		d.files.store.Unpin(name)
	}
	return res, err
}

func (d *Device) createImage(ctx context.Context, _ protocol.Caller, r protocol.CreateImageRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(func(take func(string, protocol.Elem, protocol.FileRole) (protocol.File, error), name string) (protocol.Message, error) {
		original, err := take(r.Img, protocol.ElemImage, protocol.RoleOriginal)
		if err != nil {
			return protocol.Message{}, err
		}
		list, err := d.files.sizes(ctx, original, name)
		return protocol.Message{Elem: protocol.ElemImage, Files: list}, err
	}, ctx)
}

// sizes makes the three sizes of a picture.
func (f *filing) sizes(ctx context.Context, original protocol.File, name string) ([]protocol.File, error) {
	path, here := f.store.Path(original.Hash)
	if !here {
		return nil, protocol.Errorf(protocol.CodeFileNotFound, "the picture is not on this board any more")
	}
	set, err := f.pictures.Sizes(ctx, path)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeIOOperationFailed, "%v", err)
	}
	list := make([]protocol.File, len(set))
	for i, p := range set {
		list[i] = original
		if p.Bytes != nil {
			small, err := f.store.Put(ctx, p.Bytes, name)
			if err != nil {
				return nil, err
			}
			list[i] = protocol.File{Hash: small.Hash, Size: small.Size}
		}
		list[i].Role, list[i].Width, list[i].Height = protocol.FileRole(i), p.Width, p.Height
	}
	return list, nil
}

func (d *Device) createSound(ctx context.Context, _ protocol.Caller, r protocol.CreateSoundRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(func(take func(string, protocol.Elem, protocol.FileRole) (protocol.File, error), _ string) (protocol.Message, error) {
		sound, err := take(r.SoundPath, protocol.ElemSound, protocol.RoleOriginal)
		return protocol.Message{Elem: protocol.ElemSound, Files: []protocol.File{sound}, Duration: uint32(r.SoundDuration)}, err
	}, ctx)
}

func (d *Device) createVideo(ctx context.Context, _ protocol.Caller, r protocol.CreateVideoRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(func(take func(string, protocol.Elem, protocol.FileRole) (protocol.File, error), _ string) (protocol.Message, error) {
		video, err := take(r.VideoFilePath, protocol.ElemVideo, protocol.RoleOriginal)
		if err != nil {
			return protocol.Message{}, err
		}
		shot, err := take(r.SnapshotPath, protocol.ElemVideo, protocol.RoleSnapshot)
		if err != nil {
			return protocol.Message{}, err
		}
		if path, here := d.files.store.Path(shot.Hash); here {
			shot.Width, shot.Height = pictures.Dimensions(path)
		}
		return protocol.Message{Elem: protocol.ElemVideo, Files: []protocol.File{video, shot}, Duration: uint32(r.Duration), Type: r.Type}, nil
	}, ctx)
}

func (d *Device) createFile(ctx context.Context, _ protocol.Caller, r protocol.CreateFileRequest) (protocol.MessageKeyResponse, error) {
	return d.makeWith(func(take func(string, protocol.Elem, protocol.FileRole) (protocol.File, error), _ string) (protocol.Message, error) {
		file, err := take(r.FilePath, protocol.ElemFile, protocol.RoleOriginal)
		file.Name = r.FileName
		return protocol.Message{Elem: protocol.ElemFile, Files: []protocol.File{file}}, err
	}, ctx)
}

// filesOf are the files of a message as programs see it, by role.
func filesOf(m *protocol.MessageInfo) (out []protocol.File) {
	e := &m.Msg
	for _, i := range e.ImageList {
		out = append(out, protocol.File{Hash: i.UUID, Size: i.Size, Role: i.Type})
	}
	if e.UUID != "" {
		out = append(out, protocol.File{Hash: e.UUID, Size: e.Size, Role: protocol.RoleOriginal})
	}
	if e.Snapshot != nil {
		out = append(out, protocol.File{Hash: e.Snapshot.UUID, Size: e.Snapshot.Size, Role: protocol.RoleSnapshot})
	}
	return out
}

func (d *Device) downloadMessage(_ context.Context, _ protocol.Caller, r protocol.DownloadRequest) (res protocol.DownloadResponse, err error) {
	s, err := d.current()
	if err != nil {
		return res, err
	}
	m, err := s.message(r.MsgID)
	if err != nil {
		return res, err
	}
	for _, f := range filesOf(&m) {
		if f.Role != *r.Type {
			continue
		}
		res = protocol.DownloadResponse{UUID: f.Hash, Path: d.filePath(f.Hash), URL: filesPath + f.Hash}
		if res.Path != "" {
			return res, nil
		}
		if !s.linkUp() {
			return res, errOffline
		}
		select {
		case d.files.fetches <- fetch{s, m, f.Hash, f.Size}:
			return res, nil
		default:
			return res, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d files wait to be fetched already", maxFetches)
		}
	}
	return res, protocol.Errorf(protocol.CodeInvalidParameters, "type: the message %s has no file of the type %d", r.MsgID, *r.Type)
}

// arrived has the small files of a message fetched that has come.
func (f *filing) arrived(s *session, m protocol.MessageInfo) {
	for _, x := range filesOf(&m) {
		if _, here := f.store.Path(x.Hash); here || x.Size > f.d.cfg.Files.Auto {
			continue
		}
		select {
		case f.fetches <- fetch{s, m, x.Hash, x.Size}:
		default:
			f.d.log.Debug("a file is not fetched by itself: too many wait", "file", x.Hash)
		}
	}
}

// fetchAll fetches what waits, one after the other.
func (f *filing) fetchAll(ctx context.Context) {
	for {
		select {
		case x := <-f.fetches:
			f.fetch(ctx, x)
		case <-ctx.Done():
			return
		}
	}
}

// fetch fetches a file and tells programs how it goes.
func (f *filing) fetch(ctx context.Context, x fetch) {
	tell := func(d protocol.DownloadInfo) {
		d.UUID = x.hash
		raise(f.d, protocol.OnDownload, protocol.DownloadEvent{ElemType: x.message.ElemType, Message: x.message, Download: d})
	}
	err := f.courier.Fetch(ctx, x.hash, x.size, func(done, total int64) {
		tell(protocol.DownloadInfo{EventType: protocol.DownloadProgress, ProgressInfo: protocol.ProgressInfo{CurrentSize: done, TotalSize: total}})
	})
	if err != nil {
		e := protocol.AsError(err)
		f.d.log.Info("a file of a message was not fetched", "message", x.message.MsgID, "code", e.Code, "err", e.Msg)
		tell(protocol.DownloadInfo{EventType: protocol.DownloadError, Code: e.Code, Msg: e.Msg})
		return
	}
	if m, err := x.s.message(x.message.MsgID); err == nil { // with its path now
		x.message = m
	}
	tell(protocol.DownloadInfo{EventType: protocol.DownloadSuccess, Path: f.d.filePath(x.hash), ProgressInfo: protocol.ProgressInfo{CurrentSize: x.size, TotalSize: x.size}})
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
	return f.f.courier.Open(ctx, uuid, 0)
}

// hasFiles tells by its element whether a message has files.
func hasFiles(e protocol.Elem) bool { return e >= protocol.ElemImage && e <= protocol.ElemFile }
