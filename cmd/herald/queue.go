package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
)

func queueCommand(sh *shell) *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "List what waits to be sent",
		Long:  `Lists the messages that the hub does not have yet, oldest first.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if count < 1 || count > 1000 {
				return usagef("--count %d is not 1 to 1000", count)
			}
			q, err := call(cmd.Context(), sh, protocol.GetQueue, protocol.QueueRequest{Count: count})
			if err != nil || sh.json {
				return err
			}
			fmt.Fprintf(sh.out, "queue: %s\n", queueSummary(&q.QueueStatus))
			rows := [][]string{{"QUEUED", "TO", "BYTES", "MESSAGE"}}
			for _, i := range q.List {
				to := i.UserID
				if i.GroupID != "" {
					to = "group " + i.GroupID
				}
				row := []string{sh.clock(i.QueuedAt), to, strconv.FormatInt(i.Bytes, 10), i.MsgID}
				if i.Uploading {
					row = append(row, "its file is on its way")
				}
				rows = append(rows, row)
			}
			if len(q.List) > 0 {
				sh.columns("", rows)
			}
			if more := q.Items + q.Uploading - len(q.List); more > 0 {
				fmt.Fprintf(sh.out, "and %d more (--count)\n", more)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&count, "count", 20, "list so many, at most 1000")
	return cmd
}
