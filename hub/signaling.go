package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// The family of signaling. An invitation is one state machine: invitees who are
// still open, and a time at which they stop to be. Each step is run in the
// writer's transaction, so of two at once the first one is done and the other
// one refused, and is an entry of the conversation, so that all terminals of all
// who are concerned see the same steps in the same order.

// keepInvites is how long an invitation can be asked for after its end. Those who
// have accepted it may signal one another as long: nobody tells the hub how long a
// call lasts, and one whose network changes has to find a new path on its last day too.
const keepInvites = 30 * 24 * time.Hour

// step writes a step of an invitation into its log and returns the entry's seq.
// invitees are all of them, list is whom the step is about. The Caller of a
// timeout has no user.
func (h *Hub) step(ctx context.Context, c Caller, i store.Invite, invitees []string, action protocol.SignalingAction, list []string, data string) (uint64, error) {
	concerns := append([]string{i.Inviter}, invitees...)
	body, err := protocol.EncodeSignaling(protocol.SignalingStep{
		InviteID: i.ID, GroupID: i.Group, Inviter: i.Inviter, InviteeList: list, Data: data, Timeout: int(i.Timeout / time.Second), ActionType: action,
	}, concerns)
	if err != nil {
		return 0, err
	}
	log, readers := protocol.C2CLog(i.Inviter, invitees[0]), concerns
	if i.Group != "" {
		log = protocol.GroupLog(i.Group)
		r, err := c.plan.room(ctx, c.tx, i.Group)
		if err == nil && i.Seq > 0 && i.Seq <= r.BaseSeq {
			return 0, nil // it was made in an earlier group of this id
		}
		if err == nil {
			readers, err = c.members(ctx, r.Group)
		}
		if err != nil {
			return 0, err
		}
	}
	seq, err := h.enter(ctx, c, i.Log, log, readers, func(seq uint64) *protocol.Entry {
		return &protocol.Entry{
			Kind: protocol.EntrySignaling, From: cmp.Or(c.User, i.Inviter), Term: c.Terminal, MsgID: i.ID + "-" + strconv.FormatUint(seq, 10), Body: body,
		}
	})
	if errors.Is(err, store.ErrClosed) {
		return 0, nil // the group is gone, and with it all who would read it
	}
	return seq, err
}

// begin makes an invitation whose log is known.
func (h *Hub) begin(ctx context.Context, c Caller, i store.Invite, timeout *int, invitees []string, data string) (res protocol.InviteResponse, err error) {
	call, isCall := protocol.DecodeCallData(data)
	// It tells, and asks for no answer: nothing is open, and there is always room for it.
	hangup := isCall && call.Command == protocol.CommandHangup
	if !hangup {
		n, err := c.tx.OpenInvites(ctx, c.App, c.User)
		if err != nil {
			return res, err
		}
		if n >= protocol.MaxOpenInvites {
			return res, protocol.Errorf(protocol.CodeNetReqCountLimit, "%s has %d invitations open, which is the limit: cancel some", c.User, n)
		}
	}
	i.ID, i.Inviter, i.Timeout = rand.Text(), c.User, protocol.DefaultInviteTimeout*time.Second
	if timeout != nil {
		i.Timeout = time.Duration(*timeout) * time.Second
	}
	if i.Timeout > 0 {
		i.Until = c.now.Add(i.Timeout).UnixMilli()
	}
	i.Terminal, i.Made = c.Terminal, c.now.UnixMilli()
	if isCall {
		i.Room = call.Room
	}
	if i.Seq, err = h.step(ctx, c, i, invitees, protocol.SignalingInvite, invitees, data); err != nil || hangup {
		return protocol.InviteResponse{InviteID: i.ID}, err
	}
	if err := c.tx.CreateInvite(ctx, c.App, i, invitees); err != nil {
		return res, err
	}
	if i.Until > 0 {
		c.res.done = append(c.res.done, h.lookAtTimeouts)
	}
	h.peopleChange(c, i)
	return protocol.InviteResponse{InviteID: i.ID}, nil
}

