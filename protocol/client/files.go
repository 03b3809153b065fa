package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/herald-im/herald/protocol"
)

// Uploaded is a file that was given to the daemon.
type Uploaded struct {
	// Upload stands for its path in im.create…Message.
	Upload string `json:"upload"`
	UUID   string `json:"uuid"` // the SHA-256 of its bytes
	Size   int64  `json:"size"`
}

// Upload gives the daemon a file to be sent: one that it could not read by itself.
// name is what it is called, size its bytes; -1: not known.
func (c *Client) Upload(ctx context.Context, name string, size int64, body io.Reader) (u Uploaded, err error) {
	const what = "POST /v1/files"
	r, err := c.request(ctx, http.MethodPost, "/v1/files?name="+url.QueryEscape(name), body)
	if err != nil {
		return u, err
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", "application/octet-stream")
	res, err := c.http.Do(r)
	if err != nil {
		return u, c.failed(ctx, what, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return u, fmt.Errorf("%s: the answer broke off: %w", what, err)
	case res.StatusCode != http.StatusOK:
		return u, c.refusal(res.Status, answer)
	}
	if err := json.Unmarshal(answer, &u); err != nil {
		return u, fmt.Errorf("%s: decode answer: %w", what, err)
	}
	return u, nil
}

// Download opens a file of a message, which the daemon fetches from the hub if it
// is not on the board, from a byte on. size is that of the whole file. The caller
// closes it.
func (c *Client) Download(ctx context.Context, uuid string, from int64) (body io.ReadCloser, size int64, err error) {
	if !protocol.ValidHash(uuid) {
		return nil, 0, protocol.Errorf(protocol.CodeInvalidParameters, "uuid: not valid")
	}
	what := "GET /v1/files/" + uuid
	r, err := c.request(ctx, http.MethodGet, "/v1/files/"+uuid, nil)
	if err != nil {
		return nil, 0, err
	}
	if from > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	res, err := c.http.Do(r)
	if err != nil {
		return nil, 0, c.failed(ctx, what, err)
	}
	if res.StatusCode == http.StatusOK && from == 0 || res.StatusCode == http.StatusPartialContent && from > 0 {
		return res.Body, from + res.ContentLength, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: the answer broke off: %w", what, err)
	}
	return nil, 0, c.refusal(res.Status, answer)
}
