package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/protocol"
)

// Open opens a file for reading, which begins to come from the hub if it is not
// here: reading then waits for what is not here yet. It returns when there is
// something to read. Its last byte comes only once the whole is verified, so that
// who has all of a file has the right one.
//
// Errors, also of reading, are those of Fetch, CodeNetDisconnect when the hub
// cannot be asked, CodeSvrResTransferTimeout when nothing comes for a while, or
// ctx's: who reads is there, waiting. What has come stays in the store.
func (c *Courier) Open(ctx context.Context, hash string) (io.ReadSeekCloser, error) {
	if f, err := c.opts.Store.Open(hash); err == nil {
		return f, nil
	}
	ctx, end, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	d, err := c.join(hash, 0)
	if err != nil {
		end()
		return nil, err
	}
	d.read.Do(func() { close(d.reads) })
	r := &reader{c: c, d: d, ctx: ctx, end: end, patience: c.opts.timing.patience, failed: d.state().failed}
	if _, err := r.ready(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// reader reads a file that is on its way. It keeps its context, as io.Reader has
// none: it is that of the one request that reads.
type reader struct {
	c        *Courier
	d        *download
	ctx      context.Context
	end      func()
	patience time.Duration

	file *os.File
	part bool // the file is the download's
	pos  int64
	turn int // of what was read

	failed int // tries before this reader came, which count for others
}

var errChanged = protocol.Errorf(protocol.CodeSvrResReadFailed, "what came of the file was not what its hash says")

// ready waits until there is something behind pos and returns how far it goes.
func (r *reader) ready() (until int64, err error) {
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	for {
		s := r.d.state()
		until = s.have
		switch {
		case s.done && s.err != nil:
			return 0, s.err
		case s.turn != r.turn && r.file != nil:
			return 0, errChanged
		case s.done:
			return s.size, r.open()
		case until == s.size:
			until-- // until it is verified
		}
		if s.size > 0 && r.pos < until || r.file != nil && r.pos >= s.size {
			return until, r.open()
		}
		if e := (*protocol.Error)(nil); s.trouble != nil && s.failed > r.failed && errors.As(s.trouble, &e) && e.Code == protocol.CodeNetDisconnect {
			return 0, e
		}
		select {
		case <-s.changed:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		case <-timer.C:
			if s.trouble != nil {
				return 0, fmt.Errorf("%w: %w", protocol.Errorf(protocol.CodeSvrResTransferTimeout, "the file does not come"), s.trouble)
			}
			return 0, protocol.Errorf(protocol.CodeSvrResTransferTimeout, "the file does not come: the hub is silent, or others come first")
		}
	}
}

// open opens the file once there is one, and the other if there is another. The
// download's own descriptor shows what comes wherever it is renamed to.
func (r *reader) open() error {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	switch {
	case r.file != nil && r.turn != r.d.turn: // this moment
		return errChanged
	case r.file != nil && !(r.part && r.d.other):
		return nil
	}
	part := r.d.file != nil
	var f *os.File
	if part {
		fd, err := unix.FcntlInt(r.d.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return ioError("read the file", err)
		}
		f = os.NewFile(uintptr(fd), r.d.file.Name())
	} else {
		var err error
		if f, err = r.c.opts.Store.Open(r.d.hash); err != nil {
			return ioError("read the file", err)
		}
	}
	if r.file != nil {
		_ = r.file.Close()
	}
	r.file, r.part, r.turn = f, part, r.d.turn
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	until, err := r.ready()
	if err != nil {
		return 0, err
	}
	if r.pos >= until {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), until-r.pos)], r.pos)
	r.pos += int64(n)
	switch {
	case n > 0:
		err = nil
	case errors.Is(err, io.EOF): // it was begun anew this moment
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.d.state().size
	}
	if offset < 0 {
		return 0, errors.New("files: seek to before the beginning")
	}
	r.pos = offset
	return offset, nil
}

func (r *reader) Close() error {
	var err error
	if r.file != nil {
		err = r.file.Close()
	}
	r.c.leave(r.d)
	r.end()
	return err
}
