package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/mediadevices/pkg/codec"
	"github.com/pion/mediadevices/pkg/codec/openh264"
	encoded "github.com/pion/mediadevices/pkg/io/video"
	"github.com/pion/mediadevices/pkg/prop"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/video"
	"github.com/herald-im/herald/test/rig"
)

// pictures measures what it costs to send a picture to one viewer, and to a second
// one, beside what its encoding alone costs.
func pictures(ctx context.Context, b *bench) ([]row, error) {
	const turns, watched = 9, 5 * time.Second
	var bare, one, alone, second []float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		door, err := callBoard(ctx, h, "door", hub.MQTT)
		if err != nil {
			return err
		}
		defer door.Kill()
		for i := range turns {
			var e, v1, v2, again float64
			steps := []func() error{
				func() (err error) { e, err = encoderAlone(ctx, watched); return err },
				func() (err error) { v1, err = watchedBy(ctx, door, 1, watched); return err },
				func() (err error) { v2, err = watchedBy(ctx, door, 2, watched); return err },
				func() (err error) { again, err = watchedBy(ctx, door, 1, watched); return err },
			}
			if i%2 == 1 { // the encoder is not always the first
				steps = append(steps[1:], steps[0])
			}
			for _, step := range steps {
				if err := step(); err != nil {
					return err
				}
			}
			v1 = (v1 + again) / 2 // before the second viewer and after him
			bare, one, alone, second = append(bare, e), append(one, v1), append(alone, v1/e), append(second, (v2/v1-1)*100)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	times, more := median(alone), median(second)
	how := fmt.Sprintf("Of a board process with a fake camera, which sends H264 of 1 Mbit/s to a viewer (WHEP, DTLS-SRTP) in the bench's process: "+
		"its CPU, user and system, in %v, against that of the bench itself when it gives the pictures of the same camera to openh264, set up alike. "+
		"Median of %d rounds in which they take turns (%.2f to %.2f); %.1f %% of a core against %.1f %%.",
		watched, turns, slices.Min(alone), slices.Max(alone), median(one), median(bare))
	return []row{
		{"sending 640×480 at 30, H264: CPU as a multiple of the encoder's alone", "≤ 1.2", fmt.Sprintf("%.2f", times), times <= 1.2, how},
		{"a second viewer of the same camera: more CPU", "< 5 %", fmt.Sprintf("%.1f %%", more), more < 5,
			fmt.Sprintf("In the same rounds: the board's CPU with two viewers against that with one before and after (%.0f %% to %.0f %% more).", slices.Min(second), slices.Max(second))},
	}, nil
}

// processTime is what a process has used, user and system, to the nanosecond.
func processTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	const cpuClockSched = 2 // clock_getcpuclockid(3)
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &ts); err != nil {
		return 0, fmt.Errorf("the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// during is the share of a core, in per cent, that a process uses in d.
func during(ctx context.Context, pid int, d time.Duration) (float64, error) {
	began := time.Now()
	before, err := processTime(pid)
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := processTime(pid)
	return (after - before).Seconds() / time.Since(began).Seconds() * 100, err
}

// settle is until what begins has begun: the first key frame, the connection's checks.
const settle = time.Second

// encoderAlone gives the fake camera's pictures to an encoder set up as the room
// media does it, and nothing else.
func encoderAlone(ctx context.Context, d time.Duration) (share float64, err error) {
	src, err := fake.NewCamera("front").Open(callFormat)
	if err != nil {
		return 0, err
	}
	p, err := openh264.NewParams()
	if err != nil {
		return 0, errors.Join(err, src.Close())
	}
	p.BitRate, p.IntraPeriod, p.MultipleThreadIdc, p.SliceMode, p.EnableFrameSkip = callBitrate, 600, 1, openh264.SMSingleSlice, true
	var img image.Image
	enc, err := p.BuildVideoEncoder(
		encoded.ReaderFunc(func() (image.Image, func(), error) { return img, func() {}, nil }),
		prop.Media{Video: prop.Video{Width: callFormat.Width, Height: callFormat.Height, FrameRate: float32(callFormat.Rate)}},
	)
	if err != nil {
		return 0, errors.Join(err, src.Close())
	}
	ended := make(chan error, 1)
	var stop atomic.Bool
	go func() { ended <- errors.Join(encodeAll(src, enc, &img, &stop), enc.Close(), src.Close()) }()
	defer func() { stop.Store(true); err = errors.Join(err, <-ended) }()
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return during(ctx, os.Getpid(), d)
}

func encodeAll(src video.Source, enc codec.ReadCloser, img *image.Image, stop *atomic.Bool) error {
	for !stop.Load() {
		f, err := src.Read()
		if err != nil {
			return err
		}
		*img = f.Image
		_, release, err := enc.Read()
		f.Release()
		if err != nil {
			return err
		}
		release()
	}
	return nil
}

// watchedBy is what a board uses while n viewers look at its own picture.
func watchedBy(ctx context.Context, b *rig.Board, n int, d time.Duration) (float64, error) {
	var viewers []*viewer
	defer func() {
		for _, v := range viewers {
			v.Close()
		}
	}()
	for range n {
		v, err := watch(ctx, b)
		if err != nil {
			return 0, err
		}
		viewers = append(viewers, v)
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var before []int64
	for _, v := range viewers {
		before = append(before, v.pictures.Load())
	}
	share, err := during(ctx, b.PID(), d)
	for i, v := range viewers {
		if got, want := float64(v.pictures.Load()-before[i]), callFormat.Rate*d.Seconds(); got < want*0.8 {
			err = errors.Join(err, fmt.Errorf("viewer %d of %d has got %.0f pictures in %v, not about %.0f", i+1, n, got, d, want))
		}
	}
	return share, err
}

// watch is a viewer of a board's own picture, which has begun to come.
func watch(ctx context.Context, b *rig.Board) (*viewer, error) {
	v := new(viewer)
	var err error
	v.Viewer, err = rig.View(ctx, b.Socket, "/v1/whep/self", "lo", func(p *rtp.Packet) {
		v.bytes.Add(int64(len(p.Payload)))
		if p.Marker {
			v.pictures.Add(1)
		}
	})
	if err == nil && v.Codec != webrtc.MimeTypeH264 {
		v.Close()
		return nil, fmt.Errorf("the board sends %s, not H264", v.Codec)
	}
	return v, err
}

type viewer struct {
	*rig.Viewer
	pictures, bytes atomic.Int64
}

// eye decodes what arrives, to tell when the first picture can be seen.
type eye struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	pictures chan time.Time // at which the first byte of each came
	reading  sync.WaitGroup

	mu       sync.Mutex
	wants    bool // a first picture
	received chan time.Time
	broken   error
}

// delimiter ends an access unit (H.264 §7.3.2.4), so that a decoder need not wait for the next one.
var delimiter = []byte{0, 0, 0, 1, 9, 0xf0}

// newEye starts a decoder and has it decode a picture of the camera's, so that its
// own start counts with no call.
func newEye(ctx context.Context) (*eye, error) {
	e := &eye{pictures: make(chan time.Time, 1024), received: make(chan time.Time, 1)}
	e.cmd = exec.Command("ffmpeg", "-loglevel", "error", "-flags", "low_delay", "-probesize", "32", "-analyzeduration", "0",
		"-threads", "1", "-f", "h264", "-i", "-", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-flush_packets", "1", "-")
	e.cmd.Stderr = os.Stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("ffmpeg (scripts/deps bench installs it): %w", err)
	}
	e.reading.Go(func() {
		defer close(e.pictures)
		buf := make([]byte, callFormat.Width*callFormat.Height)
		for {
			if _, err := io.ReadFull(out, buf[:1]); err != nil {
				return
			}
			at := time.Now()
			if _, err := io.ReadFull(out, buf[1:]); err != nil {
				return
			}
			e.pictures <- at
		}
	})
	camera := video.NewCamera(fake.NewCamera("front"), callFormat, quiet)
	sender := video.NewSender(callBitrate, quiet)
	defer sender.Close()
	sender.Select(camera, true)
	units := make(chan []byte, 64)
	stop := sender.Follow(video.H264, func(u video.AccessUnit) {
		select {
		case units <- u.Data:
		default:
		}
	})
	defer stop()
	limit := time.NewTimer(callPatience)
	defer limit.Stop()
	for fed := 0; ; {
		select {
		case u := <-units:
			if fed < 60 {
				fed++
				_, err = e.in.Write(append(bytes.Clone(u), delimiter...))
			}
		case _, ok := <-e.pictures:
			if !ok {
				err = errors.New("ffmpeg has ended")
				break
			}
			return e, nil
		case <-limit.C:
			err = errors.New("ffmpeg shows no picture")
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			e.close()
			return nil, err
		}
	}
}

func (e *eye) close() {
	_ = e.in.Close()
	_ = e.cmd.Process.Kill()
	for range e.pictures {
	}
	e.reading.Wait()
	_ = e.cmd.Wait()
}

// open waits for the first picture of a call from now on.
func (e *eye) open() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wants = true
	for {
		select {
		case <-e.pictures: // of before
		case <-e.received:
		default:
			return
		}
	}
}

// wait returns when the first picture was received as a whole, and when it was decoded.
func (e *eye) wait(ctx context.Context) (received, decoded time.Time, err error) {
	limit := time.NewTimer(callPatience)
	defer limit.Stop()
	select {
	case received = <-e.received:
	case <-limit.C:
		return received, decoded, errors.New("no picture has been received")
	case <-ctx.Done():
		return received, decoded, ctx.Err()
	}
	select {
	case at, ok := <-e.pictures:
		if !ok {
			return received, decoded, errors.New("ffmpeg has ended")
		}
		return received, at, nil
	case <-limit.C:
		return received, decoded, errors.Join(errors.New("no picture has been decoded"), e.failed())
	case <-ctx.Done():
		return received, decoded, ctx.Err()
	}
}

func (e *eye) failed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}

