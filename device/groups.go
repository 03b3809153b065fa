package device

import (
	"slices"

	"github.com/herald-im/herald/protocol"
)

// groupEvent is the event of a change in a group; without Info for what this account
// is not told. A change of a kind that this version does not know is none.
func (s *session) groupEvent(group string, e *protocol.Entry) (protocol.Occurrence, error) {
	var t protocol.Tip
	if err := protocol.Unmarshal(e.Body, &t); err != nil {
		return protocol.Occurrence{}, err
	}
	op := s.operatorOf(group, e.From)
	some := protocol.MembersEvent{GroupID: group, OpUser: op, MemberList: s.memberList(group, t.Users), Reason: t.Reason}
	switch t.Kind {
	case protocol.TipCreated:
		if e.From == s.user {
			return protocol.OnGroupCreated.New(protocol.OneGroupEvent{GroupID: group})
		}
	case protocol.TipJoined:
		if slices.Contains(t.Users, e.From) {
			some.OpUser = nil
		}
		return protocol.OnMemberEnter.New(some)
	case protocol.TipInvited:
		return protocol.OnMemberInvited.New(some)
	case protocol.TipKicked:
		return protocol.OnMemberKicked.New(some)
	case protocol.TipQuit:
		if slices.Contains(t.Users, s.user) {
			return protocol.OnQuitFromGroup.New(protocol.OneGroupEvent{GroupID: group})
		}
		if len(some.MemberList) == 1 {
			return protocol.OnMemberLeave.New(protocol.MemberLeftEvent{GroupID: group, Member: some.MemberList[0]})
		}
	case protocol.TipAdmin:
		return protocol.OnGrantAdministrator.New(some)
	case protocol.TipNoAdmin:
		return protocol.OnRevokeAdministrator.New(some)
	case protocol.TipMuted, protocol.TipCard:
		return protocol.OnMemberInfoChanged.New(protocol.MembersChangedEvent{GroupID: group, OpUser: op, InfoList: memberChanges(&t)})
	case protocol.TipChanged, protocol.TipOwner:
		ev := protocol.GroupChangedEvent{GroupID: group, OpUser: op}
		if t.Change != nil {
			ev.GroupInfo.GroupChange = *t.Change
		}
		if t.Kind == protocol.TipOwner && len(t.Users) == 1 {
			ev.GroupInfo.Owner = t.Users[0]
		}
		return protocol.OnGroupInfoChanged.New(ev)
	case protocol.TipDismissed:
		return protocol.OnGroupDismissed.New(protocol.OneGroupEvent{GroupID: group, OpUser: op})
	case protocol.TipRecycled:
		return protocol.OnGroupRecycled.New(protocol.OneGroupEvent{GroupID: group, OpUser: op})
	}
	return protocol.Occurrence{}, nil
}

// memberChanges is what of members a tip says has changed; nil: nothing has.
func memberChanges(t *protocol.Tip) []protocol.MemberChangeInfo {
	if t.Kind != protocol.TipMuted && t.Kind != protocol.TipCard {
		return nil
	}
	out := make([]protocol.MemberChangeInfo, len(t.Users))
	seconds := int64(t.Seconds)
	for i, user := range t.Users {
		out[i].UserID = user
		if t.Kind == protocol.TipCard {
			out[i].NameCard = &t.Card
		} else {
			out[i].MuteTime = &seconds
		}
	}
	return out
}

// operatorOf is who did something in a group; without a userId the hub's operator.
func (s *session) operatorOf(group, user string) *protocol.GroupMemberInfo {
	var info protocol.GroupMemberInfo
	if user != "" {
		info = s.memberInfo(group, user)
	}
	return &info
}

// cards takes from a change in a group what members are called in it from then on; nil:
// what they are called has not changed. That of who has none is in no frame's People.
func cards(group string, e *protocol.Entry) func(alter) {
	var t protocol.Tip
	if protocol.Unmarshal(e.Body, &t) != nil {
		return nil
	}
	switch t.Kind {
	case protocol.TipCard, protocol.TipJoined, protocol.TipInvited: // who joins has none yet
		return func(change alter) {
			for _, user := range t.Users {
				if protocol.ValidUserID(user) {
					change(cardKey(group, user), func(p *person) { p.Nick = short(t.Card, maxCard) })
				}
			}
		}
	}
	return nil
}

// memberInfo is a member of a group as this board knows him.
func (s *session) memberInfo(group, user string) protocol.GroupMemberInfo {
	p, card := s.people.of(user, group)
	return protocol.GroupMemberInfo{UserID: user, NickName: p.Nick, FriendRemark: p.Remark, NameCard: card, FaceURL: p.Face}
}

func (s *session) memberList(group string, users []string) []protocol.GroupMemberInfo {
	out := make([]protocol.GroupMemberInfo, len(users))
	for i, user := range users {
		out[i] = s.memberInfo(group, user)
	}
	return out
}
