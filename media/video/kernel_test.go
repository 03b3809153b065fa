package video

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakeKernel is a V4L2 driver below the ioctls. The device is a file, which is always
// ready to be read, and whose bytes are the buffers.
type fakeKernel struct {
	path    string
	planes  bool   // it has the interface of several planes only
	caps    uint32 // in place of what a camera can
	pieces  byte   // in which a picture comes; 0: one
	stride  uint32
	fourcc  string // in place of YUYV
	buffers uint32 // that it grants
	length  uint32 // of each, bytes
	fails   map[uintptr]unix.Errno

	took   []buffer // what DQBUF says, over and over
	offset uint32   // of the picture in its plane, bytes
	taken  int
	queued int
	on     bool
}

const fakeBuffer = 1 << 16 // bytes

func newFakeKernel(t *testing.T) *fakeKernel {
	t.Helper()
	k := &fakeKernel{path: filepath.Join(t.TempDir(), "video0"), buffers: captureBufs, length: fakeBuffer, fails: make(map[uintptr]unix.Errno)}
	if err := os.WriteFile(k.path, make([]byte, captureBufs*fakeBuffer), 0o600); err != nil {
		t.Fatal(err)
	}
	k.took = []buffer{{bytesUsed: 160 * 120 * 2}}
	set(t, &kernel, k.ioctl)
	return k
}

