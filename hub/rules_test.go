package hub

import (
	"context"
	"fmt"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// ruleTable is the document's table of who may do what, in code, action and type; ok is
// 0. Roles: owner, admin, member, stranger.
var ruleTable = map[string]map[string][4]protocol.Code{
	protocol.GroupWork: {
		"join": {10013, no, 10013, 8508}, "invite": {0, no, 0, 10007}, "edit": {0, no, 0, 10007}, "mute all": {10007, no, 10007, 10007},
		"kick a member": {0, no, 10007, 10007}, "kick an admin": {no, no, no, no}, "mute a member": {10007, no, 10007, 10007}, "mute an admin": {no, no, no, no},
		"make an admin": {10007, no, 10007, 10007}, "transfer": {0, no, 10007, 10007}, "quit": {0, no, 0, 10007}, "dismiss": {10007, no, 10007, 10007},
		"name a member": {0, no, 10007, 10007}, "name himself": {0, no, 0, 10007}, "list": {0, no, 0, 10007}, "option": {0, no, 0, 10007}, "say": {0, no, 0, 10007},
	},
	protocol.GroupPublic:  managed,
	protocol.GroupMeeting: managed,
	protocol.GroupAVChatRoom: {
		"join": {10013, no, 10013, 0}, "invite": {10007, no, 10007, 10007}, "edit": {0, no, 10007, 10007}, "mute all": {0, no, 10007, 10007},
		"kick a member": {10007, no, 10007, 10007}, "kick an admin": {no, no, no, no}, "mute a member": {0, no, 10007, 10007}, "mute an admin": {no, no, no, no},
		"make an admin": {10007, no, 10007, 10007}, "transfer": {10007, no, 10007, 10007}, "quit": {10009, no, 0, 10007}, "dismiss": {0, no, 10007, 10007},
		"name a member": {0, no, 10007, 10007}, "name himself": {0, no, 0, 10007}, "list": {0, no, 0, 10007}, "option": {10007, no, 10007, 10007}, "say": {0, no, 0, 10007},
	},
}

// no stands where there is no such role in a group of the type.
const no = protocol.Code(-1)

var managed = map[string][4]protocol.Code{
	"join": {10013, 10013, 10013, 0}, "invite": {10007, 10007, 10007, 10007}, "edit": {0, 0, 10007, 10007}, "mute all": {0, 0, 10007, 10007},
	"kick a member": {0, 0, 10007, 10007}, "kick an admin": {0, failed, 10007, 10007}, "mute a member": {0, 0, 10007, 10007}, "mute an admin": {0, 10007, 10007, 10007},
	"make an admin": {0, 10007, 10007, 10007}, "transfer": {0, 10007, 10007, 10007}, "quit": {10009, 0, 0, 10007}, "dismiss": {0, 10007, 10007, 10007},
	"name a member": {0, 0, 10007, 10007}, "name himself": {0, 0, 0, 10007}, "list": {0, 0, 0, 10007}, "option": {0, 0, 0, 10007}, "say": {0, 0, 0, 10007},
}

// failed is a call that is answered, with a result that says that nothing was done.
const failed = protocol.Code(-2)

var roleNames = [4]string{"owner", "admin", "member", "stranger"}

func TestRules(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var terms [4]*term
		for i, name := range roleNames {
			terms[i] = r.online(name, "t")
		}
		r.online("x", "t")
		r.online("boss", "t") // the admin that others try themselves at
		r.online("friend", "t")
		n := 0
		for kind, actions := range ruleTable {
			for action, codes := range actions {
				for role, want := range codes {
					if want == no {
						continue
					}
					n++
					g := fmt.Sprintf("g%d", n)
					r.populate(g, kind)
					if got := terms[role].acts(action, g); got != want {
						t.Errorf("%s: %s: %s: code %d, want %d", kind, roleNames[role], action, got, want)
					}
				}
			}
		}
	})
}

