package localapi

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// maxSocketPath is what fits into sun_path (unix(7)) with its closing zero.
const maxSocketPath = 107

// socket is the listening unix socket under its path. A lock file beside it
// says that a daemon serves it, for as long as that daemon lives.
type socket struct {
	*net.UnixListener
	path string
	lock *os.File
	ino  uint64
}

// listenSocket makes the socket so that nobody can reach it before it has its
// owner and its mode: it is bound in a directory that only this user can enter
// and then renamed to its place.
func listenSocket(path, group string, log *slog.Logger) (_ *socket, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path has %d bytes, the kernel takes %d at most", path, len(path), maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("socket %s: its directory cannot be made: %w", path, err)
	}
	lock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := checkPlace(path); err != nil {
		return nil, err
	}

	private, err := os.MkdirTemp(dir, ".") // 0700
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer os.RemoveAll(private)
	bound := filepath.Join(private, "s")
	if len(bound) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: its directory's path is too long for the kernel", path)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false) // it will not be there any more
	defer func() {
		if err != nil {
			ln.Close()
		}
	}()
	if err := os.Chmod(bound, 0o660); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	giveToGroup(bound, path, group, log)
	ino, err := inode(bound)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.Rename(bound, path); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return &socket{UnixListener: ln, path: path, lock: lock, ino: ino}, nil
}

// lockSocket takes the lock that the daemon holds while it serves the path.
// The file stays when the daemon ends: removing it would let two daemons hold
// locks on two files of one name.
func lockSocket(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("socket %s: its lock: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errSocketTaken(path)
		}
		return nil, fmt.Errorf("socket %s: its lock: %w", path, err)
	}
	return f, nil
}

// ErrSocketTaken is in the chain of the error when another process serves the
// socket.
var ErrSocketTaken = errors.New("another daemon is serving it")

func errSocketTaken(path string) error {
	return fmt.Errorf("socket %s: %w", path, ErrSocketTaken)
}

// checkPlace tells whether path may be replaced: only by nothing, or a socket
// on which nobody answers.
func checkPlace(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("socket %s: %w", path, err)
	case fi.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("socket %s: there is something there that is not a socket", path)
	}
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	switch {
	case err == nil:
		c.Close()
		return errSocketTaken(path)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil // its daemon is gone
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded):
		return errSocketTaken(path) // it has more callers than it accepts
	}
	return fmt.Errorf("socket %s: it is not clear whether it is in use: %w", path, err)
}

func giveToGroup(file, path, group string, log *slog.Logger) {
	if group == "" {
		return
	}
	number := group
	if g, err := user.LookupGroup(group); err == nil {
		number = g.Gid
	}
	gid, err := strconv.Atoi(number)
	if err != nil {
		log.Info("the group of the socket does not exist; the daemon's own may use it", "socket", path, "group", group)
		return
	}
	// The unit gives the daemon this group and forbids it chown.
	if gid == os.Getegid() {
		return
	}
	if err := os.Chown(file, -1, gid); err != nil {
		log.Warn("the socket could not be given to its group", "socket", path, "group", group, "err", err)
	}
}

func inode(path string) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// Close stops listening, removes the socket if it is still this one, and lets
// the next daemon have the path.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if ino, inoErr := inode(s.path); inoErr == nil && ino == s.ino {
		if rmErr := os.Remove(s.path); rmErr != nil && err == nil {
			err = rmErr
		}
	}
	if lockErr := s.lock.Close(); lockErr != nil && err == nil {
		err = lockErr
	}
	return err
}