// peopleChange has the next signal of a call see who has come to it, or is out of it.
func (h *Hub) peopleChange(c Caller, i store.Invite) {
	if i.Room > 0 {
		c.res.done = append(c.res.done, func() { h.book.forget(callName{i.Inviter, i.Room}) })
	}
}

func (h *Hub) invite(ctx context.Context, c Caller, req protocol.InviteRequest) (res protocol.InviteResponse, err error) {
	if req.Invitee == c.User {
		return res, protocol.Errorf(protocol.CodeInvalidParameters, "invitee: one does not invite oneself")
	}
	if refusal, err := c.plan.mayWriteTo(ctx, c.tx, c.User, req.Invitee, false); err != nil || refusal != nil {
		return res, orRefusal(err, refusal)
	}
	log, made, err := c.tx.EnsureLog(ctx, c.App, protocol.C2CLog(c.User, req.Invitee))
	if err != nil {
		return res, err
	}
	if made {
		for _, user := range []string{c.User, req.Invitee} {
			if err := c.tx.SetReader(ctx, c.App, user, log.ID, 0, 0); err != nil {
				return res, err
			}
		}
	}
	return h.begin(ctx, c, store.Invite{Log: log.ID}, req.Timeout, []string{req.Invitee}, req.Data)
}

func (h *Hub) inviteInGroup(ctx context.Context, c Caller, req protocol.InviteInGroupRequest) (res protocol.InviteResponse, err error) {
	g, err := c.acting(ctx, req.GroupID)
	switch {
	case err != nil:
		return res, err
	case g.Type == protocol.GroupAVChatRoom:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is an AVChatRoom: it keeps nothing, and so no invitations", g.ID)
	case slices.Contains(req.InviteeList, c.User):
		return res, protocol.Errorf(protocol.CodeInvalidParameters, "inviteeList: one does not invite oneself")
	}
	var invitees, refused []string
	for _, user := range req.InviteeList {
		_, err := c.tx.Member(ctx, c.App, g.ID, user)
		if errors.Is(err, store.ErrNotFound) {
			return res, protocol.Errorf(protocol.CodeInvalidParameters, "inviteeList: %s is not a member of the group %s", user, g.ID)
		}
		refuses := false
		if err == nil {
			refuses, err = c.plan.refusals.refuses(ctx, c.tx, c.App, user, c.User)
		}
		switch {
		case err != nil:
			return res, err
		case refuses: // one who is not to be rung leaves the others be
			refused = append(refused, user)
		default:
			invitees = append(invitees, user)
		}
	}
	if len(invitees) == 0 {
		return res, blacklisted(refused[0], c.User)
	}
	log, _, err := c.tx.EnsureLog(ctx, c.App, protocol.GroupLog(g.ID))
	if err != nil {
		return res, err
	}
	res, err = h.begin(ctx, c, store.Invite{Group: g.ID, Log: log.ID}, req.Timeout, invitees, req.Data)
	res.RefusedList = refused
	return res, err
}

// running finds an invitation that can still be answered. Its time is over when
// the clock says so, whether or not the timer has come by.
func (c Caller) running(ctx context.Context, id string) (store.Invite, error) {
	i, err := c.tx.Invite(ctx, c.App, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return i, protocol.Errorf(protocol.CodeSignalingInvalidInviteID, "inviteId: there is no invitation %s, or it ended long ago", id)
	case err != nil:
		return i, err
	case i.Open == 0:
		return i, protocol.Errorf(protocol.CodeSignalingInvalidInviteID, "inviteId: the invitation %s is over", id)
	case i.Until > 0 && c.now.UnixMilli() >= i.Until:
		return i, protocol.Errorf(protocol.CodeSignalingInvalidInviteID, "inviteId: the invitation %s has timed out", id)
	}
	return i, nil
}

func (h *Hub) cancel(ctx context.Context, c Caller, req protocol.InviteStepRequest) (res protocol.Empty, err error) {
	i, err := c.running(ctx, req.InviteID)
	if err != nil {
		return res, err
	}
	if i.Inviter != c.User {
		return res, protocol.Errorf(protocol.CodeSignalingNoPermission, "inviteId: the invitation %s is not %s's to cancel", i.ID, c.User)
	}
	return res, h.endForAll(ctx, c, i, protocol.SignalingCancel, req.Data)
}

