package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/herald-im/herald/media/video"
	"github.com/herald-im/herald/test/rig"
)

// hd is what is measured of cameras.
var hd = video.Format{Width: 1280, Height: 720, Rate: 30}

// passing measures what a board uses that sends on what its camera has encoded.
func passing(ctx context.Context, b *bench) ([]row, error) {
	const watched, bitrate = 20 * time.Second, 2000 // kbit/s
	var share float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		clip := filepath.Join(h.Dir, "clip.h264")
		if err := makeClip(ctx, clip, bitrate); err != nil {
			return err
		}
		door, err := h.AddBoard(ctx, "door", "door", hub.MQTT)
		if err != nil {
			return err
		}
		defer door.Kill()
		err = door.Configure(fmt.Sprintf("[api]\nsocket_group = \"\"\n[media]\nfront_camera = \"fake:%s\"\nwidth = %d\nheight = %d\nframe_rate = %g\nbitrate = %d\n"+
			"microphone = \"fake\"\nspeaker = \"fake\"\n", clip, hd.Width, hd.Height, hd.Rate, 2*bitrate))
		if err != nil {
			return err
		}
		if err := door.Start(ctx); err != nil {
			return err
		}
		v, err := watch(ctx, door)
		if err != nil {
			return err
		}
		defer v.Close()
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return ctx.Err()
		}
		pictures, bytes := v.pictures.Load(), v.bytes.Load()
		if share, err = during(ctx, door.PID(), watched); err != nil {
			return err
		}
		pictures, bytes = v.pictures.Load()-pictures, v.bytes.Load()-bytes
		if got := float64(pictures) / watched.Seconds(); got < 0.9*hd.Rate {
			return fmt.Errorf("the viewer has got %.1f pictures a second", got)
		}
		if got := float64(bytes) * 8 / watched.Seconds() / 1000; got < 0.6*bitrate || got > 1.5*bitrate {
			return fmt.Errorf("the viewer has got %.0f kbit/s: it is not what the camera gave", got)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []row{{"sending 1280×720 at 30 that the camera has encoded: CPU", "≤ 10 % of a core", fmt.Sprintf("%.1f %%", share), share <= 10, fmt.Sprintf(
		"Of a board process whose camera gives H264 of %d kbit/s (a clip of x264's, baseline), sent to a viewer (WHEP, DTLS-SRTP) in the bench's process, user and system, in %v.", bitrate, watched)}}, nil
}

// makeClip has ffmpeg make ten seconds of H264 as a camera would.
func makeClip(ctx context.Context, path string, bitrate int) error {
	line := fmt.Sprintf("-loglevel error -f lavfi -i testsrc2=size=%dx%d:rate=%g:duration=10 -vf noise=alls=8:allf=t -c:v libx264 -profile:v baseline -preset veryfast "+
		"-b:v %dk -maxrate %dk -bufsize %dk -g 60 -pix_fmt yuv420p -bsf:v h264_metadata=aud=insert -f h264 %s", hd.Width, hd.Height, hd.Rate, bitrate, bitrate, bitrate, path)
	if out, err := exec.CommandContext(ctx, "ffmpeg", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg (scripts/deps bench installs it): %w: %s", err, out)
	}
	return nil
}

// rawPictures measures what a picture of a raw camera costs on its whole way to H264.
func rawPictures(ctx context.Context, _ *bench) ([]row, error) {
	times, how, err := tested(ctx, "./media/video", []string{"-run", "^$", "-bench", "^BenchmarkCapture$", "-benchtime", "600x", "-count", "3"}, regexp.MustCompile(`([\d.]+) whole/alone`))
	if err != nil {
		return nil, err
	}
	whole := median(times)
	return []row{{"1280×720 YUYV → H264: the whole way as a multiple of conversion and encoder alone", "≤ 1.15", fmt.Sprintf("%.3f", whole), whole <= 1.15,
		"600 pictures out of a driver's memory through the V4L2 layer into openh264, in turns with the same conversion alone; median of " + how + "."}}, nil
}

// inSoftware measures on a board in software what needs a real driver.
func inSoftware(ctx context.Context, _ *bench) ([]row, error) {
	if runtime.GOARCH != "amd64" || os.Getuid() != 0 {
		fmt.Println("software: not measured: the board in software wants root on an x86_64 machine")
		return nil, nil
	}
	if err := exec.CommandContext(ctx, "scripts/deps", "board").Run(); err != nil {
		return nil, fmt.Errorf("scripts/deps board: %w", err)
	}
	image, err := exec.CommandContext(ctx, "scripts/board").Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/board: %w", err)
	}
	if err := os.Setenv("HERALD_BOARD", strings.TrimSpace(string(image))); err != nil {
		return nil, err
	}
	const slow = " On a board in software (qemu without the machine's virtualisation)."
	firsts, all, err := tested(ctx, "./test/board", []string{"-count", "1", "-run", "^TestDrivers$/^video$", "-v"}, regexp.MustCompile(`([\d.]+) times as long as the driver alone`))
	if err != nil {
		return nil, err
	}
	first := median(firsts)
	rows := []row{{"first picture of a V4L2 camera, as a multiple of the driver's own, in software", "≤ 1.2", fmt.Sprintf("%.2f", first), first <= 1.2,
		"From opening to the first picture that an encoder can take, against open, set format, start and dequeue alone: medians of 61 each, vivid." + slow + " " + all + "."}}
	sounds, all, err := tested(ctx, "./test/board", []string{"-count", "1", "-run", "^TestCall$", "-v"}, regexp.MustCompile(`capture → far playout of sound: (\d+)ms`))
	if err != nil {
		return nil, err
	}
	ms := median(sounds)
	return append(rows, row{"sound: capture → far playout, snd-aloop in software", "≤ 200 ms", fmt.Sprintf("%.0f ms", ms), ms <= 200,
		"A tone whose pitch is the time is played into the far end of an snd-aloop card; herald there captures it and sends it to a board outside, which plays it into a file. " +
			"The buffers of whoever plays the tone and of the loop (some 70 ms) are in it. Median of 100 readings." + slow + " " + all + "."}), nil
}

// tested runs tests and reads figures from what they say.
func tested(ctx context.Context, room string, args []string, figure *regexp.Regexp) (all []float64, said string, err error) {
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"test", "-timeout", "10m"}, args...), room)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, "", fmt.Errorf("go test %s %s: %w\n%s", strings.Join(args, " "), room, err, out)
	}
	var words []string
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		if m := figure.FindStringSubmatch(s.Text()); m != nil {
			v, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				return nil, "", err
			}
			all, words = append(all, v), append(words, m[1])
		}
	}
	if len(all) == 0 {
		return nil, "", fmt.Errorf("no figure in what %s says:\n%s", room, out)
	}
	return all, strings.Join(words, ", "), nil
}
