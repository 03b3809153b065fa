package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// describeGroup says the events of groups.
func describeGroup(e client.Event) (at int64, says string, err error) {
	members := func(format string) (int64, string, error) {
		return describe(e, func(d protocol.MembersEvent) (int64, string) {
			return 0, "group " + d.GroupID + ": " + fmt.Sprintf(format, memberNames(d.MemberList)) + by(d.OpUser) + because(d.Reason)
		})
	}
	group := func(format string) (int64, string, error) {
		return describe(e, func(d protocol.OneGroupEvent) (int64, string) {
			return 0, fmt.Sprintf(format, d.GroupID) + by(d.OpUser)
		})
	}
	switch e.Name {
	case protocol.OnMemberEnter.Info().Name:
		return members("%s joined")
	case protocol.OnMemberInvited.Info().Name:
		return members("%s added")
	case protocol.OnMemberKicked.Info().Name:
		return members("%s put out")
	case protocol.OnGrantAdministrator.Info().Name:
		return members("%s made admin")
	case protocol.OnRevokeAdministrator.Info().Name:
		return members("%s no admin any more")
	case protocol.OnMemberLeave.Info().Name:
		return describe(e, func(d protocol.MemberLeftEvent) (int64, string) {
			return 0, "group " + d.GroupID + ": " + memberNames([]protocol.GroupMemberInfo{d.Member}) + " left"
		})
	case protocol.OnMemberInfoChanged.Info().Name:
		return describe(e, func(d protocol.MembersChangedEvent) (int64, string) {
			return 0, "group " + d.GroupID + ": " + memberChanges(d.InfoList) + by(d.OpUser)
		})
	case protocol.OnGroupInfoChanged.Info().Name:
		return describe(e, func(d protocol.GroupChangedEvent) (int64, string) {
			return 0, "group " + d.GroupID + ": " + groupChange(d.GroupInfo) + by(d.OpUser)
		})
	case protocol.OnGroupCreated.Info().Name:
		return group("group %s is made")
	case protocol.OnGroupDismissed.Info().Name:
		return group("group %s is dismissed")
	case protocol.OnGroupRecycled.Info().Name:
		return describe(e, func(d protocol.OneGroupEvent) (int64, string) {
			return 0, fmt.Sprintf("group %s is ended, as nothing was said in it for long", d.GroupID)
		})
	case protocol.OnQuitFromGroup.Info().Name:
		return describe(e, func(d protocol.OneGroupEvent) (int64, string) { return 0, "left the group " + d.GroupID })
	case protocol.OnReceiveJoinApplication.Info().Name:
		return describe(e, func(d protocol.JoinApplicationEvent) (int64, string) {
			return 0, "group " + d.GroupID + ": " + d.Member.UserID + " wants to join" + because(d.OpReason)
		})
	case protocol.OnApplicationProcessed.Info().Name:
		return describe(e, func(d protocol.ApplicationProcessedEvent) (int64, string) {
			word := "refuses"
			if d.IsAgreeJoin {
				word = "lets you in"
			}
			return 0, "group " + d.GroupID + ": " + cmp.Or(d.OpUser.UserID, "the operator") + " " + word + because(d.OpReason)
		})
	case protocol.OnReceiveRESTCustomData.Info().Name:
		return describe(e, func(d protocol.GroupNoticeEvent) (int64, string) {
			return 0, "group " + d.GroupID + ": the operator says " + quoted(d.CustomData)
		})
	case protocol.OnGroupAttributeChanged.Info().Name:
		return describe(e, func(d protocol.GroupAttributesEvent) (int64, string) {
			return 0, fmt.Sprintf("group %s: attributes changed, it has %d", d.GroupID, len(d.GroupAttributeMap))
		})
	}
	return describeFriend(e)
}

