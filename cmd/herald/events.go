package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

func eventsCommand(sh *shell) *cobra.Command {
	var o client.EventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow what happens: messages, the link, the board",
		Long: `Prints events as they happen, one a line, until it is interrupted. When the
daemon restarts it goes on where it was. With --json each line is an object
{"pos":…,"event":…,"data":…}; pos is the place in the journal, 0 for events of
the moment, such as the link's, which are not kept.

Categories for --listen: ` + strings.Join(protocol.Categories, ", ") + `.`,
		Example: `  herald events
  herald events --listen simple --from 1
  herald events --json | jq -r .data.text`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sh.follow(cmd.Context(), o)
		},
	}
	cmd.Flags().StringSliceVar(&o.Listen, "listen", nil, "only events of these `categories`")
	cmd.Flags().Uint64Var(&o.From, "from", 0, "begin with the event at this `position`; 1: all that are kept; 0: new ones")
	_ = cmd.RegisterFlagCompletionFunc("listen", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return protocol.Categories, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (sh *shell) follow(ctx context.Context, o client.EventsOptions) error {
	interrupted := false
	o.Connected = func(version string, last uint64) {
		word := "connected"
		if interrupted {
			word = "connected again"
		}
		interrupted = false
		fmt.Fprintf(sh.err, "herald: %s to %s (version %s, position %d)\n", word, sh.socket, printable(version), last)
	}
	o.Interrupted = func(err error, _ time.Duration) {
		if !interrupted { // once, not at each attempt
			fmt.Fprintf(sh.err, "herald: interrupted: %s; trying again\n", printable(err.Error()))
		}
		interrupted = true
	}
	c := client.Unix(sh.socket)
	defer c.Close()
	err := c.Events(ctx, o, func(e client.Event) error {
		switch {
		case sh.json:
			return sh.printEvent(e)
		case e.Name == protocol.OnUserVoiceVolume.Info().Name:
			return nil // three a second are for programs
		case simpler(e) && (len(o.Listen) == 0 || slices.Contains(o.Listen, "simple")):
			return nil // it was said already
		case e.Name == protocol.OnConversationChanged.Info().Name && len(o.Listen) == 0:
			return nil // it follows from what was said
		}
		_, err := fmt.Fprintln(sh.out, sh.eventLine(e))
		return err
	})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // as it is meant to end
	}
	return err
}

