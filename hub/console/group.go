package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func (o *options) group() *cobra.Command {
	cmd := group("group", "The groups")
	cmd.AddCommand(o.listGroups(), o.showGroup(), o.createGroup(), o.addMembers(), o.removeMembers(), o.setGroup(),
		o.transferGroup(), o.dismissGroup(), o.recycleGroups(), o.notifyGroup(), o.attributes())
	return cmd
}

// operated is a command about a group that the hub that runs carries out.
func (o *options) operated(use, short string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return o.machine(o.where(&cobra.Command{Use: use, Short: short, Args: args, RunE: run}))
}

// atLeast wants that many arguments, named for the message, and takes more of the last.
func atLeast(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("%s is missing", names[len(args)])
		}
		return nil
	}
}

type groupRow struct {
	protocol.GroupInfo
	Attributes map[string]string          `json:"attributes,omitempty"`
	Members    []protocol.GroupMemberInfo `json:"members,omitempty"`
}

func rowOf(g store.Group) groupRow {
	return groupRow{GroupInfo: protocol.GroupInfo{
		GroupID: g.ID, GroupType: g.Type, GroupName: g.Name, Notification: g.Notification, Introduction: g.Introduction, FaceURL: g.Face, AllMuted: g.AllMuted,
		Owner: g.Owner, CreateTime: g.Created.Unix(), GroupAddOpt: g.AddOpt, LastInfoTime: g.Changed.Unix(), MemberCount: g.Members, Role: protocol.RoleUndefined,
	}, Attributes: g.Attributes}
}

// groupsAtOnce is how many groups are read at a time.
const groupsAtOnce = 500

func (o *options) listGroups() *cobra.Command {
	return o.operated("list", "List the groups", exactly(), func(cmd *cobra.Command, _ []string) error {
		s, app, _, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		list, err := allGroups(cmd.Context(), s, app)
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		rows := make([]groupRow, len(list))
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "GROUP\tTYPE\tMEMBERS\tOWNER\tNAME")
		for i, g := range list {
			rows[i] = rowOf(g)
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", g.ID, g.Type, g.Members, g.Owner, oneLine(g.Name))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		return o.answer(rows, b.String())
	})
}

func allGroups(ctx context.Context, s *store.Store, app protocol.AppID) (all []store.Group, err error) {
	for after := ""; ; after = all[len(all)-1].ID {
		list, err := s.Groups(ctx, app, after, groupsAtOnce)
		if all = append(all, list...); err != nil || len(list) < groupsAtOnce {
			return all, err
		}
	}
}

// oneLine is a text without what would break a table or a terminal.
func oneLine(s string) string { return printable(s, "") }

// printable puts spaces in the place of what a terminal would obey, also of what turns
// the order of characters, but for those to keep.
func printable(s, keep string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) && !strings.ContainsRune(keep, r) {
			return ' '
		}
		return r
	}, s)
}

