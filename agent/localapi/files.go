package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Files are the files of messages, those that programs send here to be sent on
// and those that others have sent.
type Files interface {
	// Receive keeps what a program sends, at most limit bytes, so that a message
	// can be made of it within a day: upload is what stands for its path. Name is
	// what people call it, perhaps empty. A *protocol.Error refuses it, with
	// CodeFileTooLarge what is over the limit; an error of body is returned as it
	// is, or wrapped.
	Receive(ctx context.Context, body io.Reader, name string, limit int64) (upload string, size int64, uuid string, err error)
	// Open opens the file with a uuid, which comes from the hub while it is read if
	// it is not here. It returns once there is something to read. Reading ends
	// with ctx.
	Open(ctx context.Context, uuid string) (io.ReadSeekCloser, error)
}

const (
	filesPath = "/v1/files"
	// maxReceived is how many files programs may be sending at a time.
	maxReceived = 4
	// receiveTime is how long the sending of one may take in all; each part of it
	// must come within timing.body.
	receiveTime = 15 * time.Minute
)

// file serves /v1/files and what is below it. false: the path is none of it.
func (d *door) file(w http.ResponseWriter, r *http.Request) bool {
	rest, ours := strings.CutPrefix(r.URL.Path, filesPath)
	if !ours || d.Files == nil || rest != "" && rest[0] != '/' {
		return false
	}
	uuid := strings.TrimPrefix(rest, "/")
	switch {
	case rest == "" && r.Method == http.MethodPost:
		d.receiveFile(w, r)
	case rest == "":
		d.wrongMethod(w, r, http.MethodPost)
	case !protocol.ValidHash(uuid):
		d.refuseAndClose(w, http.StatusNotFound, protocol.Errorf(protocol.CodeInvalidParameters, "path: there is no %q", protocol.Clip(r.URL.Path)))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		d.wrongMethod(w, r, "GET, HEAD")
	case r.ContentLength != 0:
		d.refuseAndClose(w, http.StatusBadRequest, protocol.Errorf(protocol.CodeInvalidParameters, "%s takes no body", filesPath))
	default:
		d.sendFile(w, r, uuid)
	}
	return true
}

// received is the answer to a file that was sent here.
type received struct {
	Status bool   `json:"status"`
	Upload string `json:"upload"`
	Size   int64  `json:"size"`
	UUID   string `json:"uuid"`
}

