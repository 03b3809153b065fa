// Command ear is at the other end of a sound card of the board of the tests: it plays
// a tone there, or tells what it hears.
//
//	ear play DEVICE HZ          until it is ended
//	ear hear DEVICE SECONDS HZ… tells the part, 0 to 1, of each tone, and the level
package main

import (
	"errors"
	"fmt"
	"math"
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
	if len(args) < 3 {
		return errors.New("ear play DEVICE HZ, or ear hear DEVICE SECONDS HZ")
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
	failed := make(chan error, 1)
	n := 0
	s, err := to.Open(func(pcm []int16) {
		for i := range pcm {
			pcm[i] = int16(8192 * math.Sin(2*math.Pi*freq*float64(n)/sound.Rate))
			n++
		}
	}, func(err error) { failed <- err })
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
