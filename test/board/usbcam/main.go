// Command usbcam is a USB camera (UVC) of the board of the tests: it plugs itself into
// the kernel's virtual controller (vhci_hcd, USB/IP) and is pulled out when it ends.
// It gives MJPEG, a bar that moves, and H264, the access units of a file:
//
//	usbcam [FILE]
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "usbcam:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	c := &camera{waiting: make(map[uint32]struct{}), more: make(chan struct{}, 1)}
	if len(args) > 0 {
		stream, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		c.units = split(stream)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	// Port 0, of device 1 on bus 1, at high speed.
	if err := os.WriteFile("/sys/devices/platform/vhci_hcd.0/attach", fmt.Appendf(nil, "0 %d %d 3", fds[1], 1<<16|1), 0); err != nil {
		return err
	}
	c.wire = os.NewFile(uintptr(fds[0]), "wire")
	failed := make(chan error, 1)
	go func() { failed <- c.serve() }()
	go c.film()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	select {
	case err := <-failed:
		return err
	case <-end:
		return os.WriteFile("/sys/devices/platform/vhci_hcd.0/detach", []byte("0"), 0)
	}
}

// split makes access units of an Annex B stream: each ends before the next access unit
// delimiter, SPS, or slice that begins a picture.
func split(b []byte) (units [][]byte) {
	start, seen := 0, false
	for i := 0; i+4 < len(b); i++ {
		if b[i] != 0 || b[i+1] != 0 || b[i+2] != 1 {
			continue
		}
		kind := b[i+3] & 0x1f
		slice := kind == 1 || kind == 5
		first := slice && b[i+4]&0x80 != 0 // first_mb_in_slice is 0
		if seen && (first || !slice) {
			at := i
			if at > 0 && b[at-1] == 0 {
				at--
			}
			units = append(units, b[start:at])
			start, seen = at, false
		}
		seen = seen || slice
	}
	return append(units, b[start:])
}

// header is USB/IP's, of a request as of an answer.
type header struct {
	Command, Seq, Device, Direction, Endpoint uint32
	A, Length, Start, Packets, E              int32 // of a request flags, of an answer the status, is A
	Setup                                     [8]byte
}

const (
	cmdSubmit, cmdUnlink, retSubmit, retUnlink = 1, 2, 3, 4
	stall                                      = -int32(syscall.EPIPE)
)

type camera struct {
	wire  *os.File
	units [][]byte

	mu      sync.Mutex
	probe   [34]byte
	waiting map[uint32]struct{} // requests for a part of the picture
	queue   []uint32
	more    chan struct{} // takes one
}

func (c *camera) serve() error {
	for {
		var h header
		if err := binary.Read(c.wire, binary.BigEndian, &h); err != nil {
			return err
		}
		switch h.Command {
		case cmdUnlink:
			c.mu.Lock()
			status := int32(0)
			if _, waits := c.waiting[uint32(h.A)]; waits {
				delete(c.waiting, uint32(h.A))
				status = -int32(syscall.ECONNRESET)
			}
			err := c.answer(header{Command: retUnlink, Seq: h.Seq, A: status}, nil)
			c.mu.Unlock()
			if err != nil {
				return err
			}
		case cmdSubmit:
			if err := c.submit(h); err != nil {
				return err
			}
		default:
			return fmt.Errorf("what is command %d?", h.Command)
		}
	}
}

func (c *camera) submit(h header) error {
	var out []byte
	if h.Direction == 0 && h.Length > 0 {
		out = make([]byte, h.Length)
		if _, err := io.ReadFull(c.wire, out); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Endpoint != 0 {
		c.waiting[h.Seq] = struct{}{}
		c.queue = append(c.queue, h.Seq)
		select {
		case c.more <- struct{}{}:
		default:
		}
		return nil
	}
	in, status := c.control(h.Setup, out)
	in = in[:min(len(in), int(h.Length))]
	r := header{Command: retSubmit, Seq: h.Seq, A: status, Length: int32(len(in))}
	if h.Direction == 0 {
		r.Length, in = int32(len(out)), nil
	}
	return c.answer(r, in)
}

// answer is called with mu held.
func (c *camera) answer(h header, data []byte) error {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.BigEndian, h); err != nil {
		return err
	}
	b.Write(data)
	_, err := c.wire.Write(b.Bytes())
	return err
}

