package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Caller is the terminal whose call is run, and the transaction that it is run
// in.
type Caller struct {
	App      protocol.AppID
	User     string
	Terminal string
	Operator bool // it is the operator who acts, beyond what members may

	view store.View // what is read; within tx, where there is one
	tx   *store.Tx  // nil: the method only reads
	res  *results
	plan *planner
	now  time.Time
}

// callJob is a call that waits for the writer.
type callJob struct {
	s      *session
	id     uint64
	method string
	body   cbor.RawMessage
}

func (j *callJob) cost() int { return 256 + len(j.body) }

// bind says what answers the methods of route Hub.
func (h *Hub) bind() error {
	t := protocol.NewTable[Caller]()
	protocol.Bind(t, protocol.CreateGroup, h.createGroup)
	protocol.Bind(t, protocol.CreateGroupWithMemberList, h.createGroupWithMembers)
	bindLook(h, t, protocol.GetJoinedGroupList, h.getJoinedGroupList)
	bindLook(h, t, protocol.GetGroupsInfo, h.getGroupsInfo)
	protocol.Bind(t, protocol.SetGroupInfo, h.setGroupInfo)
	protocol.Bind(t, protocol.SetReceiveMessageOpt, h.setReceiveMessageOpt)
	bindLook(h, t, protocol.GetGroupMemberList, h.getGroupMemberList)
	bindLook(h, t, protocol.GetGroupMembersInfo, h.getGroupMembersInfo)
	protocol.Bind(t, protocol.SetGroupMemberInfo, h.setGroupMemberInfo)
	protocol.Bind(t, protocol.MuteGroupMember, h.muteGroupMember)
	protocol.Bind(t, protocol.SetGroupMemberRole, h.setGroupMemberRole)
	protocol.Bind(t, protocol.TransferGroupOwner, h.transferGroupOwner)
	bindLook(h, t, protocol.ListGroupApplications, h.listGroupApplications)
	protocol.Bind(t, protocol.DecideGroupApplication, h.decideGroupApplication)
	protocol.Bind(t, protocol.SetGroupApplicationRead, h.setGroupApplicationRead)
	protocol.Bind(t, protocol.JoinGroup, h.joinGroup)
	protocol.Bind(t, protocol.QuitGroup, h.quitGroup)
	protocol.Bind(t, protocol.DismissGroup, h.dismissGroup)
	protocol.Bind(t, protocol.InviteUserToGroup, h.inviteUserToGroup)
	protocol.Bind(t, protocol.KickGroupMember, h.kickGroupMember)
	protocol.Bind(t, protocol.Invite, h.invite)
	protocol.Bind(t, protocol.InviteInGroup, h.inviteInGroup)
	protocol.Bind(t, protocol.Cancel, h.cancel)
	protocol.Bind(t, protocol.Accept, h.accept)
	protocol.Bind(t, protocol.Reject, h.reject)
	protocol.Bind(t, protocol.GetSignalingInfo, h.getSignalingInfo)
	protocol.Bind(t, protocol.AddInvitedSignaling, h.addInvitedSignaling)
	protocol.Bind(t, protocol.GetInvitations, h.getInvitations)
	protocol.Bind(t, protocol.GetICEServers, h.getICEServers)
	protocol.Bind(t, protocol.AddToBlackList, h.addToBlackList)
	protocol.Bind(t, protocol.DeleteFromBlackList, h.deleteFromBlackList)
	bindLook(h, t, protocol.GetBlackList, h.getBlackList)
	bindLook(h, t, protocol.GetUsersInfo, h.getUsersInfo)
	protocol.Bind(t, protocol.SetSelfInfo, h.setSelfInfo)
	bindLook(h, t, protocol.GetFriendList, h.getFriendList)
	bindLook(h, t, protocol.GetFriendsInfo, h.getFriendsInfo)
	protocol.Bind(t, protocol.SetFriendInfo, h.setFriendInfo)
	protocol.Bind(t, protocol.AddFriend, h.addFriend)
	protocol.Bind(t, protocol.DeleteFromFriendList, h.deleteFromFriendList)
	bindLook(h, t, protocol.CheckFriend, h.checkFriend)
	bindLook(h, t, protocol.ListFriendApplications, h.listFriendApplications)
	protocol.Bind(t, protocol.DecideFriendApplication, h.decideFriendApplication)
	protocol.Bind(t, protocol.SetFriendApplicationRead, h.setFriendApplicationRead)
	protocol.Bind(t, protocol.CreateFriendGroup, h.createFriendGroup)
	bindLook(h, t, protocol.GetFriendGroupList, h.getFriendGroupList)
	protocol.Bind(t, protocol.DeleteFriendGroup, h.deleteFriendGroup)
	protocol.Bind(t, protocol.RenameFriendGroup, h.renameFriendGroup)
	protocol.Bind(t, protocol.AddFriendsToFriendGroup, h.addFriendsToFriendGroup)
	protocol.Bind(t, protocol.DeleteFriendsFromFriendGroup, h.deleteFriendsFromFriendGroup)
	protocol.Bind(t, protocol.SendOnline, h.sendOnline)
	protocol.Bind(t, protocol.PutFile, h.putFile)
	protocol.Bind(t, protocol.GetFile, h.getFile)
	if missing := t.Unbound(protocol.Hub, protocol.Inner); len(missing) > 0 {
		return fmt.Errorf("nothing answers %s", strings.Join(missing, ", "))
	}
	h.calls = t
	return nil
}

