package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/herald-im/herald/hub/files"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// The files of messages: who may upload and fetch them (the rest is the room
// files), and that a message names only what its sender may pass on.

// liveFilesFor is how long those in a live room may fetch the files of a message.
const liveFilesFor = 24 * time.Hour

// openFiles opens the directory of files, if the hub has one and a web server.
func (h *Hub) openFiles(log *slog.Logger) (err error) {
	if h.cfg.Files.Dir == "" || h.web == nil {
		return nil
	}
	h.files, err = files.New(files.Config{Limits: h.cfg.Files, App: h.app, Store: h.store, Write: h.write, Now: h.cfg.Now}, log)
	return err
}

// keepFiles runs the room of files until ctx ends.
func (h *Hub) keepFiles(ctx context.Context) {
	if h.files != nil {
		h.files.Run(ctx)
	}
}

// filesAt is the base of URLs where none is configured.
func (h *Hub) filesAt() string {
	port := 0
	if a, ok := h.web.Addr().(*net.TCPAddr); ok {
		port = a.Port
	}
	return "http://" + net.JoinHostPort(protocol.IceHostHub, strconv.Itoa(port))
}

var errNoFiles = protocol.Errorf(protocol.CodeIOOperationFailed, "this hub takes no files: it has no web server, or no directory for them")

// putFile begins the upload of a file, unless the hub has it and the account may
// send it: what others have uploaded counts only where a message shows it to the
// account, or the answer would tell who knows a hash that the file is there.
func (h *Hub) putFile(ctx context.Context, c Caller, req protocol.PutFileRequest) (res protocol.PutFileResponse, err error) {
	if h.files == nil {
		return res, errNoFiles
	}
	f, err := files.Readable(ctx, c.tx.View, c.App, c.User, req.Hash, c.now)
	switch {
	case err == nil && f.Size != req.Size:
		return res, protocol.Errorf(protocol.CodeInvalidParameters, "size: the file has %d bytes", f.Size)
	case err == nil && h.files.Present(f):
		// Whose own it is keeps it until his message comes. Whom a message shows it has it
		// as long as that does: else a member could keep what he is to have no more.
		res.Done = true
		own, err := c.tx.OwnsFile(ctx, c.App, c.User, req.Hash)
		if err == nil {
			err = c.tx.UseFile(ctx, c.App, req.Hash, c.now)
		}
		if err == nil && own {
			err = c.tx.AddFileOwner(ctx, c.App, req.Hash, c.User, c.now)
		}
		return res, err
	case err != nil && !errors.Is(err, files.ErrGone) && !errors.Is(err, files.ErrAccess):
		return res, err
	}
	if err := h.files.Room(req.Size); err != nil {
		h.complain(slog.LevelWarn, "an upload is refused", "user", c.User, "size", req.Size, "err", err)
		return res, protocol.Errorf(protocol.CodeIOOperationFailed, "the hub has no room for files: try again later")
	}
	u, err := h.files.Upload(ctx, c.tx.View, h.filesAt(), c.User, req.Hash, req.Size)
	res.URL, res.ExpiresAt = u.URL, u.Expires
	return res, err
}

// getFile tells where a file is to an account that may have it.
func (h *Hub) getFile(ctx context.Context, c Caller, req protocol.GetFileRequest) (res protocol.GetFileResponse, err error) {
	if h.files == nil {
		return res, errNoFiles
	}
	f, err := files.Readable(ctx, c.tx.View, c.App, c.User, req.Hash, c.now)
	if err != nil {
		if refusal := fileRefusal("hash", req.Hash, err); refusal != nil {
			return res, refusal
		}
		return res, err
	}
	u, err := h.files.Download(ctx, c.tx.View, h.filesAt(), c.User, req.Hash, f.Size)
	res.URL, res.ExpiresAt, res.Size = u.URL, u.Expires, f.Size
	return res, err
}

// fileRefusal says why an account cannot have a file; nil: the error is another one.
func fileRefusal(field, hash string, err error) *protocol.Error {
	switch {
	case errors.Is(err, files.ErrAccess):
		return protocol.Errorf(protocol.CodeSvrResAccessDeny, "%s: the account may not have the file %.8s…", field, hash)
	case errors.Is(err, files.ErrGone):
		return protocol.Errorf(protocol.CodeSvrResNotFound, "%s: the file %.8s… is not there any more", field, hash)
	}
	return nil
}

// files judges the files that a message of an account names.
func (p *planner) files(ctx context.Context, tx *store.Tx, user string, list []protocol.File) (*protocol.Error, error) {
	for i, named := range list {
		if !protocol.ValidHash(named.Hash) || twice(list, i) {
			continue // in an element of a kind that this hub does not know; a picture that is its own thumbnail
		}
		f, err := files.Readable(ctx, tx.View, p.hub.app, user, named.Hash, p.now)
		switch {
		case err != nil:
			refusal := fileRefusal("files", named.Hash, err)
			if refusal != nil {
				err = nil
			}
			return refusal, err
		case f.Size != named.Size:
			return protocol.Errorf(protocol.CodeSvrResInvalidParameters, "files: the file %.8s… has %d bytes, not %d", named.Hash, f.Size, named.Size), nil
		}
	}
	return nil, nil
}

// twice tells whether an earlier file of the list is the same, down to its size.
func twice(list []protocol.File, i int) bool {
	for _, f := range list[:i] {
		if f.Hash == list[i].Hash && f.Size == list[i].Size {
			return true
		}
	}
	return false
}

// refer notes what files entries of a batch name that have just got their seqs.
func (p *planner) refer(ctx context.Context, tx *store.Tx, b *plannedBatch, fresh []plannedEntry) error {
	for _, pe := range fresh {
		if pe.kind != protocol.EntryMessage {
			continue
		}
		for _, f := range b.job.items[pe.index].files {
			if !protocol.ValidHash(f.Hash) {
				continue
			}
			if err := tx.AddFileRef(ctx, p.hub.app, f.Hash, pe.log.id, pe.entry.Seq, p.now); err != nil {
				return err
			}
		}
	}
	return nil
}

// grant lets a room have the files of a message to it, which is kept nowhere.
func (p *planner) grant(ctx context.Context, tx *store.Tx, list []protocol.File, room string) error {
	for _, f := range list {
		if !protocol.ValidHash(f.Hash) {
			continue
		}
		if err := tx.GrantFile(ctx, p.hub.app, f.Hash, room, p.now.Add(liveFilesFor)); err != nil {
			return fmt.Errorf("the files of a live message: %w", err)
		}
	}
	return nil
}