// control answers a request to the device (USB 2.0 §9.4, UVC 1.1 §4).
func (c *camera) control(setup [8]byte, out []byte) (in []byte, status int32) {
	kind, request := setup[0], setup[1]
	value, index := binary.LittleEndian.Uint16(setup[2:]), binary.LittleEndian.Uint16(setup[4:])
	switch {
	case kind == 0x80 && request == 6: // GET_DESCRIPTOR
		switch value {
		case 0x0100:
			return deviceDescriptor(), 0
		case 0x0200:
			return configuration(), 0
		case 0x0300:
			return descriptor(3, uint16(0x0409)), 0
		case 0x0301:
			return text("Herald"), 0
		case 0x0302:
			return text("USB camera of the tests"), 0
		}
	case kind == 0x80 && request == 0 || kind == 0x82 && request == 0: // GET_STATUS
		return []byte{0, 0}, 0
	case kind&0xe0 == 0: // SET_CONFIGURATION, SET_INTERFACE, CLEAR_FEATURE
		return nil, 0
	case kind&0x7f == 0x21 && index&0xff == 1 && (value == 0x0100 || value == 0x0200): // probe and commit
		return c.streaming(request, out)
	}
	return nil, stall
}

func (c *camera) streaming(request byte, out []byte) (in []byte, status int32) {
	const setCur, getLen, getInfo = 1, 0x85, 0x86
	switch request {
	case setCur:
		copy(c.probe[:], out)
		c.settle()
		return nil, 0
	case getLen:
		return u16(uint16(len(c.probe))), 0
	case getInfo:
		return []byte{3}, 0
	}
	c.settle()
	return append([]byte(nil), c.probe[:]...), 0
}

// settle makes what was asked for what there is.
func (c *camera) settle() {
	if c.probe[2] != formatH264 || len(c.units) == 0 {
		c.probe[2] = formatMJPEG
	}
	c.probe[3] = 1
	binary.LittleEndian.PutUint32(c.probe[4:], interval)
	binary.LittleEndian.PutUint32(c.probe[18:], maxFrame)
	binary.LittleEndian.PutUint32(c.probe[22:], maxPayload)
}

// film gives the pictures to whoever asks for them, in time.
func (c *camera) film() {
	ticker := time.NewTicker(interval * 100 * time.Nanosecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		<-ticker.C
		c.mu.Lock()
		format := c.probe[2]
		c.mu.Unlock()
		var data []byte
		if format == formatH264 {
			data = c.units[n%len(c.units)]
		} else {
			data = bar(n)
		}
		for first := true; first || len(data) > 0; first = false {
			part := data[:min(len(data), maxPayload-2)]
			data = data[len(part):]
			flags := byte(0x80 | n&1) // end of header, and the picture's number
			if len(data) == 0 {
				flags |= 2 // end of the picture
			}
			if c.give(append([]byte{2, flags}, part...)) != nil {
				return
			}
		}
	}
}

// give answers the oldest request for a part.
func (c *camera) give(part []byte) error {
	for {
		c.mu.Lock()
		for len(c.queue) > 0 {
			seq := c.queue[0]
			c.queue = c.queue[1:]
			if _, waits := c.waiting[seq]; waits {
				delete(c.waiting, seq)
				err := c.answer(header{Command: retSubmit, Seq: seq, Length: int32(len(part))}, part)
				c.mu.Unlock()
				return err
			}
		}
		c.mu.Unlock()
		<-c.more
	}
}

// bar is a picture with a bar that moves.
func bar(n int) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
	for y := range height {
		for x := range 40 {
			img.Y[y*img.YStride+(8*n+x)%width] = 235
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}