// endForAll ends an invitation for all who have not answered.
func (h *Hub) endForAll(ctx context.Context, c Caller, i store.Invite, action protocol.SignalingAction, data string) error {
	invitees, err := c.tx.Invitees(ctx, c.App, i.ID)
	if err != nil {
		return err
	}
	var all, open []string
	for _, x := range invitees {
		all = append(all, x.User)
		if x.Answer == 0 {
			open = append(open, x.User)
		}
	}
	if err := c.tx.Answer(ctx, c.App, i.ID, "", action, c.now); err != nil {
		return err
	}
	h.peopleChange(c, i)
	_, err = h.step(ctx, c, i, all, action, open, data)
	return err
}

func (h *Hub) accept(ctx context.Context, c Caller, req protocol.InviteStepRequest) (protocol.Empty, error) {
	return protocol.Empty{}, h.answer(ctx, c, req, protocol.SignalingAccept)
}

func (h *Hub) reject(ctx context.Context, c Caller, req protocol.InviteStepRequest) (protocol.Empty, error) {
	return protocol.Empty{}, h.answer(ctx, c, req, protocol.SignalingReject)
}

func (h *Hub) answer(ctx context.Context, c Caller, req protocol.InviteStepRequest, action protocol.SignalingAction) error {
	i, invitees, err := h.open(ctx, c, req.InviteID)
	if err != nil {
		return err
	}
	if err := c.tx.Answer(ctx, c.App, i.ID, c.User, action, c.now); err != nil {
		return err
	}
	if action != protocol.SignalingAccept {
		h.peopleChange(c, i)
	}
	_, err = h.step(ctx, c, i, invitees, action, []string{c.User}, req.Data)
	return err
}

// open finds an invitation that the caller can answer, and all who are invited.
func (h *Hub) open(ctx context.Context, c Caller, id string) (i store.Invite, users []string, err error) {
	if i, err = c.running(ctx, id); err != nil {
		return i, nil, err
	}
	invitees, err := c.tx.Invitees(ctx, c.App, i.ID)
	if err != nil {
		return i, nil, err
	}
	for _, x := range invitees {
		users = append(users, x.User)
	}
	at := slices.IndexFunc(invitees, func(x store.Invitee) bool { return x.User == c.User })
	switch {
	case at < 0:
		h.complain(slog.LevelInfo, "an invitation was answered by somebody who is not invited", "user", c.User, "terminal", c.Terminal, "inviter", i.Inviter)
		return i, nil, protocol.Errorf(protocol.CodeSignalingNoPermission, "inviteId: %s is not invited by %s", c.User, i.ID)
	case invitees[at].Answer != 0:
		return i, nil, protocol.Errorf(protocol.CodeSignalingInvalidInviteID, "inviteId: %s has answered the invitation %s already", c.User, i.ID)
	}
	if i.Group != "" {
		if _, err := c.tx.Member(ctx, c.App, i.Group, c.User); errors.Is(err, store.ErrNotFound) {
			return i, nil, protocol.Errorf(protocol.CodeSignalingNoPermission, "inviteId: %s is no member of the group %s any more", c.User, i.Group)
		} else if err != nil {
			return i, nil, err
		}
	}
	return i, users, nil
}

func (h *Hub) addInvitedSignaling(ctx context.Context, c Caller, req protocol.AddInvitedSignalingRequest) (protocol.Empty, error) {
	_, _, err := h.open(ctx, c, req.InviteID)
	return protocol.Empty{}, err
}

func (h *Hub) getSignalingInfo(ctx context.Context, c Caller, req protocol.SignalingInfoRequest) (res protocol.SignalingInfoResponse, err error) {
	log, seq := store.LogID(0), uint64(0)
	if req.MsgID != "" {
		log, seq, err = c.stepOf(ctx, req)
	} else {
		log, seq, err = c.firstStep(ctx, req.InviteID)
	}
	if err != nil {
		return res, err
	}
	entries, err := c.tx.Entries(ctx, log, seq-1, seq, 1, maxRangeBytes)
	if err != nil {
		return res, err
	}
	if len(entries) != 1 || entries[0].Kind != protocol.EntrySignaling || req.MsgID != "" && entries[0].MsgID != req.MsgID {
		return res, noSignaling(req)
	}
	s, _, err := protocol.DecodeSignaling(entries[0].Body)
	if err != nil {
		return res, err
	}
	return protocol.SignalingInfoResponse{SignalingInfo: s.Info()}, nil
}

