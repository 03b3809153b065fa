package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/herald-im/herald/protocol"
)

// download is one file on its way here, for all who wait for it.
type download struct {
	c      *Courier
	hash   string
	refs   int // who waits for it; guarded by c.mu
	cancel context.CancelFunc
	ended  chan struct{} // closed when nothing of it is left
	wake   chan struct{} // somebody new is there: try again now
	reads  chan struct{} // closed, by read, once somebody reads it
	read   sync.Once

	mu      sync.Mutex
	size    int64         // 0: not known yet
	have    int64         // bytes that are here
	turn    int           // how often it was begun anew, from nothing
	file    *os.File      // while it is open
	trouble error         // why nothing comes at the moment
	failed  int           // tries
	other   bool          // it is here by another way, and file is not any more
	done    bool          // it is here and verified, or err says why not
	err     error         // *protocol.Error
	changed chan struct{} // closed at the next change of these

	// Of its goroutine alone.
	url     *url.URL // nil: the hub is to be asked
	sum     hash.Hash
	wrong   int // how often it was whole, and not what its hash says
	refused int // answers in a row that brought nothing, see maxRefused
}

// Fetch brings a file of the hub's into the store and returns when it is there.
// Size is what its message says; 0: it is not known. It goes on until the hub
// refuses or ctx ends; what has come by then stays for the next time. Errors are
// *protocol.Error:
//
//	CodeSvrResNotFound     the hub does not have it any more
//	CodeSvrResAccessDeny   this account may not read it
//	CodeSvrResReadFailed   what came was twice not what the hash says
//	CodeNetReqCountLimit   too many downloads, or no room in the cache for it
//	CodeDatabaseFailure    the disk has too little room
//	CodeIOOperationFailed  writing it failed
//
// or ctx's.
func (c *Courier) Fetch(ctx context.Context, hash string, size int64, progress Progress) error {
	if _, here := c.opts.Store.Path(hash); here {
		return nil
	}
	ctx, end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	d, err := c.join(hash, size)
	if err != nil {
		return err
	}
	defer c.leave(d)
	t := throttle{to: progress}
	for {
		s := d.state()
		switch {
		case s.done && s.err != nil:
			return s.err
		case s.done:
			if s.size > 0 {
				t.tell(s.size, s.size)
			}
			return nil
		case s.have > 0 && s.have < s.size:
			t.tell(s.have, s.size)
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// join is for who wants a file that is not here. Each join has its leave.
func (c *Courier) join(hash string, size int64) (*download, error) {
	if !protocol.ValidHash(hash) {
		return nil, protocol.Errorf(protocol.CodeInvalidParameters, "%q is not the name of a file", protocol.Clip(hash))
	}
	if size < 0 || size > protocol.MaxFile {
		return nil, protocol.Errorf(protocol.CodeSvrResSizeLimit, "the file has %d bytes, over the limit of %d", size, protocol.MaxFile)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.jobs[hash]
	switch {
	case c.closed:
		return nil, errClosed
	case old != nil && old.refs > 0:
		old.refs++
		select {
		case old.wake <- struct{}{}:
		default:
		}
		return old, nil
	case len(c.jobs) >= maxJobs:
		return nil, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d files are being downloaded", maxJobs)
	}
	d := &download{c: c, hash: hash, refs: 1, size: size, ended: make(chan struct{}), wake: make(chan struct{}, 1), reads: make(chan struct{}), changed: make(chan struct{}), sum: sha256.New()}
	ctx, cancel := context.WithCancel(c.ctx)
	d.cancel = cancel
	c.jobs[hash] = d
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		if old != nil {
			<-old.ended // the partial file is one
		}
		d.run(ctx)
	}()
	return d, nil
}

func (c *Courier) leave(d *download) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.refs--; d.refs == 0 {
		d.cancel()
	}
}

// progressed is what who waits for a download is told.
type progressed struct {
	size, have int64
	turn       int
	trouble    error
	failed     int
	done       bool
	err        error
	changed    <-chan struct{}
}

func (d *download) state() progressed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return progressed{d.size, d.have, d.turn, d.trouble, d.failed, d.done, d.err, d.changed}
}

// change changes what others see, and tells them.
func (d *download) change(how func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	how()
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *download) run(ctx context.Context) {
	err := d.bring(ctx)
	if ctx.Err() != nil && err != nil {
		err = errClosed // nobody waits any more
	}
	if d.file != nil { // else it is in its place
		file := d.file
		d.change(func() { d.file = nil })
		d.c.opts.Store.closePart(d.hash, file, d.have)
	}
	d.c.mu.Lock()
	if d.c.jobs[d.hash] == d {
		delete(d.c.jobs, d.hash)
	}
	d.c.mu.Unlock()
	d.cancel()
	close(d.ended)
	d.change(func() { d.done, d.err = true, err })
}

// bring tries until the file is here or cannot come. The error is nil or a
// *protocol.Error, unless ctx has ended.
func (d *download) bring(ctx context.Context) error {
	wait := backoff{timing: d.c.opts.timing}
	for ctx.Err() == nil {
		before := d.have
		err := d.try(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case isFinal(err):
			return protocol.AsError(err)
		}
		d.c.opts.Log.Debug("a download goes on later", "file", d.hash, "have", d.have, "err", err)
		if d.have > before {
			wait.reset()
		}
		d.change(func() { d.trouble, d.failed = err, d.failed+1 })
		if err := d.c.wait(ctx, &wait, d.wake); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// try goes on from what is here.
func (d *download) try(ctx context.Context) error {
	release, err := d.place(ctx) // first: a URL would expire in the queue
	if err != nil {
		return err
	}
	defer release()
	switch other, err := d.c.opts.Store.Open(d.hash); {
	case err == nil:
		return d.came(ctx, other)
	case !errors.Is(err, fs.ErrNotExist):
		return stop{ioError("read the file", err)}
	}
	if d.url == nil {
		if err := d.ask(ctx); err != nil {
			return err
		}
	}
	if d.file == nil {
		if err := d.open(ctx); err != nil {
			return err
		}
	}
	if d.have < d.size {
		if err := d.receive(ctx); err != nil {
			return err
		}
	}
	if hex.EncodeToString(d.sum.Sum(nil)) != d.hash {
		return d.mismatch("what came is not what its hash says")
	}
	file := d.file
	if err := d.c.opts.Store.finishPart(d.hash, file); err != nil {
		return stop{err}
	}
	d.change(func() { d.file = nil }) // first: a reader may be about to use its descriptor
	_ = file.Close()
	return nil
}

// place takes a place among the downloads, or once somebody reads this one among
// those that are read: who reads is there, and waits.
func (d *download) place(ctx context.Context) (release func(), err error) {
	var ahead chan struct{}
	for reads := d.reads; ; reads, ahead = nil, d.c.ahead {
		select {
		case d.c.down <- struct{}{}:
			return func() { <-d.c.down }, nil
		case ahead <- struct{}{}:
			return func() { <-d.c.ahead }, nil
		case <-reads:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// came is for a file that was stored by another way meanwhile: a program has sent
// it too. Who reads goes on with that one, if what he may have read is the same.
func (d *download) came(ctx context.Context, other *os.File) error {
	defer other.Close()
	info, err := other.Stat()
	if err != nil {
		return stop{ioError("read the file", err)}
	}
	same := d.have == 0
	if !same {
		sum := sha256.New()
		if _, err := io.CopyN(sum, &interruptible{ctx, other}, d.have); err != nil && !errors.Is(err, io.EOF) {
			return stop{ioError("read the file", err)}
		}
		same = bytes.Equal(sum.Sum(nil), d.sum.Sum(nil))
	}
	file := d.file
	d.change(func() {
		d.file, d.have, d.size, d.other = nil, 0, info.Size(), true
		if !same {
			d.turn++
		}
	})
	if file != nil {
		d.c.opts.Store.closePart(d.hash, file, 0)
	}
	return nil
}

// ask gets a URL from the hub.
func (d *download) ask(ctx context.Context) error {
	r, err := d.c.opts.Hub.GetFile(ctx, protocol.GetFileRequest{Hash: d.hash})
	if err != nil {
		return fmt.Errorf("ask the hub for the file: %w", err)
	}
	if r.Size < 1 || r.Size > protocol.MaxFile || d.size != 0 && r.Size != d.size {
		return protocol.Errorf(protocol.CodeSvrResReadFailed, "the file of the hub has %d bytes, not %d", r.Size, d.size)
	}
	if d.url, err = d.c.locate(r.URL); err != nil {
		return err
	}
	d.change(func() { d.size = r.Size })
	return nil
}

// open opens the partial file and reads what is in it already.
func (d *download) open(ctx context.Context) error {
	f, have, err := d.c.opts.Store.openPart(d.hash, d.size)
	if errors.Is(err, errCrowded) {
		return err
	}
	if err != nil {
		return stop{err}
	}
	d.sum.Reset()
	if _, err := io.Copy(d.sum, &interruptible{ctx, io.NewSectionReader(f, 0, have)}); err != nil {
		d.c.opts.Store.closePart(d.hash, f, have)
		return fmt.Errorf("read what is here of the file: %w", err)
	}
	d.change(func() { d.file, d.have = f, have })
	return nil
}

// receive asks for what is missing and writes it.
func (d *download) receive(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return fmt.Errorf("get the file: %w", withoutURL(err))
	}
	r.Header.Set("Accept-Encoding", "identity")
	if d.have > 0 {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(d.have, 10)+"-")
		r.Header.Set("If-Range", `"`+d.hash+`"`)
	}
	res, err := d.c.client.Do(r)
	if err != nil {
		return fmt.Errorf("get the file: %w", withoutURL(err))
	}
	defer res.Body.Close()
	if err := d.judge(res); err != nil {
		return err
	}
	if res.StatusCode == http.StatusOK && d.have > 0 {
		// The server knows no ranges: what is here is not written again.
		if _, err := io.CopyN(io.Discard, res.Body, d.have); err != nil {
			return fmt.Errorf("get the file: %w", err)
		}
	}
	return d.write(ctx, res.Body)
}

// judge looks at an answer's head; nil: its body is what is missing, or all.
func (d *download) judge(res *http.Response) error {
	wrong := ""
	switch res.StatusCode {
	case http.StatusOK:
		if n := res.ContentLength; n >= 0 && n != d.size {
			wrong = fmt.Sprintf("the file has %d bytes there, not %d", n, d.size)
		}
	case http.StatusPartialContent:
		switch from, total, ok := contentRange(res.Header.Get("Content-Range")); {
		case !ok || from != d.have:
			wrong = "the answer is another part of the file"
		case total >= 0 && total != d.size:
			wrong = "the answer is a part of another file"
		}
	default:
		wrong = "HTTP status " + strconv.Itoa(res.StatusCode)
		if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout {
			return errors.New("get the file: " + wrong) // it will be well again
		}
	}
	if wrong == "" {
		return nil
	}
	d.url = nil // the hub is asked again: it says what is final
	if d.refused++; d.refused < maxRefused {
		return errors.New("get the file: " + wrong)
	}
	code := protocol.CodeSvrResReadFailed
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		code = protocol.CodeSvrResNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		code = protocol.CodeSvrResAccessDeny
	}
	return protocol.Errorf(code, "the hub allows the file and does not give it: %s", wrong)
}

// contentRange reads where a part begins and how long the whole is, -1 if that is
// not said (RFC 9110 §14.4).
func contentRange(text string) (from, total int64, ok bool) {
	text, inBytes := strings.CutPrefix(text, "bytes ")
	part, whole, _ := strings.Cut(text, "/")
	first, _, dash := strings.Cut(part, "-")
	n, err := strconv.ParseUint(first, 10, 63)
	if err != nil || !inBytes || !dash {
		return 0, 0, false
	}
	if whole == "*" {
		return int64(n), -1, true
	}
	m, err := strconv.ParseUint(whole, 10, 63)
	return int64(n), int64(m), err == nil
}

// write writes a body behind what is here.
func (d *download) write(ctx context.Context, body io.Reader) error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buf)
		if d.have+int64(n) > d.size {
			return d.mismatch(fmt.Sprintf("more came than its %d bytes", d.size))
		}
		if n > 0 {
			if _, err := d.file.WriteAt(buf[:n], d.have); err != nil {
				d.change(func() { d.have = 0 }) // what fills the disk goes
				return stop{ioError("keep the file", err)}
			}
			d.c.opts.Store.partHas(d.hash, d.have+int64(n))
			d.sum.Write(buf[:n])
			d.refused = 0
			d.change(func() { d.have, d.trouble = d.have+int64(n), nil })
		}
		switch {
		case errors.Is(err, io.EOF) && d.have == d.size:
			return nil
		case err != nil:
			return fmt.Errorf("get the file: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// mismatch throws away what came, once.
func (d *download) mismatch(why string) error {
	if err := d.file.Truncate(0); err != nil {
		return stop{ioError("keep the file", err)}
	}
	d.c.opts.Store.partHas(d.hash, 0)
	d.sum.Reset()
	d.url = nil
	d.change(func() { d.have, d.turn = 0, d.turn+1 })
	if d.wrong++; d.wrong > 1 {
		return protocol.Errorf(protocol.CodeSvrResReadFailed, "the file %s cannot be had: twice %s", d.hash, why)
	}
	return errors.New(why)
}
