package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// maxInput is the most that is read from stdin, in bytes: what the local API
// takes.
const maxInput = 1 << 20

// sending is what herald send was told.
type sending struct {
	group    string
	custom   bool
	image    string
	file     string
	sound    string
	video    string
	snapshot string
	location string
	seconds  int
	online   bool
}

// kinds are the flags of which one says what is sent in place of a text.
var kinds = []string{"image", "file", "sound", "video"}

func sendCommand(sh *shell) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send {USER | --group GROUP} {TEXT | --image F | --file F | --sound F | --video F | --location LAT,LON TEXT}",
		Short: "Send a message to an account or a group",
		Long: `Sends a text, a file or a place to an account or a group and prints the message's
id.

Without a link to the hub the message is queued: it is on disk and goes out when
the link is back. The word "queued" is printed then; "herald queue" shows it. A
message with a file goes once its file is at the hub, and holds up no other.

The text "-" is read from stdin, without the newline at its end.`,
		Example: `  herald send indoor "somebody is at the door"
  herald send --group house "dinner is ready"
  herald send indoor --image visitor.jpg
  herald send indoor --video visitor.mp4 --snapshot visitor.jpg --seconds 12
  herald send indoor --location 52.52,13.405 "the parcel is behind the hedge"
  uptime | herald send operator -`,
		Args:              func(cmd *cobra.Command, args []string) error { return s.check(cmd, args) },
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			to := receiver{group: s.group}
			if !cmd.Flags().Changed("group") {
				to.user, args = args[0], args[1:]
			}
			res, err := s.send(cmd.Context(), sh, to, args)
			if err != nil || sh.json {
				return err
			}
			if res.Queued {
				fmt.Fprintf(sh.out, "%s  queued: %s\n", printable(res.MsgID), s.queued())
			} else {
				fmt.Fprintln(sh.out, printable(res.MsgID))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.group, "group", "", "send to the group with this `id`")
	f.BoolVar(&s.custom, "custom", false, "send the text as custom data")
	f.BoolVar(&s.online, "online", false, "only to those who are online: it is not kept, nor queued")
	f.StringVar(&s.image, "image", "", "send this picture `file`")
	f.StringVar(&s.file, "file", "", "send this `file`")
	f.StringVar(&s.sound, "sound", "", "send this recording, a `file`")
	f.StringVar(&s.video, "video", "", "send this video `file`; needs --snapshot")
	f.StringVar(&s.snapshot, "snapshot", "", "a still picture of the video, a `file`")
	f.IntVar(&s.seconds, "seconds", 0, "how long the sound or video is")
	f.StringVar(&s.location, "location", "", "send this place, `LAT,LON` in degrees; TEXT says where it is")
	for _, name := range append([]string{"snapshot"}, kinds...) {
		_ = cmd.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		})
	}
	return cmd
}

// check wants who it goes to, and one thing to send.
func (s *sending) check(cmd *cobra.Command, args []string) error {
	var given []string
	for _, kind := range kinds {
		if cmd.Flags().Changed(kind) {
			given = append(given, "--"+kind)
		}
	}
	words, what := 2, "USER and TEXT"
	if cmd.Flags().Changed("group") {
		words, what = 1, "TEXT"
	}
	switch {
	case len(given) > 1:
		return fmt.Errorf("%s: a message has one of them", strings.Join(given, ", "))
	case len(given) == 1 && (s.custom || s.location != "" || s.online):
		return fmt.Errorf("%s goes without --custom, --location and --online", given[0])
	case s.custom && s.location != "":
		return fmt.Errorf("--custom and --location: a message is one of them")
	case s.video != "" && s.snapshot == "":
		return fmt.Errorf("--video needs --snapshot, a still picture of it")
	case len(given) == 1:
		words, what = words-1, strings.TrimSuffix(strings.TrimSuffix(what, "TEXT"), " and ")
		if what == "" {
			what = "nothing else"
		}
	}
	if len(args) != words {
		return fmt.Errorf("the message needs %s: %d words were given; put quotes around a text", what, len(args))
	}
	return nil
}

// queued says when a message goes out.
func (s *sending) queued() string {
	if s.image+s.file+s.sound+s.video != "" {
		return `it goes out when its file is at the hub; "herald events" tells`
	}
	return "it goes out when the link to the hub is back"
}

// receiver is an account or a group.
type receiver struct{ user, group string }