// populate makes a group with an owner, an admin where there are some, a member, and
// two more whom things are done to.
func (r *rig) populate(id, kind string) {
	r.t.Helper()
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		g := store.Group{ID: id, Type: kind, Name: id, Owner: "owner", AddOpt: rulesOf[kind].addOpt, Version: 1, LiveEpoch: 1, Created: r.cfg.Now(), Changed: r.cfg.Now()}
		if err := tx.CreateGroup(ctx, r.app, g); err != nil {
			return err
		}
		l, _, err := tx.EnsureLog(ctx, r.app, protocol.GroupLog(id))
		if err != nil {
			return err
		}
		for user, role := range map[string]protocol.Role{"owner": protocol.RoleOwner, "admin": protocol.RoleAdmin, "boss": protocol.RoleAdmin, "member": 0, "x": 0} {
			if role == protocol.RoleAdmin && rulesOf[kind].admins == nobody {
				continue
			}
			g.Members++
			if err := tx.AddMember(ctx, r.app, &g, store.Member{User: user, Role: role}, r.cfg.Now()); err != nil {
				return err
			}
			if err := tx.SetReader(ctx, r.app, user, l.ID, 0, 0); err != nil {
				return err
			}
		}
		return tx.UpdateGroup(ctx, r.app, g)
	})
}

// acts tries an action on a group and returns what comes of it.
func (x *term) acts(action, g string) protocol.Code {
	x.t.Helper()
	name, muted, admin, seconds, opt := "new", true, protocol.RoleAdmin, uint32(60), protocol.RecvNot
	var results protocol.MemberResultsResponse
	code := protocol.Code(0)
	switch action {
	case "join":
		return x.call("im.joinGroup", join(g), nil)
	case "invite":
		code = x.call("im.inviteUserToGroup", protocol.InviteToGroupRequest{GroupID: g, UserIDList: []string{"friend"}}, &results)
	case "edit":
		return x.call("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: g, GroupChange: protocol.GroupChange{GroupName: &name}}, nil)
	case "mute all":
		return x.call("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: g, GroupChange: protocol.GroupChange{AllMuted: &muted}}, nil)
	case "kick a member":
		code = x.call("im.kickGroupMember", protocol.KickRequest{GroupID: g, MemberList: []string{"x"}}, &results)
	case "kick an admin":
		code = x.call("im.kickGroupMember", protocol.KickRequest{GroupID: g, MemberList: []string{"boss"}}, &results)
	case "mute a member":
		return x.call("im.muteGroupMember", protocol.MuteRequest{GroupID: g, UserID: "x", Seconds: &seconds}, nil)
	case "mute an admin":
		return x.call("im.muteGroupMember", protocol.MuteRequest{GroupID: g, UserID: "boss", Seconds: &seconds}, nil)
	case "make an admin":
		return x.call("im.setGroupMemberRole", protocol.SetRoleRequest{GroupID: g, UserID: "x", Role: &admin}, nil)
	case "transfer":
		return x.call("im.transferGroupOwner", protocol.MemberRequest{GroupID: g, UserID: "x"}, nil)
	case "quit":
		return x.call("im.quitGroup", named(g), nil)
	case "dismiss":
		return x.call("im.dismissGroup", named(g), nil)
	case "name a member":
		return x.call("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: g, Info: protocol.MemberChange{UserID: "x", NameCard: "card"}}, nil)
	case "name himself":
		return x.call("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: g, Info: protocol.MemberChange{UserID: x.login.user, NameCard: "card"}}, nil)
	case "list":
		return x.call("im.getGroupMemberList", protocol.MemberListRequest{GroupID: g}, nil)
	case "option":
		return x.call("im.setReceiveMessageOpt", protocol.RecvOptRequest{GroupID: g, Opt: &opt}, nil)
	case "say":
		return x.append(toGroup(g, "hello"))[0].Code
	default:
		x.t.Fatal(action)
	}
	if code == 0 && results.ResultList[0].Result != protocol.MemberDone {
		return failed
	}
	return code
}