func (d *door) receiveFile(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	switch {
	case err != nil || len(query["name"]) > 1:
		d.refuseAndClose(w, 0, protocol.Errorf(protocol.CodeInvalidParameters, "name: the query is not valid"))
		return
	case len(r.Header["Content-Encoding"]) > 0:
		d.refuseAndClose(w, http.StatusUnsupportedMediaType, protocol.Errorf(protocol.CodeInvalidParameters, "the body must not be encoded"))
		return
	case r.ContentLength > protocol.MaxFile:
		d.refuseAndClose(w, 0, protocol.Errorf(protocol.CodeFileTooLarge, "the file is over the limit of %d bytes", protocol.MaxFile))
		return
	case r.ContentLength == 0:
		d.refuse(w, 0, protocol.Errorf(protocol.CodeFileSizeEmpty, "the body is empty"))
		return
	}
	select {
	case d.receiving <- struct{}{}:
		defer func() { <-d.receiving }()
	default:
		d.refuseAndClose(w, 0, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d files are being sent here already", maxReceived))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), receiveTime)
	defer cancel()
	body := &fileBody{d: d, w: w, from: r.Body, ctx: ctx}
	upload, size, uuid, err := d.Files.Receive(ctx, body, query.Get("name"), protocol.MaxFile)
	if err != nil {
		d.fileFailed(w, r, body, err)
		return
	}
	d.allowRead(w, 0)
	out, err := json.Marshal(received{Status: true, Upload: upload, Size: size, UUID: uuid})
	if err != nil { // cannot be: two strings and a number
		d.refuse(w, 0, protocol.AsError(err))
		return
	}
	d.answer(w, http.StatusOK, out)
}

// fileBody reads a request's body as long as it keeps coming.
type fileBody struct {
	d    *door
	w    http.ResponseWriter
	from io.Reader
	ctx  context.Context
	err  error // of the last read, nil also at the end
}

func (b *fileBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		b.err = err
		return 0, err
	}
	b.d.allowRead(b.w, b.d.timing.body)
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func (d *door) fileFailed(w http.ResponseWriter, r *http.Request, body *fileBody, err error) {
	var e *protocol.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(body.err, context.DeadlineExceeded):
		d.refuseAndClose(w, http.StatusRequestTimeout, protocol.Errorf(protocol.CodeRequestTimeout, "%s: the body did not come within %v", filesPath, receiveTime))
	case body.err != nil:
		d.refuseBody(w, filesPath, body.err)
	case errors.As(err, &e):
		d.refuseAndClose(w, 0, e)
	default:
		if r.Context().Err() == nil { // else who sent it has gone, which is no fault
			d.log.Error("a file could not be kept", "err", err)
		}
		d.refuseAndClose(w, 0, protocol.Errorf(protocol.CodeInternalError, "internal error: see the daemon's log"))
	}
}

// sendFile streams a file. What strangers have sent is never more than a picture,
// a sound, a video, or something to be kept on a disk: no page of theirs gets the
// rights of the one who asks.
func (d *door) sendFile(w http.ResponseWriter, r *http.Request, uuid string) {
	f, err := d.Files.Open(r.Context(), uuid)
	if err != nil {
		d.fileMissing(w, r, err)
		return
	}
	defer f.Close()
	head := make([]byte, 512) // what http.DetectContentType looks at
	n, err := io.ReadFull(f, head)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		d.fileMissing(w, r, err)
		return
	}
	h := w.Header()
	kind := mediaType(head[:n])
	h.Set("Content-Type", kind)
	if kind == otherType {
		h.Set("Content-Disposition", "attachment")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+uuid+`"`)
	h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, Content-Disposition")
	out := &slowWriter{ResponseWriter: w, d: d}
	http.ServeContent(out, r, "", time.Time{}, f)
	if out.outside {
		h.Del("Content-Disposition")
		d.refuse(w, http.StatusRequestedRangeNotSatisfiable, protocol.Errorf(protocol.CodeInvalidParameters, "Range: the file has no such part"))
	}
}

const otherType = "application/octet-stream"

// mediaType is what a browser may show, by the bytes themselves.
func mediaType(head []byte) string {
	kind := http.DetectContentType(head)
	if kind == "application/ogg" {
		return "audio/ogg"
	}
	for _, may := range []string{"image/", "audio/", "video/"} {
		if strings.HasPrefix(kind, may) {
			return kind
		}
	}
	return otherType
}

func (d *door) fileMissing(w http.ResponseWriter, r *http.Request, err error) {
	e := protocol.AsError(err)
	switch {
	case r.Context().Err() != nil:
		e = protocol.Errorf(protocol.CodeInterrupt, "%s: interrupted", filesPath)
	case e.Code == protocol.CodeInternalError:
		d.log.Error("a file could not be read", "err", err)
		e = protocol.Errorf(protocol.CodeInternalError, "internal error: see the daemon's log")
	}
	d.refuse(w, 0, e)
}

// slowWriter gives the caller time for each part anew. A caller that takes none
// is let go. What net/http says to a range that is not in the file, it keeps back.
type slowWriter struct {
	http.ResponseWriter
	d       *door
	outside bool
}

func (w *slowWriter) WriteHeader(status int) {
	if w.outside = status == http.StatusRequestedRangeNotSatisfiable; !w.outside {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.outside {
		return len(p), nil
	}
	w.d.allowWrite(w.ResponseWriter)
	return w.ResponseWriter.Write(p)
}
