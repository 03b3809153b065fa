package device

import (
	"context"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// filing is the files of messages on the board.
type filing struct{}

var errNoFiles = protocol.Errorf(protocol.CodeInternalError, "no files yet")

func (f *filing) keep(tx *bbolt.Tx, files []protocol.File, owner string) error { return errNoFiles }
func (f *filing) upload(ctx context.Context, hash string, size int64) error    { return errNoFiles }
func (f *filing) has(files []protocol.File) bool                               { return false }

// filePath is where a file is on the board; "" if it is not here.
func (d *Device) filePath(hash string) string { return "" }

func (d *Device) createImage(context.Context, protocol.Caller, protocol.CreateImageRequest) (r protocol.MessageKeyResponse, err error) {
	return r, errNoFiles
}
func (d *Device) createSound(context.Context, protocol.Caller, protocol.CreateSoundRequest) (r protocol.MessageKeyResponse, err error) {
	return r, errNoFiles
}
func (d *Device) createVideo(context.Context, protocol.Caller, protocol.CreateVideoRequest) (r protocol.MessageKeyResponse, err error) {
	return r, errNoFiles
}
func (d *Device) createFile(context.Context, protocol.Caller, protocol.CreateFileRequest) (r protocol.MessageKeyResponse, err error) {
	return r, errNoFiles
}
func (d *Device) downloadMessage(context.Context, protocol.Caller, protocol.DownloadRequest) (r protocol.DownloadResponse, err error) {
	return r, errNoFiles
}
