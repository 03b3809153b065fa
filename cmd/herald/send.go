package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
)

// maxInput is the most that is read from stdin, in bytes: what the local API
// takes.
const maxInput = 1 << 20

func sendCommand(sh *shell) *cobra.Command {
	var group string
	var custom bool
	cmd := &cobra.Command{
		Use:   "send {USER | --group GROUP} TEXT",
		Short: "Send a message to an account or a group",
		Long: `Sends a text, or with --custom custom data, to an account or a group and prints
the message's id.

Without a link to the hub the message is queued: it is on disk and goes out when
the link is back. The word "queued" is printed then; "herald queue" shows it.

The text "-" is read from stdin, without the newline at its end.`,
		Example: `  herald send indoor "somebody is at the door"
  herald send --group house "dinner is ready"
  uptime | herald send operator -`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch toGroup := cmd.Flags().Changed("group"); {
			case toGroup && len(args) != 1:
				return fmt.Errorf("a message to a group needs its TEXT and nothing else: %d words were given; put quotes around it", len(args))
			case !toGroup && len(args) != 2:
				return fmt.Errorf("a message needs USER and TEXT: %d words were given; put quotes around the text", len(args))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := args[len(args)-1]
			if text == "-" {
				b, err := sh.readInput()
				if err != nil {
					return err
				}
				text = string(bytes.TrimSuffix(b, []byte("\n")))
			}
			var res protocol.SendResponse
			var err error
			switch ctx := cmd.Context(); {
			case cmd.Flags().Changed("group") && custom:
				res, err = call(ctx, sh, protocol.SendGroupCustomMessage, protocol.GroupCustomRequest{GroupID: group, CustomData: text})
			case cmd.Flags().Changed("group"):
				res, err = call(ctx, sh, protocol.SendGroupTextMessage, protocol.GroupTextRequest{GroupID: group, Text: text})
			case custom:
				res, err = call(ctx, sh, protocol.SendC2CCustomMessage, protocol.C2CCustomRequest{UserID: args[0], CustomData: text})
			default:
				res, err = call(ctx, sh, protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: args[0], Text: text})
			}
			if err != nil || sh.json {
				return err
			}
			if res.Queued {
				fmt.Fprintf(sh.out, "%s  queued: it goes out when the link to the hub is back\n", printable(res.MsgID))
			} else {
				fmt.Fprintln(sh.out, printable(res.MsgID))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&group, "group", "", "send to the group with this `id`")
	cmd.Flags().BoolVar(&custom, "custom", false, "send the text as custom data")
	return cmd
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
