package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// maxImport is the longest file that is read, in bytes.
const maxImport = 256 << 20

// importFile is what a file of accounts, groups and friends holds; see docs/operator.md.
type importFile struct {
	Users   []hub.Account  `json:"users"`
	Groups  []importGroup  `json:"groups"`
	Friends []hub.Befriend `json:"friends"`
}

type importGroup struct {
	protocol.NewGroup
	Owner   string         `json:"owner"`
	Members []importMember `json:"members"`
}

type importMember struct {
	UserID   string        `json:"userId"`
	Role     protocol.Role `json:"role"`
	NameCard string        `json:"nameCard"`
}

func (o *options) importAll() *cobra.Command {
	return o.operated("import FILE", "Bring in accounts, groups and friends from a file", exactly("FILE"), func(cmd *cobra.Command, args []string) error {
		in, err := readImport(args[0])
		if err != nil {
			return err
		}
		s, app, err := o.openRunning(cmd.Context())
		if err != nil {
			return err
		}
		bar := newBar(o.stderr, "bringing in")
		n, err := in.into(cmd.Context(), s, app, bar)
		bar.end()
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		return o.answer(n, fmt.Sprintf("%d accounts, %d groups with %d members, %d friends\n", n.Users, n.Groups, n.Members, n.Friends))
	})
}

func readImport(path string) (in importFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return in, err
	}
	defer f.Close() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	switch {
	case err != nil:
		return in, fmt.Errorf("read %s: %w", path, err)
	case len(b) > maxImport:
		return in, fmt.Errorf("%s is over %d MB: split it", path, maxImport>>20)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		line := 1 + strings.Count(string(b[:min(int(d.InputOffset()), len(b))]), "\n")
		return in, fmt.Errorf("%s, near line %d: %w", path, line, err)
	}
	return in, nil
}

// imported counts what was brought in.
type imported struct {
	Users   int `json:"users"`
	Groups  int `json:"groups"`
	Members int `json:"members"`
	Friends int `json:"friends"`
}

// step is one operation with what it is about, for errors.
type step struct {
	op    hub.Operation
	what  string
	count *int
	n     int           // of what it brings in
	fine  protocol.Code // that is as good as done
	// members says that the answer has a result for each of them.
	members bool
}

// outsiders returns how many accounts have become members by an answer of the hub,
// and why others are none: one that was a member before is not among them.
func outsiders(ctx context.Context, s *store.Store, app protocol.AppID, answer []byte) (joined int, not []string) {
	var res protocol.MemberResultsResponse
	if err := json.Unmarshal(answer, &res); err != nil {
		return 0, []string{"the hub's answer cannot be read: " + err.Error()}
	}
	for _, r := range res.ResultList {
		switch {
		case r.Result == protocol.MemberDone:
			joined++
		case r.Result != protocol.MemberInvalid:
			not = append(not, r.UserID+" is in too many groups")
		default:
			if _, err := s.User(ctx, app, r.UserID); errors.Is(err, store.ErrNotFound) {
				not = append(not, "there is no account "+r.UserID)
			} else if err != nil {
				not = append(not, err.Error())
			}
		}
	}
	return joined, not
}

// into brings everything in. It goes on where it broke off when it is run again: what
// is there already is left as it is, but for profiles, which are written anew.
func (in importFile) into(ctx context.Context, s *store.Store, app protocol.AppID, bar *bar) (n imported, err error) {
	steps, err := in.steps(&n)
	if err != nil {
		return n, err
	}
	bar.total = len(steps)
	ops := make([]hub.Operation, len(steps))
	for i, x := range steps {
		ops[i] = x.op
	}
	var failed []error
	err = batch(ctx, s, app, ops, func(i int, r hub.Outcome) {
		x := steps[i]
		if err := failure(r); err != nil {
			if r.Code != x.fine {
				failed = append(failed, fmt.Errorf("%s: %w", x.what, err))
			}
			return
		}
		n, not := x.n, []string(nil)
		if x.members {
			n, not = outsiders(ctx, s, app, r.Body)
		}
		*x.count += n
		for _, why := range not {
			failed = append(failed, fmt.Errorf("%s: %s", x.what, why))
		}
	}, bar.set)
	if len(failed) > maxFailures {
		failed = append(failed[:maxFailures], fmt.Errorf("and %d more", len(failed)-maxFailures))
	}
	return n, errors.Join(err, errors.Join(failed...))
}

// maxFailures is how many failures are listed.
const maxFailures = 20

func (in importFile) steps(n *imported) (out []step, err error) {
	add := func(what, method, user string, body any, count *int, of int, fine protocol.Code) {
		op, e := operation(method, user, body)
		err = errors.Join(err, e)
		out = append(out, step{op: op, what: what, count: count, n: of, fine: fine})
	}
	var nothing int
	for _, u := range in.Users {
		add("the account "+u.UserID, hub.OpAccount, "", u, &n.Users, 1, 0)
	}
	for _, g := range in.Groups {
		what := "the group " + g.GroupID
		if g.GroupID == "" {
			return nil, errors.New("groupId: a group without one would be made anew each time")
		}
		add(what, protocol.CreateGroupWithMemberList.Info().Name, g.Owner, protocol.CreateGroupWithMembersRequest{GroupInfo: g.NewGroup}, &n.Groups, 1, protocol.CodeSvrGroupGroupIDInUsedForSuper)
		var users []string
		for _, m := range g.Members {
			if m.UserID != g.Owner {
				users = append(users, m.UserID)
			}
		}
		for len(users) > 0 {
			part := users[:min(len(users), protocol.MaxMembersAtOnce)]
			users = users[len(part):]
			add("members of "+what, protocol.InviteUserToGroup.Info().Name, "", protocol.InviteToGroupRequest{GroupID: g.GroupID, UserIDList: part}, &n.Members, len(part), 0)
			out[len(out)-1].members = true
		}
		for _, m := range g.Members {
			if m.Role == protocol.RoleAdmin {
				role := m.Role
				add(m.UserID+" in "+what, protocol.SetGroupMemberRole.Info().Name, "", protocol.SetRoleRequest{GroupID: g.GroupID, UserID: m.UserID, Role: &role}, &nothing, 0, 0)
			}
			if m.NameCard != "" {
				add(m.UserID+" in "+what, protocol.SetGroupMemberInfo.Info().Name, "", protocol.SetMemberInfoRequest{
					GroupID: g.GroupID, Info: protocol.MemberChange{UserID: m.UserID, NameCard: m.NameCard},
				}, &nothing, 0, 0)
			}
		}
	}
	for _, f := range in.Friends {
		add("the friends "+f.UserID+" and "+f.FriendID, hub.OpBefriend, "", f, &n.Friends, 1, 0)
	}
	return out, err
}