// describeFriend says the events of friends, of the blacklist and of the profile.
func describeFriend(e client.Event) (at int64, says string, err error) {
	come := func(format string) (int64, string, error) {
		return describe(e, func(d protocol.FriendsEvent) (int64, string) {
			var names []string
			for _, f := range d.InfoList {
				names = append(names, f.UserID)
			}
			return 0, fmt.Sprintf(format, strings.Join(names, ", "))
		})
	}
	gone := func(format string) (int64, string, error) {
		return describe(e, func(d protocol.FriendsGoneEvent) (int64, string) {
			return 0, fmt.Sprintf(format, strings.Join(d.UserIDList, ", "))
		})
	}
	switch e.Name {
	case protocol.OnFriendListAdded.Info().Name:
		return come("friends: %s added")
	case protocol.OnFriendListDeleted.Info().Name:
		return gone("friends: %s no friend any more")
	case protocol.OnFriendProfileChanged.Info().Name:
		return come("friends: %s changed")
	case protocol.OnBlackListAdded.Info().Name:
		return come("blacklist: %s added")
	case protocol.OnBlackListDeleted.Info().Name:
		return gone("blacklist: %s taken off")
	case protocol.OnFriendApplicationListAdded.Info().Name:
		return describe(e, func(d protocol.FriendApplicationsEvent) (int64, string) {
			var says []string
			for _, a := range d.ApplicationList {
				line := a.UserID + " wants to be a friend"
				if a.Type == protocol.ApplicationSent {
					line = "asked " + a.UserID
				}
				says = append(says, line+because(a.AddWording))
			}
			return 0, "friends: " + strings.Join(says, ", ")
		})
	case protocol.OnFriendApplicationListDeleted.Info().Name:
		return gone("friends: the application of or to %s is ended")
	case protocol.OnFriendApplicationListRead.Info().Name:
		return 0, "friends: the applications are read", nil
	case protocol.OnSelfInfoUpdated.Info().Name:
		return describe(e, func(d protocol.SelfInfoEvent) (int64, string) {
			return 0, "profile changed: nickname " + quoted(d.Info.NickName)
		})
	}
	return 0, e.Name + " " + string(e.Data), nil
}

func memberNames(list []protocol.GroupMemberInfo) string {
	var names []string
	for _, m := range list {
		names = append(names, m.UserID)
	}
	return strings.Join(names, ", ")
}

// by says who did something; nothing of an event that does not tell.
func by(op *protocol.GroupMemberInfo) string {
	switch {
	case op == nil:
		return ""
	case op.UserID == "":
		return " by the operator"
	}
	return " by " + op.UserID
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return "  " + quoted(reason)
}

func memberChanges(list []protocol.MemberChangeInfo) string {
	var says []string
	for _, m := range list {
		says = append(says, memberChange(m))
	}
	return strings.Join(says, ", ")
}

func memberChange(m protocol.MemberChangeInfo) string {
	switch {
	case m.NameCard != nil && *m.NameCard == "":
		return m.UserID + " has no other name here any more"
	case m.NameCard != nil:
		return m.UserID + " is called " + quoted(*m.NameCard)
	case m.MuteTime != nil && *m.MuteTime > 0:
		return m.UserID + " may not speak for " + (time.Duration(*m.MuteTime) * time.Second).String()
	}
	return m.UserID + " may speak again"
}

func groupChange(c protocol.GroupChanged) string {
	var says []string
	for _, f := range []struct {
		what string
		text *string
	}{
		{"name", c.GroupName},
		{"notification", c.Notification},
		{"introduction", c.Introduction},
		{"picture", c.FaceURL},
	} {
		if f.text != nil {
			says = append(says, f.what+" "+quoted(*f.text))
		}
	}
	if c.Owner != "" {
		says = append(says, "owner "+c.Owner)
	}
	if c.GroupAddOpt != nil {
		says = append(says, [...]string{"everybody may join", "who wants to join applies", "nobody may join by himself"}[min(*c.GroupAddOpt, protocol.AddNobody)])
	}
	if c.AllMuted != nil {
		word := "ordinary members may speak again"
		if *c.AllMuted {
			word = "ordinary members may not speak"
		}
		says = append(says, word)
	}
	if len(says) == 0 {
		return "changed"
	}
	return strings.Join(says, ", ")
}
