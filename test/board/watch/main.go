// Command watch looks for some seconds at what a board shows (WHEP) and writes the H264
// stream to stdout:
//
//	watch SOCKET PATH INTERFACE SECONDS
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"

	"github.com/herald-im/herald/test/rig"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("watch SOCKET PATH INTERFACE SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[3], 64)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	pictures := samplebuilder.New(512, &codecs.H264Packet{}, 90000)
	var mu sync.Mutex
	var failed error
	v, err := rig.View(context.Background(), args[0], args[1], args[2], func(p *rtp.Packet) {
		mu.Lock()
		defer mu.Unlock()
		for pictures.Push(p); ; {
			s := pictures.Pop()
			if s == nil {
				return
			}
			if _, err := out.Write(s.Data); err != nil {
				failed = err
			}
		}
	})
	if err != nil {
		return err
	}
	defer v.Close()
	if v.Codec != webrtc.MimeTypeH264 {
		return fmt.Errorf("the board sends %s", v.Codec)
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(failed, out.Flush())
}