func noSignaling(req protocol.SignalingInfoRequest) error {
	if req.MsgID != "" {
		return protocol.Errorf(protocol.CodeSignalingInvalidInviteID, "msgId: there is no signaling message %s in this conversation", protocol.Clip(req.MsgID))
	}
	return protocol.Errorf(protocol.CodeSignalingInvalidInviteID, "inviteId: there is no invitation %s, or it ended long ago", req.InviteID)
}

// stepOf finds a signaling message in a conversation that the caller may read.
func (c Caller) stepOf(ctx context.Context, req protocol.SignalingInfoRequest) (store.LogID, uint64, error) {
	at := strings.LastIndexByte(req.MsgID, '-')
	seq, err := strconv.ParseUint(req.MsgID[at+1:], 10, 64)
	if at < 0 || err != nil {
		return 0, 0, noSignaling(req)
	}
	name := protocol.GroupLog(req.GroupID)
	if req.GroupID == "" {
		name = protocol.C2CLog(c.User, req.UserID)
	}
	r, err := c.tx.Reader(ctx, c.App, c.User, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, 0, noSignaling(req)
	case err != nil:
		return 0, 0, err
	case seq <= r.From || seq > r.Head:
		return 0, 0, noSignaling(req)
	}
	return r.ID, seq, nil
}

// firstStep finds an invitation that the caller has to do with.
func (c Caller) firstStep(ctx context.Context, id string) (store.LogID, uint64, error) {
	i, err := c.tx.Invite(ctx, c.App, id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, 0, noSignaling(protocol.SignalingInfoRequest{InviteID: id})
	}
	if err != nil {
		return 0, 0, err
	}
	invitees, err := c.tx.Invitees(ctx, c.App, id)
	if err != nil {
		return 0, 0, err
	}
	if i.Inviter != c.User && !slices.ContainsFunc(invitees, func(x store.Invitee) bool { return x.User == c.User }) {
		return 0, 0, protocol.Errorf(protocol.CodeSignalingNoPermission, "inviteId: %s has nothing to do with the invitation %s", c.User, id)
	}
	return i.Log, i.Seq, nil
}

// lookAtTimeouts wakes timeOut: an invitation has come that may be due first.
func (h *Hub) lookAtTimeouts() {
	select {
	case h.timeouts <- struct{}{}:
	default:
	}
}

// timeOut ends invitations whose time is over, until ctx ends. What ran out while
// no hub ran is due at once.
func (h *Hub) timeOut(ctx context.Context) {
	const longest, again = time.Minute, time.Second // the clock may be set; the database may be away
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-h.timeouts:
		case <-ctx.Done():
			return
		}
		wait, err := h.endDue(ctx)
		if err != nil && ctx.Err() == nil {
			h.log.Warn("invitations cannot be timed out at present", "err", err)
			wait = again
		}
		timer.Reset(min(wait, longest))
	}
}

// endDue ends what is due and says how long it is to the next, or an hour.
func (h *Hub) endDue(ctx context.Context) (time.Duration, error) {
	const batch = 64
	for {
		read, cancel := h.store.ReadContext(ctx)
		next, err := h.store.NextDue(read, h.app)
		cancel()
		switch {
		case err != nil:
			return 0, err
		case next == 0:
			return time.Hour, nil
		}
		if wait := time.UnixMilli(next).Sub(h.cfg.Now()); wait > 0 {
			return wait, nil
		}
		if err := h.act(func(ctx context.Context, c Caller) error {
			due, err := c.tx.DueInvites(ctx, c.App, c.now, batch)
			for _, i := range due {
				if err == nil {
					err = h.endForAll(ctx, c, i, protocol.SignalingTimeout, "")
				}
			}
			return errors.Join(err, c.tx.ForgetInvites(ctx, c.App, c.now.Add(-keepInvites)))
		}); err != nil {
			return 0, err
		}
	}
}