// track takes what arrives: it is a Linking's Track.
func (e *eye) track(t *peer.RemoteTrack) {
	if t.Kind() != peer.Video {
		return
	}
	var unit []*rtp.Packet // of one picture, in order: they may come in another one
	t.Follow(func(p *rtp.Packet) {
		if len(unit) > 0 && p.Timestamp != unit[0].Timestamp {
			if int32(p.Timestamp-unit[0].Timestamp) < 0 {
				return
			}
			unit = unit[:0]
			if e.wanting() { // that was none to begin with
				t.RequestKeyframe()
			}
		}
		i, _ := slices.BinarySearchFunc(unit, p, func(a, b *rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
		if unit = slices.Insert(unit, i, p); isKeyFrame(unit) {
			e.take(unit)
		}
	})
}

// isKeyFrame tells whether packets are the whole of a key frame, which begins with its parameter sets.
func isKeyFrame(unit []*rtp.Packet) bool {
	const sps, stapA = 7, 24 // RFC 6184 §5.2
	first, last := unit[0], unit[len(unit)-1]
	kind := first.Payload[0] & 0x1f
	return (kind == sps || kind == stapA) && last.Marker && int(last.SequenceNumber-first.SequenceNumber) == len(unit)-1
}

func (e *eye) wanting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wants
}

// take decodes a key frame if one is wanted. A pipe has room for it.
func (e *eye) take(unit []*rtp.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.wants {
		return
	}
	e.wants = false
	e.received <- time.Now()
	var data []byte
	var packet codecs.H264Packet
	for _, p := range unit {
		nal, err := packet.Unmarshal(p.Payload)
		if err != nil {
			e.broken = err
			return
		}
		data = append(data, nal...)
	}
	_, e.broken = e.in.Write(append(data, delimiter...))
}
