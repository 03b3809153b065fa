package hub

import (
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

	tx   *store.Tx
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
	protocol.Bind(t, protocol.GetBlackList, h.getBlackList)
	protocol.Bind(t, protocol.SendOnline, h.sendOnline)
	protocol.Bind(t, protocol.PutFile, h.putFile)
	protocol.Bind(t, protocol.GetFile, h.getFile)
	if missing := t.Unbound(protocol.Hub, protocol.Inner); len(missing) > 0 {
		return fmt.Errorf("nothing answers %s", strings.Join(missing, ", "))
	}
	h.calls = t
	return nil
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
	err := h.queue.push(&callJob{s: s, id: in.ID, method: in.Method, body: in.Body})
	if err != nil {
		s.calls.end(in.ID, nil)
	}
	return err
}

// reply answers a call and remembers the answer.
func (h *Hub) reply(j *callJob, body []byte, err *protocol.Error) {
	r := &protocol.Reply{ID: j.id, Body: body}
	if err != nil {
		r.Code, r.Msg, r.Body = err.Code, err.Msg, nil
	}
	h.log.Debug("call", "user", j.s.user, "terminal", j.s.terminal, "method", j.method, "code", r.Code)
	b, encodeErr := protocol.EncodeFrame(&protocol.Frame{Reply: r})
	if encodeErr != nil {
		h.log.Error("reply not sent", "method", j.method, "err", encodeErr)
		return
	}
	j.s.calls.end(j.id, b)
	h.send(protocol.TopicToTerminal(h.app, j.s.user, j.s.terminal), b, 1)
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
