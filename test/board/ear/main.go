// Command ear is at the other end of a sound card of the board of the tests: it plays
// a tone there, or tells what it hears.
//
//	ear play DEVICE HZ          until it is ended
//	ear hear DEVICE SECONDS HZ… tells the part, 0 to 1, of each tone, and the level
//	ear time DEVICE HOST:PORT   plays what time it is at another ear (see fake.ReadClock)
//	ear clock HOST:PORT         is that: it answers by UDP
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/sound"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ear:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "clock":
		return clock(args[1])
	case len(args) == 3 && args[0] == "time":
		var cards sound.Cards
		defer cards.Close()
		return tell(cards.Speaker(args[1]), args[2])
	case len(args) < 3:
		return errors.New("ear play DEVICE HZ, ear hear DEVICE SECONDS HZ, ear time DEVICE HOST:PORT, or ear clock HOST:PORT")
	}
	var numbers []float64
	for _, a := range args[2:] {
		n, err := strconv.ParseFloat(a, 64)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	var cards sound.Cards
	defer cards.Close()
	if args[0] == "play" {
		return play(cards.Speaker(args[1]), numbers[0])
	}
	return hear(cards.Microphone(args[1]), time.Duration(numbers[0]*float64(time.Second)), numbers[1:])
}

func play(to sound.PlaybackDevice, freq float64) error {
	n := 0
	return give(to, func(pcm []int16) {
		for i := range pcm {
			pcm[i] = int16(8192 * math.Sin(2*math.Pi*freq*float64(n)/sound.Rate))
			n++
		}
	})
}

// tell plays the time of another machine: what is asked for now is of now, although it
// is heard a little later.
func tell(to sound.PlaybackDevice, addr string) error {
	ahead, err := offset(addr)
	if err != nil {
		return err
	}
	var began time.Time
	n, phase := 0, 0.0
	return give(to, func(pcm []int16) {
		if began.IsZero() {
			began = time.Now().Add(ahead)
		}
		phase = fake.DrawClock(pcm, began.Add(time.Duration(n)*time.Second/sound.Rate), phase)
		n += len(pcm)
	})
}

// offset is how far the clock at addr is ahead of this one, by the fastest of some answers.
func offset(addr string) (time.Duration, error) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	best, ahead := time.Hour, time.Duration(0)
	for range 50 {
		asked := time.Now()
		b := make([]byte, 8)
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
		if err := c.SetReadDeadline(asked.Add(time.Second)); err != nil {
			return 0, err
		}
		if n, err := c.Read(b); err != nil || n != len(b) {
			continue
		}
		took := time.Since(asked)
		if took < best {
			best, ahead = took, time.Unix(0, int64(binary.BigEndian.Uint64(b))).Sub(asked.Add(took/2))
		}
	}
	if best == time.Hour {
		return 0, errors.New("no answer from the clock at " + addr)
	}
	return ahead, nil
}

func clock(addr string) error {
	l, err := net.ListenPacket("udp", addr)
	if err != nil {
		return err
	}
	defer l.Close()
	b := make([]byte, 64)
	for {
		_, from, err := l.ReadFrom(b)
		if err != nil {
			return err
		}
		_, _ = l.WriteTo(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())), from) // whoever asks asks again
	}
}

func give(to sound.PlaybackDevice, fill func([]int16)) error {
	failed := make(chan error, 1)
	s, err := to.Open(fill, func(err error) { failed <- err })
	if err != nil {
		return err
	}
	defer s.Close()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	select {
	case err := <-failed:
		return err
	case <-end:
		return nil
	}
}

func hear(from sound.CaptureDevice, d time.Duration, freqs []float64) error {
	failed := make(chan error, 1)
	var mu sync.Mutex
	var heard []int16
	s, err := from.Open(func(pcm []int16) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, pcm...)
	}, func(err error) { failed <- err })
	if err != nil {
		return err
	}
	defer s.Close()
	select {
	case err := <-failed:
		return err
	case <-time.After(d):
	}
	mu.Lock()
	defer mu.Unlock()
	power := 0.0
	for _, x := range heard {
		power += float64(x) * float64(x)
	}
	fmt.Printf("%.0f", math.Sqrt(power/float64(max(1, len(heard)))))
	for _, f := range freqs {
		fmt.Printf(" %.3f", fake.Typical(heard, f))
	}
	fmt.Println()
	return nil
}
