package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/herald-im/herald/protocol"
)

// tusClient speaks tus 1.0.0 (tus.io/protocols/resumable-upload) with one upload
// whose URL is known: HEAD tells how far it is, POST begins it, PATCH goes on.
type tusClient struct {
	http *http.Client
	url  *url.URL
	size int64
}

const tusVersion = "1.0.0"

var (
	errNotBegun = errors.New("the upload is not begun")
	errRefused  = errors.New("the URL is not good any more")
)

// statusError is an answer that does not say that all is well.
type statusError struct {
	status  int
	tus     bool            // the server speaks tus, so nobody in between has answered
	said    *protocol.Error // nil if it said nothing that can be read
	refusal string
}

func (e *statusError) Error() string {
	if e.said != nil {
		return fmt.Sprintf("HTTP status %d: %v", e.status, e.said)
	}
	return fmt.Sprintf("HTTP status %d %q", e.status, e.refusal)
}

// final is what the upload ends with, nil if it may be tried again.
func (e *statusError) final() *protocol.Error {
	switch e.status {
	case http.StatusNotFound, http.StatusGone, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout,
		http.StatusConflict, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusMethodNotAllowed:
		return nil
	}
	if e.status < 400 || e.status > 499 || !e.tus {
		return nil // somebody in between may have said it
	}
	code := protocol.CodeSvrResInvalidParameters
	if e.status == http.StatusRequestEntityTooLarge {
		code = protocol.CodeSvrResSizeLimit
	}
	if e.said != nil {
		return protocol.Errorf(e.said.Code, "the hub refuses the file: %s", protocol.Clip(e.said.Msg))
	}
	return protocol.Errorf(code, "the hub refuses the file: status %d %s", e.status, protocol.Clip(e.refusal))
}

// do sends a request and reads the answer's head. An answer that is not want is
// an error.
func (t *tusClient) do(ctx context.Context, method string, h map[string]string, body io.Reader, length int64, want ...int) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, t.url.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s an upload: %w", method, withoutURL(err))
	}
	r.ContentLength = length
	r.Header.Set("Tus-Resumable", tusVersion)
	for k, v := range h {
		r.Header.Set(k, v)
	}
	res, err := t.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s an upload: %w", method, withoutURL(err))
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 2<<10)) // less of it is less said
	for _, status := range want {
		if res.StatusCode == status {
			return res.Header, nil
		}
	}
	e := &statusError{status: res.StatusCode, tus: res.Header.Get("Tus-Resumable") != "", refusal: string(bytes.TrimSpace(said))}
	var code protocol.Error
	if json.Unmarshal(said, &code) == nil {
		if _, known := code.Code.Row(); known && code.Code != 0 {
			e.said = &code
		}
	}
	err = e
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		err = errors.Join(errNotBegun, e)
	case http.StatusUnauthorized, http.StatusForbidden:
		err = errors.Join(errRefused, e)
	}
	return nil, fmt.Errorf("%s an upload: %w", method, err)
}

// withoutURL takes the URL, which has a signature in it, out of an error.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// offset asks how far the upload is. errNotBegun is in the error's chain when it
// is not begun, errRefused when a new URL is needed.
func (t *tusClient) offset(ctx context.Context) (int64, error) {
	h, err := t.do(ctx, http.MethodHead, nil, nil, 0, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return 0, err
	}
	if text := h.Get("Upload-Length"); text != "" && text != strconv.FormatInt(t.size, 10) {
		return 0, protocol.Errorf(protocol.CodeSvrResInvalidParameters, "the hub has begun a file of %s bytes under the hash of one of %d", protocol.Clip(text), t.size)
	}
	return readOffset(h, 0, t.size)
}

// create begins the upload.
func (t *tusClient) create(ctx context.Context) error {
	_, err := t.do(ctx, http.MethodPost, map[string]string{"Upload-Length": strconv.FormatInt(t.size, 10)}, http.NoBody, 0, http.StatusCreated)
	return err
}

// patch sends what follows at offset and returns where the upload is then. It is
// where it was when nothing can be said.
func (t *tusClient) patch(ctx context.Context, body io.Reader, offset, length int64) (int64, error) {
	h, err := t.do(ctx, http.MethodPatch, map[string]string{
		"Upload-Offset": strconv.FormatInt(offset, 10), "Content-Type": "application/offset+octet-stream",
	}, body, length, http.StatusNoContent)
	if err != nil {
		return offset, err
	}
	return readOffset(h, offset+1, offset+length)
}

// readOffset reads where the server says it is. One that does not go on would
// have us send the same for ever.
func readOffset(h http.Header, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(h.Get("Upload-Offset"), 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("the server says that it has %q bytes, not %d to %d", protocol.Clip(h.Get("Upload-Offset")), low, high)
	}
	return n, nil
}