func (o *options) showGroup() *cobra.Command {
	return o.operated("show GROUP", "Show a group and its members", exactly("GROUP"), func(cmd *cobra.Command, args []string) error {
		s, app, _, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		g, err := s.Group(ctx, app, args[0])
		if errors.Is(err, store.ErrNotFound) || err == nil && g.Dismissed {
			err = fmt.Errorf("there is no group %s: see herald-hub group list", args[0])
		}
		var members []store.Member
		if err == nil {
			members, err = s.Members(ctx, app, g.ID)
		}
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		row := rowOf(g)
		var b strings.Builder
		fmt.Fprintf(&b, "%s  %s  %q, owned by %s, %d members, made %s\n", g.ID, g.Type, g.Name, g.Owner, g.Members, g.Created.UTC().Format(time.RFC3339))
		for _, key := range slices.Sorted(mapKeys(g.Attributes)) {
			fmt.Fprintf(&b, "  %s = %s\n", oneLine(key), oneLine(g.Attributes[key]))
		}
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "MEMBER\tROLE\tJOINED\tNAME")
		for _, m := range members {
			role := m.Role
			row.Members = append(row.Members, protocol.GroupMemberInfo{UserID: m.User, NameCard: m.Card, Role: &role, JoinTime: m.JoinedAt / 1000, MuteUntil: m.MutedUntil / 1000})
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.User, [...]string{"member", "admin", "owner"}[min(m.Role, 2)], time.UnixMilli(m.JoinedAt).UTC().Format(time.RFC3339), oneLine(m.Card))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		return o.answer(row, b.String())
	})
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (o *options) createGroup() *cobra.Command {
	var in protocol.NewGroup
	var owner string
	var members []string
	cmd := o.operated("create [GROUP]", "Make a group, and print its id if that is the hub's choice", nil, func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return exactly("GROUP")(cmd, args)
		case len(args) > 0:
			in.GroupID = args[0]
		}
		switch {
		case owner == "":
			return usagef("--owner is missing")
		case in.GroupName == "":
			return usagef("--name is missing")
		}
		req := protocol.CreateGroupWithMembersRequest{GroupInfo: in}
		for _, m := range members {
			req.MemberList = append(req.MemberList, protocol.NewMember{UserID: m})
		}
		b, err := o.operate(cmd, protocol.CreateGroupWithMemberList.Info().Name, owner, req)
		if err != nil {
			return err
		}
		var made protocol.GroupRequest
		if err := json.Unmarshal(b, &made); err != nil {
			return err
		}
		text := ""
		if in.GroupID == "" {
			text = made.GroupID + "\n"
		}
		return o.answer(b, text)
	})
	f := cmd.Flags()
	f.StringVar(&owner, "owner", "", "the account that owns it")
	f.StringVar(&in.GroupType, "type", protocol.GroupPublic, "Work, Public, Meeting or AVChatRoom")
	f.StringVar(&in.GroupName, "name", "", "what people see")
	f.StringVar(&in.Introduction, "introduction", "", "for those who are no members")
	f.StringVar(&in.Notification, "notification", "", "for the members")
	f.StringVar(&in.FaceURL, "face", "", "URL of a picture")
	f.StringSliceVar(&members, "member", nil, "an account that is a member; may be given several times")
	return cmd
}

func (o *options) addMembers() *cobra.Command {
	return o.operated("add GROUP USER...", "Make accounts members of a group of any type", atLeast("GROUP", "USER"), func(cmd *cobra.Command, args []string) error {
		return o.membersChanged(cmd, protocol.InviteUserToGroup.Info().Name, protocol.InviteToGroupRequest{GroupID: args[0], UserIDList: args[1:]})
	})
}

func (o *options) removeMembers() *cobra.Command {
	reason := ""
	cmd := o.operated("remove GROUP USER...", "Put members out of a group of any type", atLeast("GROUP", "USER"), func(cmd *cobra.Command, args []string) error {
		return o.membersChanged(cmd, protocol.KickGroupMember.Info().Name, protocol.KickRequest{GroupID: args[0], MemberList: args[1:], Reason: reason})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "told to all members")
	return cmd
}

// membersChanged has the hub change members, and fails if one of them is not done.
func (o *options) membersChanged(cmd *cobra.Command, method string, body any) error {
	b, err := o.operate(cmd, method, "", body)
	if err != nil {
		return err
	}
	var res protocol.MemberResultsResponse
	if err := json.Unmarshal(b, &res); err != nil {
		return err
	}
	var not []string
	for _, r := range res.ResultList {
		if r.Result != protocol.MemberDone {
			not = append(not, r.UserID)
		}
	}
	if err := o.answer(res, ""); err != nil {
		return err
	}
	if len(not) > 0 {
		return fmt.Errorf("not done for %s: no such account, a member already or none, the owner, or in too many groups", strings.Join(not, ", "))
	}
	return nil
}

func (o *options) setGroup() *cobra.Command {
	var name, introduction, notification, face string
	muted, addOpt := false, uint8(0)
	cmd := o.operated("set GROUP", "Change a group", exactly("GROUP"), nil)
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "what people see")
	f.StringVar(&introduction, "introduction", "", "for those who are no members")
	f.StringVar(&notification, "notification", "", "for the members")
	f.StringVar(&face, "face", "", "URL of a picture")
	f.BoolVar(&muted, "muted", false, "whether ordinary members are silent")
	f.Uint8Var(&addOpt, "join", 0, "who may join by himself: 0 everybody, 1 on application, 2 nobody")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := protocol.SetGroupInfoRequest{GroupID: args[0]}
		opt := protocol.AddOpt(addOpt)
		for flag, set := range map[string]func(){
			"name": func() { req.GroupName = &name }, "introduction": func() { req.Introduction = &introduction },
			"notification": func() { req.Notification = &notification }, "face": func() { req.FaceURL = &face },
			"muted": func() { req.AllMuted = &muted }, "join": func() { req.GroupAddOpt = &opt },
		} {
			if f.Changed(flag) {
				set()
			}
		}
		if req.Empty() {
			return usagef("there is nothing to change: name it with a flag")
		}
		return o.ask(cmd, protocol.SetGroupInfo.Info().Name, "", req)
	}
	return cmd
}

