package video

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The small layer that speaks V4L2 with the kernel (linux/videodev2.h). What is
// granted, when a picture was captured and whether it is damaged are in what the
// ioctls give back, so it is all here and nothing of it above.

// Types of buffers: of one plane, and of several (many CSI receivers have only these).
const (
	bufCapture       = 1
	bufCapturePlanes = 9
)

const (
	capCapture       = 1 << 0
	capCapturePlanes = 1 << 12
	capStreaming     = 1 << 26
	capDevice        = 1 << 31 // device_caps says what this node can

	memoryMapped = 1
	parmRate     = 0x1000 // V4L2_CAP_TIMEPERFRAME
	inDiscrete   = 1      // of sizes and intervals; 2 is continuous, 3 in steps

	flagError     = 0x0040
	flagKey       = 0x0008
	flagClockMask = 0xe000
	flagMonotonic = 0x2000

	maxEnumerated = 256 // sizes, intervals, controls, entries of a menu
	maxPlanes     = 8
)

type (
	capability struct {
		_                [16]byte
		card             [32]byte
		_                [32]byte
		_                uint32
		caps, deviceCaps uint32
		_                [3]uint32
	}
	formatDesc struct {
		index, typ  uint32
		_           [36]byte
		pixelFormat uint32
		_           [4]uint32
	}
	sizeEnum struct {
		index, pixelFormat, typ uint32
		size                    [6]uint32 // width, height; or min, max, step of each
		_                       [2]uint32
	}
	fraction     struct{ num, den uint32 }
	intervalEnum struct {
		index, pixelFormat, width, height, typ uint32
		interval                               [3]fraction // one, or the least, the most, the step
		_                                      [2]uint32
	}
	format struct {
		typ uint32
		fmt [200 / unsafe.Sizeof(uintptr(0))]uintptr // a union with pointers in it
	}
	pixFormat struct {
		width, height, pixelFormat, field, bytesPerLine, sizeImage uint32
		_                                                          [6]uint32
	}
	pixFormatPlanes struct {
		width, height, pixelFormat, field, colorspace uint32
		planes                                        [maxPlanes]struct {
			sizeImage, bytesPerLine uint32
			_                       [6]uint16
		}
		numPlanes byte
		_         [11]byte
	}
	streamParm struct {
		typ, capability uint32
		_               uint32
		interval        fraction
		_               [46]uint32
	}
	requestBuffers struct {
		count, typ, memory uint32
		_                  [2]uint32
	}
	buffer struct {
		index, typ, bytesUsed, flags uint32
		_                            uint32
		timestamp                    unix.Timeval
		_                            [4]uint32
		sequence, memory             uint32
		m                            uintptr // an offset, or the address of planes
		length                       uint32
		_                            [2]uint32
	}
	plane struct {
		bytesUsed, length uint32
		m                 uintptr
		dataOffset        uint32
		_                 [11]uint32
	}
	queryControl struct {
		id, typ                uint32
		name                   [32]byte
		min, max, step, preset int32
		flags                  uint32
		_                      [2]uint32
	}
	queryMenu struct {
		id, index uint32
		name      [32]byte // or a number, in menus of these
		_         uint32
	}
	controlValue struct {
		id    uint32
		value int32
	}
)

// iowr is the number of an ioctl that reads and writes a T.
func iowr[T any](nr uintptr) uintptr { return 3<<30 | unsafe.Sizeof(*new(T))<<16 | 'V'<<8 | nr }

var (
	queryCap      = 2<<30 | unsafe.Sizeof(capability{})<<16 | 'V'<<8
	enumFormat    = iowr[formatDesc](2)
	setFormat     = iowr[format](5)
	reqBuffers    = iowr[requestBuffers](8)
	queryBuffer   = iowr[buffer](9)
	queueBuffer   = iowr[buffer](15)
	dequeueBuffer = iowr[buffer](17)
	streamOn      = uintptr(1<<30 | 4<<16 | 'V'<<8 | 18)
	streamOff     = uintptr(1<<30 | 4<<16 | 'V'<<8 | 19)
	setParm       = iowr[streamParm](22)
	getControl    = iowr[controlValue](27)
	setControl    = iowr[controlValue](28)
	queryCtrl     = iowr[queryControl](36)
	queryMenuItem = iowr[queryMenu](37)
	enumSizes     = iowr[sizeEnum](74)
	enumIntervals = iowr[intervalEnum](75)
)

// node is an open /dev/videoN.
type node struct {
	fd      int
	card    string
	typ     uint32   // of its buffers
	formats []uint32 // once they were asked for
	mapped  [][]byte
	on      bool
	planes  [maxPlanes]plane // the kernel writes here
}

