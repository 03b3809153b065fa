package device

import (
	"context"

	"github.com/herald-im/herald/protocol"
)

// maxFetches is how many files wait to be fetched by themselves. Beyond it a file
// stays where it is until somebody asks for it.
const maxFetches = 256

// fetchesAtOnce is how many of them are fetched at a time.
const fetchesAtOnce = 2

// fetch is a file of a message that is to be fetched.
type fetch struct {
	s       *session
	message protocol.MessageInfo
	hash    string
	size    int64
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

// hasFiles tells by its element whether a message has files.
func hasFiles(e protocol.Elem) bool { return e >= protocol.ElemImage && e <= protocol.ElemFile }
