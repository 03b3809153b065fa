package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
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
		var n imported
		err = o.running(cmd.Context(), func(ctx context.Context, s *store.Store, app protocol.AppID) (err error) {
			bar := newBar(o.stderr, "bringing in")
			defer bar.end()
			n, err = in.into(ctx, s, app, bar)
			return err
		})
		if err != nil && n == (imported{}) {
			return err
		}
		return errors.Join(err, o.answer(n, fmt.Sprintf("%d accounts, %d groups with %d members, %d friends\n", n.Users, n.Groups, n.Members, n.Friends)))
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
		return in, err
	case len(b) > maxImport:
		return in, fmt.Errorf("%s is over %d MB: split it", path, maxImport>>20)
	}
	if at, err := in.parse(b); err != nil {
		return in, fmt.Errorf("%s, near line %d: %w", path, 1+bytes.Count(b[:min(at, len(b))], []byte("\n")), err)
	}
	if err := in.check(); err != nil {
		return in, fmt.Errorf("%s: %w", path, err)
	}
	return in, nil
}

// parse reads the file's text, all of it. With an error it says at which byte.
func (in *importFile) parse(b []byte) (at int, err error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff")) // which some editors write
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		return int(syntax.Offset), err
	}
	err = strictly(b, in)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &kind):
		what, is := map[reflect.Kind]string{
			reflect.String: "a string", reflect.Bool: "true or false", reflect.Slice: "an array", reflect.Struct: "an object",
		}[kind.Type.Kind()], map[string]string{"string": "a string", "object": "an object", "array": "an array", "bool": "true or false"}[kind.Value]
		err = fmt.Errorf("%s belongs here, not %s", cmp.Or(what, "a small number"), cmp.Or(is, "a "+kind.Value))
		if kind.Field != "" {
			err = fmt.Errorf("%s: %w", kind.Field, err)
		}
		return int(kind.Offset), err
	}
	return unknown(b), errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func strictly(b []byte, in *importFile) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(in)
}

// unknown finds the first entry of a file that has a field which there is not, since
// the decoder does not say where it was.
func unknown(b []byte) (at int) {
	d := json.NewDecoder(bytes.NewReader(b))
	_, err := d.Token() // the object begins
	for err == nil && d.More() {
		var key json.Token
		if key, err = d.Token(); err != nil {
			break
		}
		at = int(d.InputOffset())
		if list := bytes.TrimLeft(b[at:], ": \t\r\n"); !bytes.HasPrefix(list, []byte("[")) || strictly(fmt.Appendf(nil, "{%q:[]}", key), new(importFile)) != nil {
			var whole json.RawMessage
			if err = d.Decode(&whole); err == nil && strictly(fmt.Appendf(nil, "{%q:%s}", key, whole), new(importFile)) != nil {
				return at
			}
			continue
		}
		for _, err = d.Token(); err == nil && d.More(); {
			var entry json.RawMessage
			if err = d.Decode(&entry); err == nil && strictly(fmt.Appendf(nil, "{%q:[%s]}", key, entry), new(importFile)) != nil {
				return int(d.InputOffset()) - len(entry)
			}
		}
		if err == nil {
			_, err = d.Token() // the list ends
		}
	}
	return at
}

// check finds what can be seen to be wrong without a hub.
func (in *importFile) check() error {
	for _, g := range in.Groups {
		if g.GroupID == "" {
			return fmt.Errorf("the group %q has no groupId: without one it would be made anew each time", g.GroupName)
		}
		for _, m := range g.Members {
			switch {
			case m.Role == protocol.RoleAdmin && g.GroupType == protocol.GroupWork:
				return fmt.Errorf("the group %s: %s: a Work group has no admins", g.GroupID, m.UserID)
			case m.Role == protocol.RoleAdmin && g.GroupType == protocol.GroupAVChatRoom:
				return fmt.Errorf("the group %s: %s: an AVChatRoom has no admins", g.GroupID, m.UserID)
			case m.Role != protocol.RoleMember && m.Role != protocol.RoleAdmin && m.Role != protocol.RoleUndefined && !(m.Role == protocol.RoleOwner && m.UserID == g.Owner):
				return fmt.Errorf("the group %s: %s: role %d is neither 0 (ordinary) nor 1 (admin); the owner is named by owner", g.GroupID, m.UserID, m.Role)
			}
		}
	}
	return nil
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
