package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func (o *options) friend() *cobra.Command {
	cmd := group("friend", "Who is whose friend")
	remark, single := "", false
	add := o.operated("add USER FRIEND", "Make two accounts friends", exactly("USER", "FRIEND"), func(cmd *cobra.Command, args []string) error {
		return o.ask(cmd, hub.OpBefriend, "", hub.Befriend{UserID: args[0], FriendID: args[1], FriendRemark: remark, Both: !single})
	})
	add.Flags().StringVar(&remark, "remark", "", "what USER calls FRIEND")
	add.Flags().BoolVar(&single, "single", false, "put FRIEND into USER's list alone")
	onlyOne := false
	remove := o.operated("remove USER FRIEND", "End a friendship", exactly("USER", "FRIEND"), func(cmd *cobra.Command, args []string) error {
		kind := protocol.FriendBoth
		if onlyOne {
			kind = protocol.FriendSingle
		}
		return o.unfriend(cmd, args[0], protocol.DeleteFriendsRequest{UserListRequest: protocol.UserListRequest{UserIDList: args[1:]}, DeleteType: kind})
	})
	remove.Flags().BoolVar(&onlyOne, "single", false, "take FRIEND out of USER's list alone")
	cmd.AddCommand(o.listFriends(), add, remove)
	return cmd
}

// unfriend ends friendships, and fails if one of them is not ended.
func (o *options) unfriend(cmd *cobra.Command, user string, req protocol.DeleteFriendsRequest) error {
	b, err := o.operate(cmd, protocol.DeleteFromFriendList.Info().Name, user, req)
	if err != nil {
		return err
	}
	var res protocol.FriendResultsResponse
	if err := json.Unmarshal(b, &res); err != nil {
		return err
	}
	for _, r := range res.ResultList {
		if r.ResultCode != "0" {
			err = errors.Join(err, fmt.Errorf("%s: %s (code %s)", r.UserID, r.ResultInfo, r.ResultCode))
		}
	}
	if err != nil {
		return err
	}
	return o.answer(res, "")
}

type friendRow struct {
	UserID string `json:"userId"`
	Remark string `json:"friendRemark"`
	Mutual bool   `json:"mutual"`
}

func (o *options) listFriends() *cobra.Command {
	return o.operated("list USER", "List an account's friends", exactly("USER"), func(cmd *cobra.Command, args []string) error {
		s, app, _, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		var list []store.Friend
		if _, err = s.User(ctx, app, args[0]); errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("there is no account %s: see herald-hub user list", args[0])
		}
		if err == nil {
			list, err = s.Friends(ctx, app, args[0])
		}
		rows := make([]friendRow, 0, len(list))
		for _, f := range list {
			mutual, e := s.HasFriend(ctx, app, f.User, args[0])
			err = errors.Join(err, e)
			rows = append(rows, friendRow{f.User, f.Remark, mutual})
		}
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "FRIEND\tSIDES\tREMARK")
		for _, r := range rows {
			sides := "one"
			if r.Mutual {
				sides = "both"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.UserID, sides, oneLine(r.Remark))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		return o.answer(rows, b.String())
	})
}
