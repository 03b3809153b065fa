package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

func historyCommand(sh *shell) *cobra.Command {
	var group, before string
	var count int
	cmd := &cobra.Command{
		Use:   "history {USER | --group GROUP}",
		Short: "Show what was said with an account or in a group",
		Long: `Shows the last messages, the newest at the end, and says how to see earlier ones.
What the board does not hold comes from the hub, as long as there is a link.`,
		Example: `  herald history indoor
  herald history --group house --count 100`,
		Args: func(cmd *cobra.Command, args []string) error {
			if toGroup := cmd.Flags().Changed("group"); toGroup && len(args) > 0 || !toGroup && len(args) != 1 {
				return fmt.Errorf("USER or --group GROUP is needed, one of them")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 1 || count > protocol.MaxHistory {
				return usagef("--count %d is not 1 to %d", count, protocol.MaxHistory)
			}
			var res protocol.HistoryResponse
			var err error
			again := "--group " + group
			if group != "" {
				res, err = call(cmd.Context(), sh, protocol.GetGroupHistory, protocol.GroupHistoryRequest{GroupID: group, Count: count, MsgID: before})
			} else {
				again = args[0]
				res, err = call(cmd.Context(), sh, protocol.GetC2CHistory, protocol.C2CHistoryRequest{UserID: args[0], Count: count, MsgID: before})
			}
			if err != nil || sh.json {
				return err
			}
			sh.printHistory(res, again)
			return nil
		},
	}
	cmd.Flags().StringVar(&group, "group", "", "of the group with this `id`")
	cmd.Flags().StringVar(&before, "before", "", "messages before the one with this `id`")
	cmd.Flags().IntVar(&count, "count", 20, "show so many, at most 100")
	return cmd
}

func (sh *shell) printHistory(res protocol.HistoryResponse, again string) {
	for _, m := range slices.Backward(res.MessageList) {
		from := m.Sender
		if m.IsSelf {
			from = "me"
		}
		line := sh.clock(m.Timestamp) + "  " + printable(from) + ": " + printable(sayMessage(m))
		if state := messageState(m); state != "" {
			line += "  (" + state + ")"
		}
		if m.Msg.UUID != "" || len(m.Msg.ImageList) > 0 {
			line += "  " + printable(m.MsgID)
		}
		fmt.Fprintln(sh.out, line)
	}
	n := len(res.MessageList)
	switch {
	case res.Offline:
		fmt.Fprintln(sh.err, "herald: earlier messages are at the hub, to which there is no link")
	case n == 0:
		fmt.Fprintln(sh.err, "herald: nothing was said")
	case !res.IsFinished:
		fmt.Fprintf(sh.err, "herald: earlier: herald history %s --before %s\n", printable(again), printable(res.MessageList[n-1].MsgID))
	}
}

// messageState is what is to be known of a message besides what it says.
func messageState(m protocol.MessageInfo) string {
	switch {
	case m.Status == protocol.StatusSending:
		return "not sent yet"
	case m.Status == protocol.StatusFailed:
		return "failed"
	case m.Status == protocol.StatusRevoked:
		return ""
	case m.IsSelf && m.IsPeerRead:
		return "read"
	case !m.IsSelf && !m.IsRead:
		return "new"
	}
	return ""
}

// sayMessage says in a line what a message is.
func sayMessage(m protocol.MessageInfo) string {
	e := &m.Msg
	switch {
	case m.Status == protocol.StatusRevoked:
		return "taken back"
	case m.ElemType == protocol.ElemText && len(e.UserIDList) > 0:
		return "@" + strings.Join(e.UserIDList, " @") + " " + quoted(e.Text)
	case m.ElemType == protocol.ElemText:
		return quoted(e.Text)
	case m.ElemType == protocol.ElemCustom:
		return custom(e.CustomMsg)
	case m.ElemType == protocol.ElemImage && len(e.ImageList) > 0:
		o := e.ImageList[len(e.ImageList)-1]
		return fmt.Sprintf("picture %d×%d, %s", o.Width, o.Height, size(o.Size))
	case m.ElemType == protocol.ElemSound && e.Duration != nil:
		return fmt.Sprintf("sound %d s, %s", *e.Duration, size(e.Size))
	case m.ElemType == protocol.ElemVideo && e.Duration != nil:
		return fmt.Sprintf("video %d s, %s", *e.Duration, size(e.Size))
	case m.ElemType == protocol.ElemFile:
		return fmt.Sprintf("file %s, %s", quoted(e.Name), size(e.Size))
	case m.ElemType == protocol.ElemLocation && e.Latitude != nil && e.Longitude != nil && e.Desc != nil:
		return fmt.Sprintf("place %v,%v %s", *e.Latitude, *e.Longitude, quoted(*e.Desc))
	case m.ElemType == protocol.ElemFace && e.Index != nil && e.Data != nil:
		return fmt.Sprintf("face %d %s", *e.Index, quoted(*e.Data))
	case m.ElemType == protocol.ElemGroupTip && e.GroupTip != nil:
		return sayTip(*e.GroupTip)
	}
	return "something that this version does not know"
}

func sayTip(t protocol.GroupTipInfo) string {
	who := strings.Join(t.UserIDList, ", ")
	switch t.Type {
	case protocol.TipCreated:
		return "made the group"
	case protocol.TipJoined:
		return who + " joined"
	case protocol.TipQuit:
		return who + " left"
	case protocol.TipDismissed:
		return "ended the group"
	case protocol.TipOwner:
		return who + " owns the group now"
	case protocol.TipKicked:
		return who + " put out" + because(t.Reason)
	case protocol.TipInvited:
		return who + " added"
	case protocol.TipAdmin:
		return who + " made admin"
	case protocol.TipNoAdmin:
		return who + " no admin any more"
	case protocol.TipMuted, protocol.TipCard:
		return memberChanges(t.InfoList)
	case protocol.TipRecycled:
		return "the group is ended, as nothing was said in it for long"
	case protocol.TipChanged:
		if t.GroupInfo != nil {
			return groupChange(protocol.GroupChanged{GroupChange: *t.GroupInfo})
		}
	}
	return "changed the group"
}

func conversationsCommand(sh *shell) *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "conversations",
		Short: "List the conversations",
		Long:  `Lists the conversations, the one with the newest message first.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 || count > 1000 {
				return usagef("--count %d is not 1 to 1000", count)
			}
			res, err := call(cmd.Context(), sh, protocol.GetConversationList, protocol.ConversationListRequest{Count: count})
			if err != nil || sh.json {
				return err
			}
			rows := [][]string{{"WITH", "UNREAD", "AT", "LAST"}}
			for _, c := range res.ConversationList {
				rows = append(rows, sh.conversationRow(c))
			}
			if len(rows) == 1 {
				fmt.Fprintln(sh.err, "herald: there are none")
				return nil
			}
			sh.columns("", rows)
			if !res.IsFinished {
				fmt.Fprintln(sh.out, "and more (--count)")
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&count, "count", 20, "list so many, at most 1000")
	return cmd
}

func (sh *shell) conversationRow(c protocol.Conversation) []string {
	with, unread, at, last := c.UserID, "", "", ""
	if c.Type == protocol.ConversationGroup {
		with = "group " + c.GroupID
		if c.ShowName != c.GroupID {
			with += " (" + c.ShowName + ")"
		}
	}
	if c.UnreadCount > 0 {
		unread = strconv.Itoa(c.UnreadCount)
	}
	switch m := c.LastMessage; {
	case c.DraftText != "":
		last = "draft " + quoted(c.DraftText)
	case m != nil && m.IsSelf:
		at, last = sh.clock(m.Timestamp), "me: "+sayMessage(*m)
	case m != nil:
		at, last = sh.clock(m.Timestamp), m.Sender+": "+sayMessage(*m)
	}
	if r := []rune(last); len(r) > 60 {
		last = string(r[:59]) + "…"
	}
	return []string{with, unread, at, last}
}

func getCommand(sh *shell) *cobra.Command {
	var out string
	var thumbnail, force bool
	cmd := &cobra.Command{
		Use:   "get MSGID",
		Short: "Save the file of a message",
		Long: `Saves the picture, sound, video or file of a message in the present folder, under
its own name, or where --output says; "-" is stdout. It prints the path, with --json
the path, the uuid and the size. "herald history" shows which messages have files,
and their ids.`,
		Example: `  herald get 7trx6uzv4hbqmo5f-2k
  herald get 7trx6uzv4hbqmo5f-2k --output - | aplay`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if sh.json && out == "-" {
				return usagef("--json and --output -: stdout is for one of them")
			}
			f, err := sh.get(cmd.Context(), args[0], out, thumbnail, force)
			if sh.json {
				answer, _ := json.Marshal(f) // two strings and a number
				sh.show(answer, err)
			} else if err == nil && out != "-" {
				fmt.Fprintln(sh.out, printable(f.Path))
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "save as this `file`")
	cmd.Flags().BoolVar(&thumbnail, "thumbnail", false, "of a picture the small one, of a video its still picture")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

// fileOf chooses the file of a message, and a name for it that is safe here
// whatever its sender called it.
func fileOf(m protocol.MessageInfo, small bool) (uuid, name string, total int64) {
	name = m.MsgID
	switch e := &m.Msg; {
	case len(e.ImageList) > 0:
		i := len(e.ImageList) - 1
		if small {
			i = 0
		}
		return e.ImageList[i].UUID, name + ".picture", e.ImageList[i].Size
	case small && e.Snapshot != nil:
		return e.Snapshot.UUID, name + ".picture", e.Snapshot.Size
	case m.ElemType == protocol.ElemVideo:
		return e.UUID, name + "." + e.Type, e.Size
	case m.ElemType == protocol.ElemSound:
		return e.UUID, name + ".sound", e.Size
	case m.ElemType == protocol.ElemFile:
		if base := filepath.Base(filepath.Clean("/" + e.Name)); base != "/" && !strings.HasPrefix(base, ".") && printable(base) == base {
			name = base
		}
		return e.UUID, name, e.Size
	}
	return "", "", 0
}

// saved is a file of a message that is on this disk now.
type saved struct {
	Path string `json:"path"`
	UUID string `json:"uuid"`
	Size int64  `json:"size"` // bytes
}

// get saves the file of a message; out is empty for its own name.
func (sh *shell) get(ctx context.Context, id, out string, thumbnail, force bool) (f saved, err error) {
	c := client.Unix(sh.socket)
	defer c.Close()
	res, err := client.Call(ctx, c, protocol.GetMessage, protocol.MessageRequest{MsgID: id})
	if err != nil {
		return f, err
	}
	f.UUID, f.Path, f.Size = fileOf(res.Message, thumbnail)
	if f.UUID == "" {
		return f, fmt.Errorf("the message %s has no file: it is %s", id, sayMessage(res.Message))
	}
	if out != "" {
		f.Path = out
	}
	return f, sh.save(ctx, c, f, force)
}

// save writes a file of a message to its path, at once: a part of it is never there
// under that name.
func (sh *shell) save(ctx context.Context, c *client.Client, f saved, force bool) error {
	body, err := c.Download(ctx, f.UUID)
	if err != nil {
		return err
	}
	defer body.Close()
	b := sh.newBar(filepath.Base(f.Path), f.Size)
	defer b.end()
	if f.Path == "-" {
		_, err := io.Copy(sh.out, b.reader(body))
		return err
	}
	if _, err := os.Lstat(f.Path); err == nil && !force {
		return fmt.Errorf("%s is there already: --force replaces it, --output names another", f.Path)
	}
	// Not os.CreateTemp, which lets nobody else read it whatever the umask says.
	part, err := os.OpenFile(filepath.Join(filepath.Dir(f.Path), ".herald-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // once it has its name there is nothing to remove
	n, err := io.Copy(part, b.reader(body))
	if err == nil && n != f.Size {
		err = fmt.Errorf("the file broke off after %d of %d bytes", n, f.Size)
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), f.Path)
}
