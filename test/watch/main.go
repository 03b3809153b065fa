// Command watch looks for some seconds at what a board shows (WHEP) and writes the H264
// stream to stdout. If a file is named it asks for a key frame now and then, and writes into
// it how many bytes each picture has and when it was there, in Unix milliseconds, one a line.
//
//	watch SOCKET PATH INTERFACE SECONDS [TIMES]
package main

import (
	"bufio"
	"bytes"
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
	if len(args) != 4 && len(args) != 5 {
		return errors.New("watch SOCKET PATH INTERFACE SECONDS [TIMES]")
	}
	seconds, err := strconv.ParseFloat(args[3], 64)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	pictures := samplebuilder.New(512, &codecs.H264Packet{}, 90000)
	var mu sync.Mutex
	var failed error
	packets := 0
	var begun start
	var times bytes.Buffer
	came := make(map[uint32]time.Time) // when the last packet of a time was there
	v, err := rig.View(context.Background(), args[0], args[1], args[2], func(p *rtp.Packet) {
		mu.Lock()
		defer mu.Unlock()
		packets++
		if len(args) == 5 && !begun.whole(p) { // else it needs the key frame that comes first
			return
		}
		came[p.Timestamp] = time.Now()
		for pictures.Push(p); ; {
			s := pictures.Pop()
			if s == nil {
				return
			}
			fmt.Fprintln(&times, len(s.Data), came[s.PacketTimestamp].UnixMilli())
			delete(came, s.PacketTimestamp)
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
	if err := look(v, time.Duration(seconds*float64(time.Second)), len(args) == 5); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	if times.Len() == 0 {
		return fmt.Errorf("no picture in %v s: %d packets came", seconds, packets)
	}
	if len(args) == 5 {
		failed = errors.Join(failed, os.WriteFile(args[4], times.Bytes(), 0o600))
	}
	return errors.Join(failed, out.Flush())
}

// start finds where a stream is whole. Packets overtake each other: one that has overtaken the first that came is missing, and
// whoever puts pictures together would wait for it.
type start struct {
	at      time.Time
	highest uint16
	time    uint32 // of its picture
	over    bool
}

// whole is false for the packets of the first moments, and of the picture that was being sent at their end.
func (s *start) whole(p *rtp.Packet) bool {
	const moments = 300 * time.Millisecond
	now := time.Now()
	if s.at.IsZero() {
		s.at, s.highest, s.time = now, p.SequenceNumber, p.Timestamp
	}
	ahead := int16(p.SequenceNumber - s.highest)
	switch {
	case s.over:
		return true
	case now.Sub(s.at) < moments:
		if ahead > 0 {
			s.highest, s.time = p.SequenceNumber, p.Timestamp
		}
		return false
	}
	s.over = ahead > 1000 // nothing is that late
	return ahead > 0 && p.Timestamp != s.time
}

// look waits, and asks for key frames meanwhile if it is to.
func look(v *rig.Viewer, d time.Duration, ask bool) error {
	const often = 600 * time.Millisecond // the board passes on two a second
	for over := time.After(d); ; {
		select {
		case <-over:
			return nil
		case <-time.After(often):
		}
		if ask {
			if err := v.RequestKeyframe(); err != nil {
				return err
			}
		}
	}
}
