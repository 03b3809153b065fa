package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// callOptions are the flags of "herald call".
type callOptions struct {
	video, first, noWait bool
	group                string
	timeout              int
}

func callCommand(sh *shell) *cobra.Command {
	var o callOptions
	cmd := &cobra.Command{
		Use:   "call USER...",
		Short: "Call somebody, or several at once",
		Long: `Calls an account, or several at once: then all who answer are in one call, or with
--first the first to answer has it and the others stop to ring. It shows what
happens until somebody is connected, and leaves the call running: "herald hangup"
ends it. Interrupted before that, it takes the call back.

Exit codes: 0 connected; 1 nobody answered, or the call failed.`,
		Example: `  herald call indoor --video
  herald call --first indoor kitchen phone
  herald call --group family indoor phone`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.noWait || sh.json {
				return sh.place(cmd.Context(), o, args)
			}
			return sh.placeAndWait(cmd.Context(), o, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.video, "video", false, "with pictures")
	f.BoolVar(&o.first, "first", false, "the first to answer has the call")
	f.StringVar(&o.group, "group", "", "in the group with this `id`, of which all are members")
	f.IntVar(&o.timeout, "timeout", 0, "ring for so many `seconds` (default calls.ring of the daemon)")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait for an answer")
	return cmd
}

func (sh *shell) place(ctx context.Context, o callOptions, users []string) error {
	kind := protocol.CallTypeVoice
	if o.video {
		kind = protocol.CallTypeVideo
	}
	var timeout *int
	if o.timeout != 0 {
		timeout = &o.timeout
	}
	if len(users) == 1 && o.group == "" {
		_, err := call(ctx, sh, protocol.PlaceCall, protocol.CallRequest{UserID: users[0], Type: kind, Timeout: timeout})
		return err
	}
	answer := protocol.AnswerAll
	if o.first {
		answer = protocol.AnswerFirst
	}
	_, err := call(ctx, sh, protocol.PlaceGroupCall, protocol.GroupCallRequest{
		UserIDList: users, Type: kind, GroupID: o.group, Answer: answer, Timeout: timeout,
	})
	return err
}

// errOver ends the following of events.
var errOver = errors.New("over")

// placeAndWait shows what becomes of the call until somebody is connected.
func (sh *shell) placeAndWait(ctx context.Context, o callOptions, users []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := client.Unix(sh.socket)
	defer c.Close()
	connected := make(chan struct{})
	ended := make(chan error, 1)
	code := exitFailed
	placed := make(chan struct{})
	go func() {
		first := true
		ended <- c.Events(ctx, client.EventsOptions{Listen: []string{"calling"}, Connected: func(string, uint64) {
			if first {
				first = false
				close(connected)
			}
		}}, func(e client.Event) error {
			<-placed // what comes before is of another call
			if e.Name == protocol.OnUserVoiceVolume.Info().Name {
				return nil
			}
			fmt.Fprintln(sh.out, sh.eventLine(e))
			switch e.Name {
			case protocol.OnUserEnter.Info().Name:
				code = exitOK
				return errOver
			case protocol.OnCallEnd.Info().Name:
				return errOver
			}
			return nil
		})
	}()
	select {
	case <-connected:
	case err := <-ended:
		return err
	}
	if err := sh.place(ctx, o, users); err != nil {
		close(placed)
		return err
	}
	fmt.Fprintf(sh.out, "%s  call: ringing %s\n", sh.clock(0), printable(strings.Join(users, ", ")))
	close(placed)
	err := <-ended
	switch {
	case errors.Is(err, errOver) && code == exitOK:
		return nil
	case errors.Is(err, errOver):
		return exitError(code)
	case ctx.Err() != nil: // interrupted
		take, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		if _, err := client.Call(take, c, protocol.Hangup, protocol.Empty{}); err != nil {
			return fmt.Errorf("the call could not be taken back: %w", err)
		}
		fmt.Fprintln(sh.err, "herald: the call is taken back")
		return exitError(exitFailed)
	}
	return err
}

// plainCommand runs a method without parameters.
func plainCommand(sh *shell, use, short, long, done string, m protocol.Method[protocol.Empty, protocol.Empty]) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := call(cmd.Context(), sh, m, protocol.Empty{}); err != nil || sh.json {
				return err
			}
			fmt.Fprintln(sh.out, done)
			return nil
		},
	}
}

