package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"

	"github.com/herald-im/herald/protocol"
)

const (
	// chunk is the most that one PATCH sends: a proxy before the hub that keeps
	// a request until it has it whole loses that much at a cut.
	chunk = 4 << 20
	// leastChunk is how small a chunk gets before proxies that find it too large.
	leastChunk = 64 << 10
)

// Upload brings a file of the store to the hub, so that a message may name it. It
// goes on until the hub has it, refuses it, or ctx ends; what is sent already the
// hub keeps, for this upload or a later one. Errors are *protocol.Error:
//
//	CodeFileNotFound             it is not in the store
//	CodeSvrResSizeLimit, …       of the hub, which will not have it
//	CodeSvrResReadFailed         its bytes are not any more what they were
//
// or ctx's.
func (c *Courier) Upload(ctx context.Context, hash string, size int64, progress Progress) error {
	ctx, end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	leave, err := c.alone(ctx, hash)
	if err != nil {
		return err
	}
	defer leave()
	f, err := c.opts.Store.Open(hash)
	if errors.Is(err, fs.ErrNotExist) {
		return protocol.Errorf(protocol.CodeFileNotFound, "the file %s is not on this board any more", protocol.Clip(hash))
	}
	if err != nil {
		return ioError("read the file", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != size {
		return protocol.Errorf(protocol.CodeSvrResInvalidParameters, "the file does not have %d bytes", size)
	}
	u := &upward{c: c, f: f, hash: hash, size: size, chunk: chunk, progress: throttle{to: progress}}
	return u.run(ctx)
}

// alone waits until no other upload of the same file is under way: what that one
// brings, this one need not.
func (c *Courier) alone(ctx context.Context, hash string) (leave func(), err error) {
	for {
		c.mu.Lock()
		other := c.sending[hash]
		if other == nil {
			mine := make(chan struct{})
			c.sending[hash] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.sending, hash)
				c.mu.Unlock()
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// upward is an upload under way.
type upward struct {
	c        *Courier
	f        *os.File
	hash     string
	size     int64
	chunk    int64
	progress throttle

	tus   *tusClient // nil: the hub is to be asked for a URL
	moved bool       // the last try brought something
	again bool       // the hub found the whole file wrong once
}

func (u *upward) run(ctx context.Context) error {
	wait := backoff{timing: u.c.opts.timing}
	for {
		u.moved = false
		err := u.try(ctx)
		switch {
		case err == nil:
			u.progress.tell(u.size, u.size)
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isFinal(err):
			return protocol.AsError(err)
		}
		u.c.opts.Log.Debug("an upload goes on later", "file", u.hash, "err", err)
		if u.moved {
			wait.reset()
		}
		if err := u.c.wait(ctx, &wait, nil); err != nil {
			return err
		}
	}
}

// try goes on from where the hub is until it has the file or something is in the
// way.
func (u *upward) try(ctx context.Context) error {
	if u.tus == nil {
		r, err := u.c.opts.Hub.PutFile(ctx, protocol.PutFileRequest{Hash: u.hash, Size: u.size})
		if err != nil {
			return fmt.Errorf("ask the hub for room: %w", err)
		}
		if r.Done {
			return nil
		}
		at, err := u.c.locate(r.URL)
		if err != nil {
			return err
		}
		u.tus = &tusClient{u.c.client, at, u.size}
	}
	release, err := acquire(ctx, u.c.up)
	if err != nil {
		return err
	}
	defer release()
	if err := u.send(ctx); err != nil {
		return u.judge(ctx, err)
	}
	return nil
}

func (u *upward) send(ctx context.Context) error {
	offset, err := u.tus.offset(ctx)
	if errors.Is(err, errNotBegun) {
		offset, err = 0, u.tus.create(ctx)
	}
	if err != nil {
		return err
	}
	if offset == u.size {
		// It had come when the connection was cut. Whether the hub has taken it,
		// or finds something wrong with it, only the hub can tell.
		u.tus = nil
		r, err := u.c.opts.Hub.PutFile(ctx, protocol.PutFileRequest{Hash: u.hash, Size: u.size})
		if err == nil && !r.Done {
			err = errors.New("the hub has all of the file and has not taken it yet")
		}
		return err
	}
	for offset < u.size {
		u.progress.tell(offset, u.size)
		n := min(u.chunk, u.size-offset)
		body := &counted{Reader: io.NewSectionReader(u.f, offset, n), tell: func(sent int64) {
			u.progress.tell(min(offset+sent, u.size-1), u.size) // all of it only when the hub says so
		}}
		next, err := u.tus.patch(ctx, body, offset, n)
		u.moved = body.end() > unsent || u.moved
		if err != nil {
			return err
		}
		offset, u.moved = next, true
	}
	return nil
}

// judge says what an answer means for the next try.
func (u *upward) judge(ctx context.Context, err error) error {
	var s *statusError
	if !errors.As(err, &s) {
		return err
	}
	if errors.Is(err, errRefused) || errors.Is(err, errNotBegun) {
		u.tus = nil
		return err
	}
	if s.status == http.StatusRequestEntityTooLarge && !s.tus && u.chunk > leastChunk {
		u.chunk /= 4
		u.moved = true
		return err
	}
	e := s.final()
	if e == nil {
		return err
	}
	if u.again {
		return e
	}
	// What came may have been damaged on the way, past the checksums of TCP, or
	// here on the flash. The former is worth a second try.
	u.again, u.tus = true, nil
	sum := sha256.New()
	if _, err := io.Copy(sum, &interruptible{ctx, io.NewSectionReader(u.f, 0, u.size)}); err != nil {
		return stop{ioError("read the file", err)}
	}
	if hex.EncodeToString(sum.Sum(nil)) != u.hash {
		return protocol.Errorf(protocol.CodeSvrResReadFailed, "the file %s has been damaged on this board", u.hash)
	}
	return fmt.Errorf("the hub finds the file wrong, and it is right: %s", e.Msg)
}

// counted counts what is read of a request's body. The client may go on reading
// for a moment after it has returned, on a goroutine of its own.
type counted struct {
	io.Reader
	tell func(int64)

	mu    sync.Mutex
	done  int64
	ended bool
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.done += int64(n)
		c.tell(c.done)
	}
	return n, err
}

// end ends the counting and returns how much was read.
func (c *counted) end() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.done
}

// interruptible is a reader that ends with ctx.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