func (sh *shell) printEvent(e client.Event) error {
	b, err := json.Marshal(struct {
		Pos   uint64          `json:"pos"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{e.Pos, e.Name, e.Data})
	if err != nil {
		return fmt.Errorf("the data of %s is not JSON: %w", e.Name, err)
	}
	_, err = fmt.Fprintln(sh.out, safeJSON(string(b)))
	return err
}

// eventLine says an event to a person.
func (sh *shell) eventLine(e client.Event) string {
	at, says, err := describeEvent(e)
	if err != nil {
		at, says = 0, e.Name+" "+string(e.Data)
	}
	return sh.clock(at) + "  " + printable(says)
}

// describeEvent returns an event's time, 0 if it has none of its own, and what
// it says.
func describeEvent(e client.Event) (at int64, says string, err error) {
	switch e.Name {
	case client.Gap:
		return describe(e, func(g struct {
			From, To uint64
			Reason   string
		}) (int64, string) {
			if g.Reason == "trimmed" {
				return 0, fmt.Sprintf("gap: the events %d to %d are not kept any more", g.From, g.To)
			}
			return 0, "gap: the daemon has begun a new journal"
		})
	case protocol.OnConnecting.Info().Name:
		return 0, "link: connecting", nil
	case protocol.OnConnectSuccess.Info().Name:
		return 0, "link: up", nil
	case protocol.OnConnectFailed.Info().Name:
		return describe(e, func(d protocol.Error) (int64, string) { return 0, "link: down: " + d.Error() })
	case protocol.OnKickedOffline.Info().Name:
		return describe(e, func(d protocol.Error) (int64, string) { return 0, "login ended: " + d.Error() })
	case protocol.OnUserSigExpired.Info().Name:
		return describe(e, func(d protocol.Error) (int64, string) { return 0, "login ended: " + d.Error() })
	case protocol.OnRecvC2CTextMessage.Info().Name:
		return describe(e, func(d protocol.C2CTextEvent) (int64, string) {
			return d.Timestamp, between(d.Sender, d.UserID, d.IsSelf) + "  " + quoted(d.Text)
		})
	case protocol.OnRecvC2CCustomMessage.Info().Name:
		return describe(e, func(d protocol.C2CCustomEvent) (int64, string) {
			return d.Timestamp, between(d.Sender, d.UserID, d.IsSelf) + "  " + custom(d.CustomData)
		})
	case protocol.OnRecvGroupTextMessage.Info().Name:
		return describe(e, func(d protocol.GroupTextEvent) (int64, string) {
			return d.Timestamp, inGroup(d.Sender, d.GroupID, d.IsSelf) + "  " + quoted(d.Text)
		})
	case protocol.OnRecvGroupCustomMessage.Info().Name:
		return describe(e, func(d protocol.GroupCustomEvent) (int64, string) {
			return d.Timestamp, inGroup(d.Sender, d.GroupID, d.IsSelf) + "  " + custom(d.CustomData)
		})
	case protocol.OnMessageStatusChanged.Info().Name:
		return describe(e, func(d protocol.MessageStatusEvent) (int64, string) {
			if d.Status == protocol.StatusSent {
				return 0, "message " + d.MsgID + " sent"
			}
			return 0, fmt.Sprintf("message %s not sent: %v", d.MsgID, &protocol.Error{Code: d.Code, Msg: d.Msg})
		})
	case protocol.OnReceiveNewInvitation.Info().Name:
		return describe(e, func(d protocol.InvitationEvent) (int64, string) {
			return 0, fmt.Sprintf("%s invites %s (%s)  %s", d.Inviter, strings.Join(d.InviteeList, ", "), d.InviteID, quoted(d.Data))
		})
	case protocol.OnInviteeAccepted.Info().Name:
		return describe(e, func(d protocol.InviteeEvent) (int64, string) {
			return 0, fmt.Sprintf("%s accepts (%s)  %s", d.Invitee, d.InviteID, quoted(d.Data))
		})
	case protocol.OnInviteeRejected.Info().Name:
		return describe(e, func(d protocol.InviteeEvent) (int64, string) {
			return 0, fmt.Sprintf("%s rejects (%s)  %s", d.Invitee, d.InviteID, quoted(d.Data))
		})
	case protocol.OnInvitationCancelled.Info().Name:
		return describe(e, func(d protocol.CancelledEvent) (int64, string) {
			return 0, fmt.Sprintf("%s cancels (%s)  %s", d.Inviter, d.InviteID, quoted(d.Data))
		})
	case protocol.OnInvitationTimeout.Info().Name:
		return describe(e, func(d protocol.InvitationTimeoutEvent) (int64, string) {
			return 0, fmt.Sprintf("no answer of %s (%s)", strings.Join(d.InviteeList, ", "), d.InviteID)
		})
	case protocol.OnStoreReplaced.Info().Name:
		return describe(e, func(d protocol.StoreReplacedEvent) (int64, string) {
			return 0, "the store was damaged and is replaced: " + d.Reason + "; the old one is " + d.SetAside
		})
	case protocol.OnMediaChanged.Info().Name:
		return describe(e, func(d protocol.MediaChangedEvent) (int64, string) {
			says := "the " + d.Kind + " is " + d.State
			for _, more := range []string{d.Error, d.Warning} {
				if more != "" {
					says += ": " + more
				}
			}
			return 0, says
		})
	case protocol.OnHubRewound.Info().Name:
		return describe(e, func(d protocol.HubRewoundEvent) (int64, string) {
			return 0, fmt.Sprintf("the hub came back from an older copy: %d entries of %d logs are lost there; %d messages are queued", d.Entries, d.Logs, d.Queue)
		})
	}
	return describeMessage(e)
}

func describe[T any](e client.Event, f func(T) (int64, string)) (int64, string, error) {
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return 0, "", err
	}
	at, says := f(data)
	return at, says, nil
}

// actions are the words for a step of an invitation.
var actions = map[protocol.SignalingAction]string{
	protocol.SignalingInvite: "invite", protocol.SignalingCancel: "cancel", protocol.SignalingAccept: "accept",
	protocol.SignalingReject: "reject", protocol.SignalingTimeout: "timeout",
}

// custom says custom data; of a step of an invitation, which has an event of its
// own, in short.
func custom(data string) string {
	if s, ok := protocol.SignalingOf(data); ok && actions[s.ActionType] != "" {
		return fmt.Sprintf("signaling: %s (%s)", actions[s.ActionType], s.InviteID)
	}
	return "custom " + quoted(data)
}

func between(sender protocol.UserInfo, peer string, self bool) string {
	if self {
		return "me → " + peer
	}
	return sender.UserID + " → me"
}

func inGroup(sender protocol.UserInfo, group string, self bool) string {
	if self {
		return "me → group " + group
	}
	return sender.UserID + " → group " + group
}