func acceptCommand(sh *shell) *cobra.Command {
	return plainCommand(sh, "accept", "Accept the call that rings", "Accepts the call that rings.", "accepted", protocol.AcceptCall)
}

func rejectCommand(sh *shell) *cobra.Command {
	return plainCommand(sh, "reject", "Reject the call that rings", "Rejects the call that rings.", "rejected", protocol.RejectCall)
}

func hangupCommand(sh *shell) *cobra.Command {
	return plainCommand(sh, "hangup", "Leave the call, or take back the one that rings elsewhere",
		"Leaves the call. A call that was placed and is not answered is taken back; one that\nrings here is rejected.", "hung up", protocol.Hangup)
}

func devicesCommand(sh *shell) *cobra.Command {
	controls := false
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "List cameras, microphones and speakers",
		Long: `Lists the cameras, microphones and speakers that the daemon has found, with their
formats, and what the configuration uses each for ([media]). With --controls it
lists what can be set of the cameras (media.controls).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := call(cmd.Context(), sh, protocol.GetMediaDevices, protocol.Empty{})
			if err != nil || sh.json {
				return err
			}
			if controls {
				sh.listControls(res.List)
				return nil
			}
			sh.listDevices(res.List)
			return nil
		},
	}
	cmd.Flags().BoolVar(&controls, "controls", false, "list the controls of the cameras")
	return cmd
}

func (sh *shell) listControls(list []protocol.MediaDevice) {
	rows := [][]string{{"CAMERA", "CONTROL", "VALUE", "DEFAULT", "MAY BE"}}
	for _, d := range list {
		for _, c := range d.Controls {
			may := fmt.Sprintf("%d to %d", c.Min, c.Max)
			if c.Step > 1 {
				may += fmt.Sprintf(" by %d", c.Step)
			}
			if len(c.Menu) > 0 {
				var choices []string
				for _, m := range c.Menu {
					choices = append(choices, fmt.Sprintf("%d %s", m.Value, m.Name))
				}
				may = strings.Join(choices, ", ")
			}
			rows = append(rows, []string{d.Device, c.Name, fmt.Sprint(c.Value), fmt.Sprint(c.Default), may})
		}
	}
	if len(rows) == 1 {
		fmt.Fprintln(sh.out, "no camera has any")
		return
	}
	sh.columns("", rows)
}

func (sh *shell) listDevices(list []protocol.MediaDevice) {
	for _, kind := range []string{"camera", "microphone", "speaker"} {
		rows := [][]string{{strings.ToUpper(kind), "NAME", "USED AS", "STATE", "FORMATS"}}
		for _, d := range list {
			if d.Kind != kind {
				continue
			}
			state := d.State
			if d.Error != "" {
				state += ": " + d.Error
			}
			rows = append(rows, []string{d.Device, d.Name, d.Use, state, formats(d.Formats)})
		}
		if len(rows) == 1 {
			fmt.Fprintf(sh.out, "no %s was found\n", kind)
			continue
		}
		sh.columns("", rows)
	}
}

// formats sums up what a device offers: a list of sizes stands once for all of its formats
// that have it.
func formats(list []string) string {
	var sizes []string                 // each list of sizes, in the order that it came in
	named := make(map[string][]string) // the formats that have it
	byName := make(map[string][]string)
	var names []string
	for _, f := range list {
		name, size, _ := strings.Cut(f, " ")
		if byName[name] == nil {
			names = append(names, name)
		}
		byName[name] = append(byName[name], size)
	}
	for _, name := range names {
		text := strings.Join(byName[name], ", ")
		if named[text] == nil {
			sizes = append(sizes, text)
		}
		named[text] = append(named[text], name)
	}
	var out []string
	for _, text := range sizes {
		out = append(out, strings.TrimSpace(strings.Join(named[text], "/")+" "+text))
	}
	return strings.Join(out, "; ")
}

// callRow says where the call stands, for "herald status"; empty without one.
func callRow(c *protocol.CallResponse) string {
	if c.State == protocol.CallIdle || c.State == "" {
		return ""
	}
	var who []string
	for _, u := range c.Users {
		text := u.UserID + " " + u.State
		if u.VideoCodec != "" {
			text += fmt.Sprintf(", %s %.0f pictures/s", u.VideoCodec, u.FramesPerSecond)
		}
		if u.RoundTripMs > 0 {
			text += fmt.Sprintf(", round trip %.1f ms", u.RoundTripMs)
		}
		if u.SentBitrate > 0 || u.ReceivedBitrate > 0 {
			text += fmt.Sprintf(", %s out, %s in", bitrate(u.SentBitrate), bitrate(u.ReceivedBitrate))
		}
		if u.LossPercent >= 0.1 {
			text += fmt.Sprintf(", %.1f %% lost", u.LossPercent)
		}
		if u.ConcealedPercent >= 0.1 {
			text += fmt.Sprintf(", %.1f %% of the sound made up", u.ConcealedPercent)
		}
		if u.SoundOnly {
			text += ", gets sound alone: the way there is too slow"
		}
		who = append(who, text)
	}
	text := fmt.Sprintf("%s, %s: %s", callKind(c.Type), c.State, strings.Join(who, "; "))
	if c.State == protocol.CallConnected {
		text += fmt.Sprintf(" (%s)", span(time.Duration(c.Seconds)*time.Second))
	}
	return text
}

// bitrate in bit/s for people.
func bitrate(bits int) string {
	if bits < 1_000_000 {
		return fmt.Sprintf("%d kbit/s", bits/1000)
	}
	return fmt.Sprintf("%.1f Mbit/s", float64(bits)/1e6)
}

// deviceRows say how the devices of a call do.
func deviceRows(c *protocol.CallResponse) (rows [][]string) {
	if x := c.Camera; x != nil {
		text := x.Device + " " + x.State
		if x.Format != "" && x.State == "running" {
			text += fmt.Sprintf(", %s at %.4g/s", x.Format, x.FramesPerSecond)
		}
		if x.Passthrough {
			text += ", sent as the camera encodes it"
		}
		for _, s := range x.Streams {
			text += fmt.Sprintf("; %s %d×%d at %.4g/s, %s", s.Codec, s.Width, s.Height, s.FramesPerSecond, bitrate(s.Bitrate))
		}
		rows = append(rows, []string{"camera", text})
		for _, trouble := range []string{x.Error, x.Warning} {
			if trouble != "" {
				rows = append(rows, []string{"", trouble})
			}
		}
	}
	if x := c.Sound; x != nil && c.State != protocol.CallIdle {
		text := fmt.Sprintf("microphone %s, speaker %s", x.Microphone, x.Speaker)
		if x.Xruns > 0 {
			text += fmt.Sprintf(", not served in time %d times", x.Xruns)
		}
		switch x.Echo {
		case "cancel":
			text += ", echo cancelled"
			if x.EchoRemovedDb > 0 {
				text += fmt.Sprintf(" by %.0f dB", x.EchoRemovedDb)
			}
		case "duck":
			text += ", echo ducked"
		}
		rows = append(rows, []string{"sound", text})
		for _, trouble := range []string{x.MicrophoneError, x.SpeakerError} {
			if trouble != "" {
				rows = append(rows, []string{"", trouble})
			}
		}
	}
	return rows
}

// currentCall says how the call does, quietly: an older daemon knows none.
func (sh *shell) currentCall(ctx context.Context) [][]string {
	answer, err := sh.callRaw(ctx, protocol.GetCall.Info().Name, []byte("{}"), false)
	var c protocol.CallResponse
	if err != nil || json.Unmarshal(answer, &c) != nil || callRow(&c) == "" {
		return nil
	}
	return append([][]string{{"call", callRow(&c)}}, deviceRows(&c)...)
}