func (s *sending) send(ctx context.Context, sh *shell, to receiver, args []string) (res protocol.SendResponse, err error) {
	text := ""
	if len(args) > 0 {
		if text, err = sh.textOf(args[0]); err != nil {
			return res, err
		}
	}
	c := client.Unix(sh.socket)
	defer c.Close()
	key, err := s.make(ctx, sh, c, text)
	if err != nil {
		return res, err
	}
	if key != "" {
		return call(ctx, sh, protocol.SendMessage, protocol.SendMessageRequest{Receiver: to.user, GroupID: to.group, MessageKey: key, OnlineUserOnly: s.online})
	}
	switch {
	case to.group != "" && s.custom:
		return call(ctx, sh, protocol.SendGroupCustomMessage, protocol.GroupCustomRequest{GroupID: to.group, CustomData: text})
	case to.group != "":
		return call(ctx, sh, protocol.SendGroupTextMessage, protocol.GroupTextRequest{GroupID: to.group, Text: text})
	case s.custom:
		return call(ctx, sh, protocol.SendC2CCustomMessage, protocol.C2CCustomRequest{UserID: to.user, CustomData: text})
	}
	return call(ctx, sh, protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: to.user, Text: text})
}

// make has the daemon make a message; "" for one that needs no making.
func (s *sending) make(ctx context.Context, sh *shell, c *client.Client, text string) (string, error) {
	uploaded := func(path string) (string, error) { return sh.upload(ctx, c, path) }
	switch {
	case s.image != "":
		up, err := uploaded(s.image)
		if err != nil {
			return "", err
		}
		return keyOf(client.Call(ctx, c, protocol.CreateImageMessage, protocol.CreateImageRequest{Img: up}))
	case s.file != "":
		up, err := uploaded(s.file)
		if err != nil {
			return "", err
		}
		return keyOf(client.Call(ctx, c, protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: up, FileName: filepath.Base(s.file)}))
	case s.sound != "":
		up, err := uploaded(s.sound)
		if err != nil {
			return "", err
		}
		return keyOf(client.Call(ctx, c, protocol.CreateSoundMessage, protocol.CreateSoundRequest{SoundPath: up, SoundDuration: s.seconds}))
	case s.video != "":
		up, err := uploaded(s.video)
		if err != nil {
			return "", err
		}
		shot, err := uploaded(s.snapshot)
		if err != nil {
			return "", err
		}
		kind := strings.TrimPrefix(strings.ToLower(filepath.Ext(s.video)), ".")
		if kind == "" {
			kind = "mp4"
		}
		return keyOf(client.Call(ctx, c, protocol.CreateVideoMessage, protocol.CreateVideoRequest{
			VideoFilePath: up, Type: kind, Duration: s.seconds, SnapshotPath: shot,
		}))
	case s.location != "":
		place, err := parsePlace(s.location)
		if err != nil {
			return "", err
		}
		place.Desc = text
		return keyOf(client.Call(ctx, c, protocol.CreateLocationMessage, place))
	case s.online && s.custom:
		return keyOf(client.Call(ctx, c, protocol.CreateCustomMessage, protocol.CreateCustomRequest{CustomMsg: text}))
	case s.online:
		return keyOf(client.Call(ctx, c, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: text}))
	}
	return "", nil
}

func keyOf(r protocol.MessageKeyResponse, err error) (string, error) { return r.MessageKey, err }

func parsePlace(s string) (r protocol.CreateLocationRequest, err error) {
	lat, lon, ok := strings.Cut(s, ",")
	a, errA := strconv.ParseFloat(strings.TrimSpace(lat), 64)
	b, errB := strconv.ParseFloat(strings.TrimSpace(lon), 64)
	if !ok || errA != nil || errB != nil {
		return r, usagef("--location %q is not LAT,LON in degrees, such as 52.52,13.405", s)
	}
	r.Latitude, r.Longitude = &a, &b
	return r, nil
}

// upload gives the daemon a file that this user can read, and perhaps not the
// daemon.
func (sh *shell) upload(ctx context.Context, c *client.Client, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: not a file", path)
	}
	b := sh.newBar(filepath.Base(path), info.Size())
	defer b.end()
	up, err := c.Upload(ctx, filepath.Base(path), info.Size(), b.reader(f))
	return up.Upload, err
}

// textOf is a word of the command line, or stdin for "-".
func (sh *shell) textOf(word string) (string, error) {
	if word != "-" {
		return word, nil
	}
	b, err := sh.readInput()
	return string(bytes.TrimSuffix(b, []byte("\n"))), err
}

// readInput reads stdin to its end.
func (sh *shell) readInput() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(sh.in, maxInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("stdin: %w", err)
	case len(b) > maxInput:
		return nil, fmt.Errorf("stdin: more than %d bytes", maxInput)
	}
	return b, nil
}
