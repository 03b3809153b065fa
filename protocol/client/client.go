package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/herald-im/herald/protocol"
)

// DefaultSocket is where a daemon listens that was told nothing else.
const DefaultSocket = "/run/herald/herald.sock"

// maxAnswer is the largest answer that is read, in bytes.
const maxAnswer = 16 << 20

// Client calls one daemon. It may be used by several goroutines.
type Client struct {
	http  *http.Client
	base  string
	token string
	where string // for people

	patience patience
}

// patience is how long the client waits. Tests shorten it.
type patience struct {
	silence time.Duration // that a stream may keep: the daemon pings every 15 s
	connect time.Duration // for a stream to begin
	minWait time.Duration // between attempts to begin one again
	maxWait time.Duration
}

// Unix makes a client of the daemon that listens on a unix socket. It does not
// connect yet.
func Unix(path string) *Client {
	return newClient("http://herald", "", path, func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	})
}

// TCP makes a client of the daemon that listens on the TCP address host:port
// for callers with the token.
func TCP(addr, token string) *Client {
	d := net.Dialer{Timeout: 10 * time.Second}
	return newClient("http://"+addr, token, addr, d.DialContext)
}

func newClient(base, token, where string, dial func(context.Context, string, string) (net.Conn, error)) *Client {
	return &Client{base: base, token: token, where: where, patience: patience{
		silence: 45 * time.Second, connect: 15 * time.Second, minWait: 100 * time.Millisecond, maxWait: 5 * time.Second,
	}, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the API never redirects; whoever does must not get the token
		},
	}}
}

// Close ends the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// UnreachableError says that no daemon could be asked. It wraps the cause.
type UnreachableError struct {
	Where string // the socket or the address
	Err   error
}

func (e *UnreachableError) Error() string {
	start := "start it with \"systemctl start herald\" or \"herald run\""
	switch {
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("the socket %s is not open to this user: who may use it is a member of its group (usermod -aG herald USER, then log in again)", e.Where)
	case errors.Is(e.Err, fs.ErrNotExist):
		return fmt.Sprintf("no herald daemon is running: there is no socket %s; %s, or name its socket", e.Where, start)
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no herald daemon is running: nobody answers on %s; %s", e.Where, start)
	}
	return fmt.Sprintf("the herald daemon on %s cannot be reached: %v", e.Where, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Call runs a method of the registry.
func Call[Req, Res any](ctx context.Context, c *Client, m protocol.Method[Req, Res], req Req) (res Res, err error) {
	name := m.Info().Name
	body, err := json.Marshal(req)
	if err != nil {
		return res, fmt.Errorf("%s: encode request: %w", name, err)
	}
	answer, err := c.CallRaw(ctx, name, body)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(answer, &res); err != nil {
		return res, fmt.Errorf("%s: decode answer: %w", name, err)
	}
	return res, nil
}

// CallRaw runs a method by its full name, JSON in and the JSON of the success
// out, without a newline.
func (c *Client) CallRaw(ctx context.Context, method string, body []byte) ([]byte, error) {
	module, name, ok := strings.Cut(method, ".")
	if !ok || strings.ContainsAny(method, "/?#% ") {
		return nil, protocol.Errorf(protocol.CodeInvalidParameters, "method: %q is not of the form im.login", method)
	}
	r, err := c.request(ctx, http.MethodPost, "/v1/"+module+"/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.do(r, method)
	return bytes.TrimSpace(answer), err
}

// do sends a request and reads its answer.
func (c *Client) do(r *http.Request, what string) ([]byte, error) {
	res, err := c.http.Do(r)
	if err != nil {
		return nil, c.failed(r.Context(), what, err)
	}
	return c.read(res, what)
}

// read reads an answer to its end. One that is not a success is an error.
func (c *Client) read(res *http.Response, what string) ([]byte, error) {
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the answer broke off: %w", what, err)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("%s: the answer is over %d bytes", what, maxAnswer)
	case res.StatusCode != http.StatusOK:
		return nil, c.refusal(res.Status, answer)
	}
	return answer, nil
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.where, err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// failed tells a daemon that was not asked from one that did not answer, as
// what it did not answer may have been done.
func (c *Client) failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without its address, which is ours alone
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return &UnreachableError{Where: c.where, Err: err}
	}
	return fmt.Errorf("%s: the daemon on %s did not answer, so it may be done or not: %w", what, c.where, err)
}

// refusal makes an error of an answer that is not a success.
func (c *Client) refusal(status string, body []byte) error {
	var e protocol.Error
	if json.Unmarshal(body, &e) != nil || e.Code == 0 {
		return fmt.Errorf("%s answers %s, which is not herald's", c.where, status)
	}
	return &e
}
