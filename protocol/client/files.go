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
	answer, err := c.do(r, what)
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(answer, &u); err != nil {
		return u, fmt.Errorf("%s: decode answer: %w", what, err)
	}
	return u, nil
}

// Download opens a file of a message, which the daemon fetches from the hub if it
// is not on the board. The caller closes it.
func (c *Client) Download(ctx context.Context, uuid string) (io.ReadCloser, error) {
	if !protocol.ValidHash(uuid) {
		return nil, protocol.Errorf(protocol.CodeInvalidParameters, "uuid: not valid")
	}
	what := "GET /v1/files/" + uuid
	r, err := c.request(ctx, http.MethodGet, "/v1/files/"+uuid, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(r)
	switch {
	case err != nil:
		return nil, c.failed(ctx, what, err)
	case res.StatusCode == http.StatusOK:
		return res.Body, nil
	}
	_, err = c.read(res, what)
	return nil, err
}
