package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/protocol"
)

// pseudo are file systems whose files are not on any disk: what they say is of
// the machine, and often of the daemon itself.
var pseudo = map[uint32]bool{
	unix.PROC_SUPER_MAGIC: true, unix.SYSFS_MAGIC: true, unix.DEBUGFS_MAGIC: true, unix.TRACEFS_MAGIC: true,
	unix.CGROUP_SUPER_MAGIC: true, unix.CGROUP2_SUPER_MAGIC: true, unix.SECURITYFS_MAGIC: true,
	unix.BPF_FS_MAGIC: true, unix.EFIVARFS_MAGIC: true, unix.PSTOREFS_MAGIC: true,
}

// openPath opens a program's file. It never waits for the other end of a fifo and
// never opens a device, which may act on it: what it is is looked at first,
// through a descriptor that can do nothing else (O_PATH). The error is a
// *protocol.Error.
func (s *Store) openPath(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, protocol.Errorf(protocol.CodeFileNotFound, "%q is not an absolute path, and the daemon's own folder is not that of its callers", protocol.Clip(path))
	}
	at, err := openAt(path)
	if err != nil {
		return nil, openError(path, err)
	}
	defer unix.Close(at)
	var st unix.Stat_t
	var disk unix.Statfs_t
	if err := errors.Join(unix.Fstat(at, &st), unix.Fstatfs(at, &disk)); err != nil {
		return nil, openError(path, err)
	}
	refuse := func(why string) (*os.File, error) {
		return nil, protocol.Errorf(protocol.CodeFileOpenFailed, "%q %s", protocol.Clip(path), why)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return refuse("is a folder, not a file")
	default:
		return refuse("is a device, a pipe or a socket, not a file")
	}
	self := "/proc/self/fd/" + strconv.Itoa(at)
	switch where, err := os.Readlink(self); {
	case pseudo[uint32(disk.Type)]:
		return refuse("is not on a disk")
	case err == nil && s.private(where):
		return refuse("is the daemon's own")
	}
	f, err := os.OpenFile(self, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) { // there is no /proc
		if f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
			var now unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &now); err != nil || now.Dev != st.Dev || now.Ino != st.Ino {
				_ = f.Close()
				return refuse("was replaced while it was opened")
			}
		}
	}
	if err != nil {
		return nil, openError(path, err)
	}
	return f, nil
}

// openAt follows the links of file systems but not those of /proc, which lead to
// whatever the daemon has open. A kernel before 5.6 cannot tell them apart.
func openAt(path string) (int, error) {
	for {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS})
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // the latter from filters that do not know it
			fd, err = unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// private tells whether a path is the daemon's own. The files of the store may be
// sent again.
func (s *Store) private(path string) bool {
	within := func(dir string) bool {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return false // it is not there, so nothing is in it
		}
		real, err = filepath.Abs(real)
		return err == nil && (path == real || strings.HasPrefix(path, strings.TrimSuffix(real, "/")+"/"))
	}
	if within(s.opts.Dir) {
		return within(filepath.Join(s.opts.Dir, tmpDir))
	}
	for _, p := range s.opts.Private {
		if p != "" && within(p) {
			return true
		}
	}
	return false
}

func openError(path string, err error) *protocol.Error {
	code := protocol.CodeFileOpenFailed
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		code = protocol.CodeFileNotFound
	case errors.Is(err, unix.EIO):
		code = protocol.CodeIOOperationFailed
	}
	var path1 *fs.PathError
	if errors.As(err, &path1) { // its path may be our name for it
		err = path1.Err
	}
	return protocol.Errorf(code, "%q cannot be opened: %v", protocol.Clip(path), err)
}

// ioError is what writing a file of the store failed with. The error is a
// *protocol.Error.
func ioError(what string, err error) error {
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return protocol.Errorf(protocol.CodeDatabaseFailure, "%s: the disk is full", what)
	}
	return fmt.Errorf("%w: %w", protocol.Errorf(protocol.CodeIOOperationFailed, "%s: %v", what, err), err)
}