func (o *options) transferGroup() *cobra.Command {
	return o.operated("transfer GROUP USER", "Give a group to another member", exactly("GROUP", "USER"), func(cmd *cobra.Command, args []string) error {
		return o.ask(cmd, protocol.TransferGroupOwner.Info().Name, "", protocol.MemberRequest{GroupID: args[0], UserID: args[1]})
	})
}

func (o *options) dismissGroup() *cobra.Command {
	return o.operated("dismiss GROUP", "End a group of any type", exactly("GROUP"), func(cmd *cobra.Command, args []string) error {
		return o.ask(cmd, protocol.DismissGroup.Info().Name, "", protocol.GroupRequest{GroupID: args[0]})
	})
}

func (o *options) recycleGroups() *cobra.Command {
	idle, dry := "", false
	cmd := o.operated("recycle [GROUP...]", "End groups, or all in which nothing was said for long", nil, nil)
	cmd.Flags().StringVar(&idle, "idle", "", "for how long, such as 90d")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "end nothing, only list what would be ended")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		var since time.Time
		switch d, err := parseSpan(cmp.Or(idle, "1s")); {
		case (idle == "") == (len(ids) == 0):
			return usagef("name either groups or, with --idle, for how long nothing was said, such as 90d")
		case err != nil:
			return usagef("--idle: %v", err)
		case idle != "":
			since = time.Now().Add(-d)
		}
		method := hub.OpRecycle
		if dry {
			method = hub.OpIdle
		}
		ended := []string{}
		err := o.running(cmd.Context(), func(ctx context.Context, s *store.Store, app protocol.AppID) error {
			if idle != "" {
				all, err := allGroups(ctx, s, app)
				if err != nil {
					return err
				}
				for _, g := range all {
					if !g.Changed.After(since) {
						ids = append(ids, g.ID)
					}
				}
			}
			var err error
			ops := make([]hub.Operation, len(ids))
			for i, id := range ids {
				var e error
				ops[i], e = operation(method, "", hub.Recycle{GroupID: id, Since: since})
				err = errors.Join(err, e)
			}
			if err != nil {
				return err
			}
			var not []error
			err = batch(ctx, s, app, ops, func(i int, r hub.Outcome) {
				switch {
				case r.Code == 0:
					ended = append(ended, ids[i])
				case idle != "" && (r.Code == protocol.CodeSvrGroupPermissionDeny || r.Code == protocol.CodeSvrGroupNotFound): // it is in use, or has just ended
				default:
					not = append(not, failure(r))
				}
			}, func(int) {})
			return errors.Join(err, errors.Join(not...))
		})
		if err != nil && len(ended) == 0 {
			return err
		}
		text := ""
		for _, id := range ended {
			text += id + "\n"
		}
		return errors.Join(err, o.answer(ended, text))
	}
	return cmd
}

func (o *options) notifyGroup() *cobra.Command {
	return o.operated("notify GROUP DATA", "Tell all members of a group something (onReceiveRESTCustomData)", exactly("GROUP", "DATA"), func(cmd *cobra.Command, args []string) error {
		return o.ask(cmd, hub.OpNotify, "", hub.GroupNotice{GroupID: args[0], CustomData: args[1]})
	})
}

func (o *options) attributes() *cobra.Command {
	return o.operated("attribute GROUP NAME=VALUE...", "Set attributes of a group; NAME= takes one away", atLeast("GROUP", "NAME=VALUE"), func(cmd *cobra.Command, args []string) error {
		in := hub.GroupAttributes{GroupID: args[0], Attributes: make(map[string]*string)}
		for _, arg := range args[1:] {
			name, value, ok := strings.Cut(arg, "=")
			if !ok {
				return usagef("%q is not NAME=VALUE", arg)
			}
			if in.Attributes[name] = nil; value != "" {
				in.Attributes[name] = &value
			}
		}
		return o.ask(cmd, hub.OpAttributes, "", in)
	})
}
