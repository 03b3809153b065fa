package rig

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Fault is how badly a cable carries packets. The zero value is a good cable.
type Fault struct {
	Delay, Jitter time.Duration // each packet takes Delay, and up to Jitter more or less: they may overtake each other
	Loss          float64       // part of the packets, 0 to 1
	Rate          int           // bit/s; 0: any
	Queue         time.Duration // what waits for Rate at most; 0: 200 ms. More is dropped
	Cut           bool          // nothing passes
}

// Cable joins two namespaces and may be bad. It is made of a TAP device at each end and a program between them, as not
// every kernel has netem.
type Cable struct {
	fault atomic.Pointer[Fault]
	ends  [2]*os.File
	ways  [2]*way // from the first end, from the second
	wg    sync.WaitGroup
}

// Cable makes a cable between two namespaces. The ends are named as given there, and are up. It goes with the test.
func (n *Network) Cable(a, aName, b, bName string) *Cable {
	n.t.Helper()
	c := &Cable{}
	c.fault.Store(&Fault{})
	for i, end := range [2]struct{ space, name string }{{a, aName}, {b, bName}} {
		f, err := openTap("/run/netns/"+n.prefix+end.space, end.name)
		if err != nil {
			n.t.Fatalf("the end %s of a cable: %v", end.name, err)
		}
		c.ends[i] = f
		n.In(end.space, "ip link set "+end.name+" up")
	}
	for i := range c.ways {
		c.ways[i] = &way{
			cable: c, from: c.ends[i], to: c.ends[1-i], wake: make(chan struct{}, 1), over: make(chan struct{}),
			random: rand.New(rand.NewPCG(uint64(i), 1)),
		}
		c.wg.Go(c.ways[i].read)
		c.wg.Go(c.ways[i].deliver)
	}
	n.t.Cleanup(c.close)
	return c
}

// Set changes the cable at once, in both ways.
func (c *Cable) Set(f Fault) { c.fault.Store(&f) }

// Carried is how many bytes have left the cable, of what was sent at its first end, and at its second.
func (c *Cable) Carried() [2]int64 {
	return [2]int64{c.ways[0].carried.Load(), c.ways[1].carried.Load()}
}

// Offered is how many bytes were sent into it.
func (c *Cable) Offered() [2]int64 {
	return [2]int64{c.ways[0].offered.Load(), c.ways[1].offered.Load()}
}

func (c *Cable) close() {
	for i, f := range c.ends {
		close(c.ways[i].over)
		_ = f.Close()
	}
	c.wg.Wait()
}

// openTap makes a TAP device in a namespace.
func openTap(space, name string) (*os.File, error) {
	type made struct {
		f   *os.File
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of the namespace, and ends with this goroutine
		var m made
		m.f, m.err = func() (*os.File, error) {
			ns, err := os.Open(space)
			if err != nil {
				return nil, err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return nil, fmt.Errorf("enter %s: %w", space, err)
			}
			fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			if err != nil {
				return nil, err
			}
			request, err := unix.NewIfreq(name)
			if err == nil {
				request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
				err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
			}
			if err != nil {
				_ = unix.Close(fd)
				return nil, fmt.Errorf("make the device %s: %w", name, err)
			}
			return os.NewFile(uintptr(fd), name), nil
		}()
		done <- m
	}()
	m := <-done
	return m.f, m.err
}

// way is one of a cable's.
type way struct {
	cable            *Cable
	from, to         *os.File
	random           *rand.Rand // of read's goroutine
	wake             chan struct{}
	over             chan struct{}
	offered, carried atomic.Int64

	mu     sync.Mutex
	frames frames
	number uint64
	free   time.Time // when Rate lets the next one begin
}

// maxFrames are under way at most.
const maxFrames = 20_000

func (w *way) read() {
	buf := make([]byte, 1<<16)
	for {
		n, err := w.from.Read(buf)
		if err != nil {
			return
		}
		w.offered.Add(int64(n))
		w.enter(append([]byte(nil), buf[:n]...), time.Now())
	}
}

// enter decides a frame's fate.
func (w *way) enter(b []byte, now time.Time) {
	f := *w.cable.fault.Load()
	arp := len(b) >= 14 && b[12] == 0x08 && b[13] == 0x06 // who is lost here is not seen for seconds, which is no test of ours
	if f.Cut || !arp && w.random.Float64() < f.Loss {
		return
	}
	at := now
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.Rate > 0 && !arp {
		if f.Queue == 0 {
			f.Queue = 200 * time.Millisecond
		}
		begin := at
		if w.free.After(begin) {
			begin = w.free
		}
		if begin.Sub(now) > f.Queue {
			return
		}
		w.free = begin.Add(time.Duration(len(b)*8) * time.Second / time.Duration(f.Rate))
		at = w.free
	} else {
		w.free = time.Time{}
	}
	at = at.Add(f.Delay)
	if f.Jitter > 0 {
		at = at.Add(time.Duration((w.random.Float64()*2 - 1) * float64(f.Jitter)))
	}
	if len(w.frames) >= maxFrames {
		return
	}
	w.number++
	heap.Push(&w.frames, frame{at, w.number, b})
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *way) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.mu.Lock()
		var next []byte
		wait := time.Hour
		if len(w.frames) > 0 {
			if wait = time.Until(w.frames[0].at); wait <= 0 {
				next = heap.Pop(&w.frames).(frame).bytes
			}
		}
		w.mu.Unlock()
		if next != nil {
			if _, err := w.to.Write(next); err == nil {
				w.carried.Add(int64(len(next)))
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-w.wake:
		case <-w.over:
			return
		}
	}
}

// frame is one under way.
type frame struct {
	at     time.Time
	number uint64 // those of one time stay in order
	bytes  []byte
}

type frames []frame

func (f frames) Len() int { return len(f) }
func (f frames) Less(i, j int) bool {
	if f[i].at.Equal(f[j].at) {
		return f[i].number < f[j].number
	}
	return f[i].at.Before(f[j].at)
}
func (f frames) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)   { *f = append(*f, x.(frame)) }
func (f *frames) Pop() any {
	old := *f
	last := old[len(old)-1]
	*f = old[:len(old)-1]
	return last
}