// bindLook is Bind for a method that only reads, and what is as it was a moment ago
// does for it: it is run at once, beside the writer.
func bindLook[Req, Res any](h *Hub, t *protocol.Table[Caller], m protocol.Method[Req, Res], f func(context.Context, Caller, Req) (Res, error)) {
	protocol.Bind(t, m, f)
	if h.looks == nil {
		h.looks = make(map[string]struct{})
	}
	h.looks[m.Info().Name] = struct{}{}
}

// call takes a call. One that comes twice is run once.
func (h *Hub) call(s *session, in *protocol.Call) error {
	reply, known := s.calls.begin(in.ID)
	if known {
		if reply != nil {
			h.send(protocol.TopicToTerminal(h.app, s.user, s.terminal), reply, 1)
		}
		return nil
	}
	job := &callJob{s: s, id: in.ID, method: in.Method, body: in.Body}
	if _, reads := h.looks[in.Method]; reads {
		h.look(job)
		return nil
	}
	err := h.queue.push(job)
	if err != nil {
		s.calls.end(in.ID, nil)
	}
	return err
}

// look runs a call that only reads, beside the writer.
func (h *Hub) look(j *callJob) {
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	c := Caller{App: h.app, User: j.s.user, Terminal: j.s.terminal, view: h.store.View, now: h.cfg.Now()}
	body, err := h.calls.CallCBOR(ctx, c, j.method, j.body)
	var e *protocol.Error
	if err != nil && !errors.As(err, &e) {
		h.log.Warn("call not answered", "user", j.s.user, "terminal", j.s.terminal, "method", j.method, "err", err)
		e = protocol.Errorf(protocol.CodeSvrGroupInternalError, "the hub cannot read its database at present: try again later")
	}
	h.reply(j, body, e)
}

// reply answers a call and remembers the answer.
func (h *Hub) reply(j *callJob, body []byte, err *protocol.Error) {
	r := &protocol.Reply{ID: j.id, Body: body}
	if err != nil {
		r.Code, r.Msg, r.Body = err.Code, err.Msg, nil
	}
	h.log.Debug("call", "user", j.s.user, "terminal", j.s.terminal, "method", j.method, "code", r.Code)
	frames, encodeErr := protocol.EncodeReply(r)
	if encodeErr != nil {
		h.log.Error("response not sent", "user", j.s.user, "method", j.method, "err", encodeErr)
		frames, encodeErr = protocol.EncodeReply(&protocol.Reply{ID: j.id, Code: protocol.CodeSvrGroupInternalError, Msg: j.method + ": the response is too long to be sent"})
	}
	if encodeErr != nil {
		h.log.Error("reply not sent", "method", j.method, "err", encodeErr)
		return
	}
	if len(frames) == 1 {
		j.s.calls.end(j.id, frames[0])
	} else { // a list, which is not worth the room: it may be asked for twice
		j.s.calls.end(j.id, nil)
	}
	for _, b := range frames {
		h.send(protocol.TopicToTerminal(h.app, j.s.user, j.s.terminal), b, 1)
	}
}

// refuseCall answers a call whose transaction failed with err.
func (h *Hub) refuseCall(j *callJob, err error) {
	what := "the hub cannot write its database at present: try again later"
	if store.Uncertain(err) {
		what = "the hub's database failed just as it was to keep this: it may have been done, look before you try again"
	}
	h.reply(j, nil, protocol.Errorf(protocol.CodeSvrGroupInternalError, "%s", what))
	j.s.calls.end(j.id, nil) // the same call may be tried again
}

// ignore makes err nil if it is one of these.
func ignore(err error, these ...error) error {
	for _, t := range these {
		if errors.Is(err, t) {
			return nil
		}
	}
	return err
}