// node opens it.
func (k *fakeKernel) node(t *testing.T) *node {
	t.Helper()
	n, err := openNode(k.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (k *fakeKernel) ioctl(_ int, request uintptr, arg unsafe.Pointer) unix.Errno {
	if errno := k.fails[request]; errno != 0 {
		return errno
	}
	switch request {
	case queryCap:
		c := (*capability)(arg)
		copy(c.card[:], "A camera\xff of no name that is far too long for it")
		if c.caps = k.caps; k.caps == 0 {
			if c.caps = capStreaming | capCapture; k.planes {
				c.caps = capStreaming | capCapturePlanes
			}
		}
	case enumFormat:
		d := (*formatDesc)(arg)
		if d.index > 0 {
			return unix.EINVAL
		}
		d.pixelFormat = fourcc(k.pixels())
	case enumSizes:
		e := (*sizeEnum)(arg)
		if e.index > 0 {
			return unix.EINVAL
		}
		e.typ, e.size = inDiscrete, [6]uint32{160, 120}
	case setFormat:
		f := (*format)(arg)
		if !k.planes {
			(*pixFormat)(unsafe.Pointer(&f.fmt)).bytesPerLine = k.stride
			break
		}
		p := (*pixFormatPlanes)(unsafe.Pointer(&f.fmt))
		p.planes[0].bytesPerLine, p.numPlanes = k.stride, max(1, k.pieces)
	case reqBuffers:
		(*requestBuffers)(arg).count = k.buffers
	case queryBuffer:
		b := (*buffer)(arg)
		at := b.index % captureBufs * fakeBuffer
		if !k.planes {
			b.m, b.length = uintptr(at), k.length
			break
		}
		p := planesOf(b)
		p.m, p.length = uintptr(at), k.length
	case queueBuffer:
		k.queued++
	case streamOn:
		k.on = true
	case streamOff:
		k.on = false
	case dequeueBuffer:
		b, t := (*buffer)(arg), k.took[k.taken%len(k.took)]
		k.taken++
		b.index, b.flags, b.timestamp, b.sequence = t.index, t.flags, t.timestamp, t.sequence
		if b.bytesUsed = t.bytesUsed; k.planes {
			p := planesOf(b)
			p.bytesUsed, p.dataOffset, b.bytesUsed = t.bytesUsed, k.offset, 0xdead
		}
	default:
		return unix.ENOTTY
	}
	return 0
}

// planesOf is where b points to. It is read as memory, as vet would have none of an
// address in a number.
func planesOf(b *buffer) *plane { return *(**plane)(unsafe.Pointer(&b.m)) }

func (k *fakeKernel) pixels() string {
	if k.fourcc != "" {
		return k.fourcc
	}
	return "YUYV"
}

// mapped is how many of a process's mappings are of a file.
func mapped(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), path)
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// What a driver says of a buffer is believed as far as the buffer goes.
func TestBuffersOfADriverThatLies(t *testing.T) {
	for _, planes := range []bool{false, true} {
		k := newFakeKernel(t)
		k.planes = planes
		n := k.node(t)
		if err := n.Start(captureBufs); err != nil {
			t.Fatal(err)
		}
		if mapped(t, k.path) == 0 || k.queued != captureBufs || !k.on {
			t.Fatal("no buffers", k.queued, k.on)
		}
		for name, x := range map[string]struct {
			says   buffer
			offset uint32
			bytes  int // -1: an error
			bad    bool
		}{
			"all of it":         {buffer{bytesUsed: fakeBuffer, index: 3}, 0, fakeBuffer, false},
			"more than it has":  {buffer{bytesUsed: fakeBuffer + 1}, 0, fakeBuffer, false},
			"4 GB":              {buffer{bytesUsed: 1<<32 - 1}, 0, fakeBuffer, false},
			"nothing":           {buffer{}, 0, 0, false},
			"damaged":           {buffer{bytesUsed: 7, flags: flagError}, 0, 7, true},
			"an offset":         {buffer{bytesUsed: 100}, 10, 90, false},
			"an offset beyond":  {buffer{bytesUsed: 100}, 1<<32 - 1, 0, false},
			"a buffer too many": {buffer{index: captureBufs}, 0, -1, false},
			"no buffer at all":  {buffer{index: 1<<32 - 1}, 0, -1, false},
		} {
			if k.took[0], k.offset = x.says, x.offset; !planes && x.offset > 0 {
				continue
			}
			got, err := n.Take()
			if (err != nil) != (x.bytes < 0) || err == nil && (len(got.data) != x.bytes || got.damaged != x.bad) {
				t.Errorf("%s, planes %v: %d bytes, damaged %v, %v", name, planes, len(got.data), got.damaged, err)
			}
		}
	}
}

// A picture is of when it was captured, or of now if the driver says nothing of use.
func TestTimesOfADriverThatLies(t *testing.T) {
	k := newFakeKernel(t)
	n := k.node(t)
	if err := n.Start(captureBufs); err != nil {
		t.Fatal(err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	before := func(d time.Duration) unix.Timeval { return unix.NsecToTimeval(now.Nano() - int64(d)) }
	for name, x := range map[string]struct {
		at    unix.Timeval
		flags uint32
		is    bool // believed
	}{
		"0.5 s ago":        {before(500 * time.Millisecond), flagMonotonic, true},
		"of another clock": {before(500 * time.Millisecond), 0, false},
		"none":             {unix.Timeval{}, flagMonotonic, false},
		"to come":          {before(-time.Hour), flagMonotonic, false},
		"long ago":         {before(time.Hour), flagMonotonic, false},
		"no time":          {unix.Timeval{Sec: 1<<31 - 1, Usec: -1}, flagMonotonic, false},
	} {
		k.took[0] = buffer{bytesUsed: 1, timestamp: x.at, flags: x.flags}
		began := time.Now()
		got, err := n.Take()
		if err != nil || got.at.Before(began) != x.is || got.at.After(time.Now()) || began.Sub(got.at) > time.Second {
			t.Errorf("%s: of %v, at %v, %v", name, got.at, began, err)
		}
	}
}

// A driver that refuses, at whatever step, leaves nothing open.
func TestDriverThatRefuses(t *testing.T) {
	for name, x := range map[string]struct {
		breaks func(k *fakeKernel)
		says   string
	}{
		"no camera":        {func(k *fakeKernel) { k.caps = capStreaming }, "it is no camera"},
		"the node is none": {func(k *fakeKernel) { k.caps = capStreaming | capCapture | capDevice }, "it is no camera"},
		"no V4L2":          {func(k *fakeKernel) { k.fails[queryCap] = unix.ENOTTY }, "what it can"},
		"no formats":       {func(k *fakeKernel) { k.fails[enumFormat] = unix.EINVAL }, "none of the formats"},
		"no sizes":         {func(k *fakeKernel) { k.fails[enumSizes] = unix.ENOTTY }, "none of the formats"},
		"busy":             {func(k *fakeKernel) { k.fails[setFormat] = unix.EBUSY }, "set YUYV 160×120: device or resource busy: another program uses it"},
		"in pieces":        {func(k *fakeKernel) { k.planes, k.pieces = true, 3 }, "in 3 pieces"},
		"no buffers":       {func(k *fakeKernel) { k.fails[reqBuffers] = unix.EBUSY }, "ask for buffers: device or resource busy: another program uses it"},
		"none granted":     {func(k *fakeKernel) { k.buffers = 0 }, "no buffers"},
		"one unknown":      {func(k *fakeKernel) { k.fails[queryBuffer] = unix.EINVAL }, "ask for a buffer"},
		"of no length":     {func(k *fakeKernel) { k.length = 0 }, "map a buffer"},
		"not taken":        {func(k *fakeKernel) { k.fails[queueBuffer] = unix.EIO }, "give the driver"},
		"does not begin":   {func(k *fakeKernel) { k.fails[streamOn] = unix.ENOSPC }, "begin to capture: no space left on device: the USB port has no room"},
		"a stride of 4 GB": {func(k *fakeKernel) { k.stride = 1<<32 - 2 }, "4294967294 bytes"},
		"a stride of 1 GB": {func(k *fakeKernel) { k.stride, k.fourcc = 1<<30, "NV12" }, "1073741824 bytes"},
	} {
		k := newFakeKernel(t)
		x.breaks(k)
		files := openFiles(t)
		s, err := V4L2(k.path).Open(Format{160, 120, 30})
		if err == nil || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
		if n := openFiles(t); n != files || mapped(t, k.path) > 0 || k.on {
			t.Errorf("%s: %d files were open, and %d are; %d mappings; on: %v", name, files, n, mapped(t, k.path), k.on)
		}
	}
}

// A camera that fails while it gives pictures says so, and is closed whole.
func TestDriverThatFails(t *testing.T) {
	for name, x := range map[string]struct {
		request uintptr
		errno   unix.Errno
	}{"DQBUF": {dequeueBuffer, unix.EIO}, "QBUF": {queueBuffer, unix.ENODEV}} {
		k := newFakeKernel(t)
		s, err := V4L2(k.path).Open(Format{160, 120, 30})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		f.Release()
		k.fails[x.request], k.fails[streamOff] = x.errno, unix.ENODEV
		if _, err := s.Read(); !errors.Is(err, x.errno) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil || mapped(t, k.path) > 0 {
			t.Errorf("%s: %v, %d mappings", name, err, mapped(t, k.path))
		}
	}
}

// A device that vanishes ends a wait at once.
func TestWaitForADeviceThatVanishes(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	n := &node{fd: p[0]}
	if ready, err := n.Wait(time.Millisecond); ready || err != nil {
		t.Error(ready, err)
	}
	if err := unix.Close(p[1]); err != nil {
		t.Fatal(err)
	}
	if ready, err := n.Wait(patience); ready || !errors.Is(err, unix.ENODEV) {
		t.Error(ready, err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// A poll that fails now and then, as it does where a signal comes in between, is no camera
// that is gone; one that fails all the time is.
func TestPollInterrupted(t *testing.T) {
	var says []int16
	calls := 0
	set(t, &poll, func(p []unix.PollFd, _ int) (int, error) {
		p[0].Revents = says[min(calls, len(says)-1)]
		calls++
		return 1, nil
	})
	n := &node{}
	for name, x := range map[string]struct {
		says  []int16
		ready bool
	}{
		"once":           {[]int16{unix.POLLERR, unix.POLLIN}, true},
		"some times":     {[]int16{unix.POLLERR, unix.POLLERR, unix.POLLERR, unix.POLLIN}, true},
		"all the time":   {[]int16{unix.POLLERR}, false},
		"unplugged":      {[]int16{unix.POLLERR | unix.POLLHUP, unix.POLLIN}, false},
		"no file at all": {[]int16{unix.POLLNVAL, unix.POLLIN}, false},
		"both":           {[]int16{unix.POLLERR | unix.POLLIN}, true},
	} {
		says, calls = x.says, 0
		ready, err := n.Wait(patience)
		if ready != x.ready || ready != (err == nil) || err != nil && !errors.Is(err, unix.ENODEV) {
			t.Errorf("%s: %v, %v", name, ready, err)
		}
	}
}

// After a thousand times nothing is left of it.
func TestOpenedAThousandTimes(t *testing.T) {
	k := newFakeKernel(t)
	files := openFiles(t)
	for range 1000 {
		s, err := V4L2(k.path).Open(Format{160, 120, 30})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		f.Release()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := openFiles(t); n != files || mapped(t, k.path) > 0 {
		t.Errorf("%d files were open, and %d are; %d mappings", files, n, mapped(t, k.path))
	}
}