// openNode opens a node that captures pictures. Errors: those of open(2) as they are, errNotCapture.
func openNode(path string) (*node, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n := &node{fd: fd}
	var c capability
	if err := ioctl(n, queryCap, &c); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s what it can: %w", path, err), unix.Close(fd))
	}
	can := c.caps
	if can&capDevice != 0 {
		can = c.deviceCaps
	}
	switch {
	case can&capStreaming == 0:
	case can&capCapture != 0:
		n.typ = bufCapture
	case can&capCapturePlanes != 0:
		n.typ = bufCapturePlanes
	}
	if n.typ == 0 {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, errNotCapture), unix.Close(fd))
	}
	n.card = text(c.card[:])
	return n, nil
}

var errNotCapture = errors.New("it is no camera")

func ioctl[T any](n *node, request uintptr, arg *T) error {
	for {
		switch errno := kernel(n.fd, request, unsafe.Pointer(arg)); errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// kernel is set by tests.
var kernel = func(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}

// text is a string of the kernel's.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

func (n *node) Name() string { return n.card }

// Formats asks the driver once: some have sixty, and each takes a call.
func (n *node) Formats() []uint32 {
	if n.formats != nil {
		return n.formats
	}
	for i := range uint32(maxEnumerated) {
		d := formatDesc{index: i, typ: n.typ}
		if ioctl(n, enumFormat, &d) != nil {
			break
		}
		n.formats = append(n.formats, d.pixelFormat)
	}
	return n.formats
}

func (n *node) Sizes(code uint32) (out []frameSize) {
	for i := range uint32(maxEnumerated) {
		e := sizeEnum{index: i, pixelFormat: code}
		if ioctl(n, enumSizes, &e) != nil {
			break
		}
		s := e.size
		if e.typ == inDiscrete {
			out = append(out, frameSize{least: [2]uint32{s[0], s[1]}, most: [2]uint32{s[0], s[1]}})
			continue
		}
		return append(out, frameSize{least: [2]uint32{s[0], s[3]}, most: [2]uint32{s[1], s[4]}, step: [2]uint32{s[2], s[5]}})
	}
	return out
}

func (n *node) Rates(code, width, height uint32) (out []float64) {
	for i := range uint32(maxEnumerated) {
		e := intervalEnum{index: i, pixelFormat: code, width: width, height: height}
		if ioctl(n, enumIntervals, &e) != nil {
			break
		}
		if r := e.interval[0].rate(); r > 0 {
			out = append(out, r)
		}
		if e.typ != inDiscrete { // the shortest, and all up to the longest
			if r := e.interval[1].rate(); r > 0 {
				out = append(out, r)
			}
			break
		}
	}
	return out
}

// rate is how many of these intervals a second has; 0: not known.
func (f fraction) rate() float64 {
	if f.num == 0 {
		return 0
	}
	return float64(f.den) / float64(f.num)
}

func (n *node) SetFormat(want layout) (layout, error) {
	f := format{typ: n.typ}
	if n.typ == bufCapture {
		p := (*pixFormat)(unsafe.Pointer(&f.fmt))
		p.width, p.height, p.pixelFormat = want.width, want.height, want.code
		err := ioctl(n, setFormat, &f)
		return layout{code: p.pixelFormat, width: p.width, height: p.height, stride: p.bytesPerLine}, err
	}
	p := (*pixFormatPlanes)(unsafe.Pointer(&f.fmt))
	p.width, p.height, p.pixelFormat, p.numPlanes = want.width, want.height, want.code, 1
	if err := ioctl(n, setFormat, &f); err != nil {
		return layout{}, err
	}
	if p.numPlanes != 1 {
		return layout{}, fmt.Errorf("the camera gives pictures in %d pieces", p.numPlanes)
	}
	return layout{code: p.pixelFormat, width: p.width, height: p.height, stride: p.planes[0].bytesPerLine}, nil
}

func (n *node) SetRate(rate float64) (float64, error) {
	p := streamParm{typ: n.typ, interval: fraction{1000, uint32(1000 * rate)}}
	if err := ioctl(n, setParm, &p); err != nil {
		return 0, err
	}
	if p.capability&parmRate == 0 {
		return 0, nil
	}
	return p.interval.rate(), nil
}

func (n *node) Start(count uint32) error {
	r := requestBuffers{count: count, typ: n.typ, memory: memoryMapped}
	if err := ioctl(n, reqBuffers, &r); err != nil {
		return fmt.Errorf("ask for buffers: %w", err)
	}
	if r.count == 0 {
		return errors.New("the driver has no buffers")
	}
	for i := range min(r.count, maxEnumerated) {
		b := n.buffer(i)
		if err := ioctl(n, queryBuffer, b); err != nil {
			return fmt.Errorf("ask for a buffer: %w", err)
		}
		offset, length := int64(uint32(b.m)), b.length
		if n.typ == bufCapturePlanes {
			offset, length = int64(uint32(n.planes[0].m)), n.planes[0].length
		}
		m, err := unix.Mmap(n.fd, offset, int(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("map a buffer: %w", err)
		}
		n.mapped = append(n.mapped, m)
		if err := n.Give(i); err != nil {
			return err
		}
	}
	typ := n.typ
	if err := ioctl(n, streamOn, &typ); err != nil {
		return fmt.Errorf("begin to capture: %w", err)
	}
	n.on = true
	return nil
}

// buffer is what the ioctls about buffers take.
func (n *node) buffer(index uint32) *buffer {
	b := &buffer{index: index, typ: n.typ, memory: memoryMapped}
	if n.typ == bufCapturePlanes {
		n.planes = [maxPlanes]plane{}
		b.m, b.length = uintptr(unsafe.Pointer(&n.planes)), maxPlanes // n is on the heap, and lives
	}
	return b
}

// A signal that comes while poll waits for the driver's lock makes it say that there is an
// error (vb2_fop_poll), and Go's scheduler sends signals all the time. So it is asked again.
const (
	pollErrors = 10
	pollAgain  = 2 * time.Millisecond
)

var poll = unix.Poll // tests replace it

func (n *node) Wait(timeout time.Duration) (bool, error) {
	failed := 0
	for end := time.Now().Add(timeout); ; {
		p := []unix.PollFd{{Fd: int32(n.fd), Events: unix.POLLIN}}
		got, err := poll(p, int(max(0, time.Until(end)).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		case got == 0:
			return false, nil
		case p[0].Revents&unix.POLLIN != 0:
			return true, nil
		}
		if failed++; p[0].Revents&unix.POLLERR == 0 || p[0].Revents&unix.POLLHUP != 0 || failed > pollErrors {
			return false, fmt.Errorf("the camera is gone: %w", unix.ENODEV)
		}
		time.Sleep(pollAgain)
	}
}

func (n *node) Take() (taken, error) {
	b := n.buffer(0)
	if err := ioctl(n, dequeueBuffer, b); err != nil {
		return taken{}, err
	}
	if b.index >= uint32(len(n.mapped)) {
		return taken{}, fmt.Errorf("the driver names buffer %d of %d", b.index, len(n.mapped))
	}
	from, to := uint32(0), b.bytesUsed
	if n.typ == bufCapturePlanes {
		from, to = n.planes[0].dataOffset, n.planes[0].bytesUsed
	}
	m := n.mapped[b.index]
	to = min(to, uint32(len(m)))
	t := taken{data: m[min(from, to):to], index: b.index, sequence: b.sequence, damaged: b.flags&flagError != 0, at: time.Now()}
	if b.flags&flagClockMask == flagMonotonic {
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
			age := time.Duration(now.Nano() - b.timestamp.Nano())
			if age > 0 && age < time.Second { // else it is no time of a capture
				t.at = t.at.Add(-age)
			}
		}
	}
	return t, nil
}

func (n *node) Give(index uint32) error {
	if err := ioctl(n, queueBuffer, n.buffer(index)); err != nil {
		return fmt.Errorf("give the driver a buffer: %w", err)
	}
	return nil
}

func (n *node) Close() error {
	var err error
	if n.on {
		typ := n.typ
		if e := ioctl(n, streamOff, &typ); e != nil && !errors.Is(e, unix.ENODEV) { // one that is gone has ended
			err = fmt.Errorf("end the capture: %w", e)
		}
		n.on = false
	}
	for _, m := range n.mapped {
		err = errors.Join(err, unix.Munmap(m))
	}
	n.mapped = nil
	return errors.Join(err, unix.Close(n.fd))
}

// Controls lists the controls that can be set, in the driver's order, without values.
func (n *node) Controls() (out []control) {
	const next = 1 << 31
	for id := uint32(next); len(out) < maxEnumerated; {
		q := queryControl{id: id}
		if ioctl(n, queryCtrl, &q) != nil || q.id|next <= id {
			break
		}
		id = q.id | next
		c := control{
			id: q.id, kind: q.typ, flags: q.flags,
			Control: Control{Name: controlName(text(q.name[:])), Min: int64(q.min), Max: int64(q.max), Step: int64(q.step), Default: int64(q.preset)},
		}
		if c.kind == kindBits {
			c.Min, c.Max, c.Default = 0, int64(uint32(q.max)), int64(uint32(q.preset))
		}
		if c.settable() {
			c.Menu = n.menu(c)
			out = append(out, c)
		}
	}
	return out
}

// menu is what the entries of a menu mean.
func (n *node) menu(c control) (out []MenuEntry) {
	if c.kind != kindMenu && c.kind != kindNumbers {
		return nil
	}
	for i := max(0, c.Min); i <= c.Max && i < maxEnumerated; i++ {
		m := queryMenu{id: c.id, index: uint32(i)}
		if ioctl(n, queryMenuItem, &m) != nil {
			continue // menus have gaps
		}
		name := text(m.name[:])
		if c.kind == kindNumbers {
			name = fmt.Sprint(int64(binary.NativeEndian.Uint64(m.name[:])))
		}
		out = append(out, MenuEntry{Value: i, Name: name})
	}
	return out
}

func (n *node) Control(id uint32) (int32, error) {
	v := controlValue{id: id}
	err := ioctl(n, getControl, &v)
	return v.value, err
}

func (n *node) SetControl(id uint32, value int32) error {
	return ioctl(n, setControl, &controlValue{id: id, value: value})
}
