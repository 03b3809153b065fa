package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// What the operator has the hub do that runs, so that it is judged, numbered and
// handed out as what boards ask for is. The console gives it as an order and waits
// for the answer.

// Operation is one thing that the operator asks for.
type Operation struct {
	// Method is one of the registry's, or of those below.
	Method string `json:"method"`
	// User is the account for whom it is done; empty: the operator himself.
	User string          `json:"user,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Outcome is what became of an operation.
type Outcome struct {
	Code protocol.Code   `json:"code,omitempty"` // 0: done
	Msg  string          `json:"msg,omitempty"`
	Body json.RawMessage `json:"body,omitempty"` // the response
}

// The operator's own methods.
const (
	OpNotify     = "operator.notifyGroup"  // GroupNotice
	OpAttributes = "operator.setAttribute" // GroupAttributes
	OpRecycle    = "operator.recycleGroup" // Recycle
	OpIdle       = "operator.idleGroup"    // Recycle: whether it would be done
	OpBefriend   = "operator.befriend"     // Befriend
	OpAccount    = "operator.putAccount"   // Account
)

// GroupNotice is something that all members of a group are told.
type GroupNotice struct {
	GroupID    string `json:"groupId"`
	CustomData string `json:"customData"`
}

// GroupAttributes changes attributes of a group: null takes one away.
type GroupAttributes struct {
	GroupID    string             `json:"groupId"`
	Attributes map[string]*string `json:"attributes"`
}

// Limits of a group's attributes (Tencent's, but for the last: the event of a change
// has all of them, and is an entry).
const (
	maxAttributes     = 16
	maxAttributeKey   = 32       // bytes
	maxAttributeValue = 4 << 10  // bytes
	maxAttributeBytes = 15 << 10 // of all
)

// Recycle ends a group, unless something was said in it, or it was changed, since.
type Recycle struct {
	GroupID string    `json:"groupId"`
	Since   time.Time `json:"since"` // zero: in any case
}

// Befriend puts a friend into a list, or with Both two into each other's.
type Befriend struct {
	UserID       string `json:"userId"`
	FriendID     string `json:"friendId"`
	FriendRemark string `json:"friendRemark,omitempty"`
	Both         bool   `json:"both,omitempty"`
}

// Account makes an account, unless there is one, and writes what is given of its
// profile.
type Account struct {
	UserID string `json:"userId"`
	protocol.SelfInfoRequest
}

// order is the argument of an order for operations.
type order struct {
	Operations []Operation `json:"operations"`
}

// MaxOperations is the most of one order.
const MaxOperations = 100

// ErrNoHub says that no hub has answered an order in time. One that is busy may
// still carry it out.
var ErrNoHub = errors.New("no hub has answered: is one running on this database? Start it with herald-hub run; if it is busy, look later whether it was done")

// Operate has the hub on a database do operations, one after the other, each by
// itself, and waits for what becomes of them. ErrNoHub.
func Operate(ctx context.Context, s *store.Store, app protocol.AppID, ops []Operation, patience time.Duration) ([]Outcome, error) {
	arg, err := json.Marshal(order{ops})
	if err != nil {
		return nil, err
	}
	var id int64
	err = s.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, err = tx.AddQuestion(ctx, store.Order{App: app, Kind: store.OrderOperate, Arg: string(arg)}, time.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; {
		text, err := s.Answer(ctx, id)
		switch {
		case err == nil:
			var out []Outcome
			err := json.Unmarshal([]byte(text), &out)
			return out, err
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		case time.Now().After(end):
			return nil, ErrNoHub
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// operate carries out an order for operations, and answers it.
func (h *Hub) operate(o store.Order) {
	var in order
	out := []Outcome{}
	err := json.Unmarshal([]byte(o.Arg), &in)
	if err == nil && len(in.Operations) > MaxOperations {
		err = fmt.Errorf("%d operations in one order", len(in.Operations))
	}
	if err != nil {
		h.log.Warn("an order cannot be read: a newer herald-hub gave it", "err", err)
		return
	}
	for _, op := range in.Operations {
		var body []byte
		err := h.act(func(ctx context.Context, c Caller) (err error) {
			c.User, c.Operator = op.User, true
			body, err = h.operation(ctx, c, op)
			return err
		})
		r := Outcome{Body: body}
		if err != nil {
			e := protocol.AsError(err)
			if e.Code == protocol.CodeInternalError {
				h.log.Error("an order could not be carried out", "method", op.Method, "err", err)
			}
			r = Outcome{Code: e.Code, Msg: e.Msg}
		}
		out = append(out, r)
	}
	text, err := json.Marshal(out)
	if err == nil {
		err = h.write(func(ctx context.Context, tx *store.Tx) error {
			return tx.AnswerOrder(ctx, o.ID, string(text), h.cfg.Now())
		})
	}
	if err != nil {
		h.log.Error("an order could not be answered", "err", err)
	}
}

// ofTheOperator are the methods that the operator may call for himself, not only for an
// account: they change what is there, and make nobody a member of it who calls them.
var ofTheOperator = []string{
	protocol.SetGroupInfo.Info().Name, protocol.SetGroupMemberInfo.Info().Name, protocol.MuteGroupMember.Info().Name, protocol.SetGroupMemberRole.Info().Name,
	protocol.TransferGroupOwner.Info().Name, protocol.InviteUserToGroup.Info().Name, protocol.KickGroupMember.Info().Name, protocol.DismissGroup.Info().Name,
}

func (h *Hub) operation(ctx context.Context, c Caller, op Operation) ([]byte, error) {
	switch op.Method {
	case OpNotify:
		return own(ctx, c, op, h.notifyGroup)
	case OpAttributes:
		return own(ctx, c, op, h.setAttributes)
	case OpRecycle:
		return own(ctx, c, op, h.recycleGroup)
	case OpIdle:
		return own(ctx, c, op, func(ctx context.Context, c Caller, req Recycle) error {
			_, err := h.idle(ctx, c, req)
			return err
		})
	case OpBefriend:
		return own(ctx, c, op, h.makeFriends)
	case OpAccount:
		return own(ctx, c, op, h.putAccount)
	}
	if op.User != "" {
		if _, err := c.tx.User(ctx, c.App, op.User); errors.Is(err, store.ErrNotFound) {
			return nil, protocol.Errorf(protocol.CodeSvrGroupAccountNotFound, "there is no account %s", op.User)
		} else if err != nil {
			return nil, err
		}
	} else if !slices.Contains(ofTheOperator, op.Method) {
		return nil, protocol.Errorf(protocol.CodeSvrGroupInvalidParameters, "%s is done by an account, and the order names none", op.Method)
	}
	return h.calls.CallJSON(ctx, c, op.Method, op.Body)
}

func own[T any](ctx context.Context, c Caller, op Operation, f func(context.Context, Caller, T) error) ([]byte, error) {
	var req T
	if err := json.Unmarshal(op.Body, &req); err != nil {
		return nil, protocol.Errorf(protocol.CodeInvalidParameters, "%s: %v", op.Method, err)
	}
	return nil, f(ctx, c, req)
}

func (h *Hub) notifyGroup(ctx context.Context, c Caller, req GroupNotice) error {
	if len(req.CustomData) > protocol.MaxTextBytes {
		return protocol.Errorf(protocol.CodeInvalidParameters, "customData: %d bytes are over the limit of %d", len(req.CustomData), protocol.MaxTextBytes)
	}
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return err
	}
	return tellGroup(ctx, h, c, a.Group, protocol.OnReceiveRESTCustomData, protocol.GroupNoticeEvent{GroupID: a.ID, CustomData: req.CustomData})
}

// tellGroup tells all members of a group of an event.
func tellGroup[T any](ctx context.Context, h *Hub, c Caller, g store.Group, e protocol.Event[T], data T) error {
	body, err := protocol.NewHubEvent(e, data)
	if err != nil {
		return err
	}
	readers, err := c.audienceOf(ctx, g)
	if err == nil {
		_, _, err = h.tell(ctx, c, g, protocol.EntryEvent, body, readers)
	}
	return err
}

func (h *Hub) setAttributes(ctx context.Context, c Caller, req GroupAttributes) error {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return err
	}
	g := a.Group
	g.Attributes = maps.Clone(g.Attributes)
	if g.Attributes == nil {
		g.Attributes = make(map[string]string)
	}
	bytes := 0
	for key, value := range req.Attributes {
		switch {
		case value == nil:
			delete(g.Attributes, key)
			continue
		case key == "" || len(key) > maxAttributeKey || len(*value) > maxAttributeValue:
			return protocol.Errorf(protocol.CodeSvrGroupInvalidParameters, "an attribute has a name of 1 to %d bytes and a value of at most %d", maxAttributeKey, maxAttributeValue)
		}
		g.Attributes[key] = *value
	}
	for key, value := range g.Attributes {
		bytes += len(key) + len(value)
	}
	if len(g.Attributes) > maxAttributes || bytes > maxAttributeBytes {
		return protocol.Errorf(protocol.CodeSvrGroupInvalidParameters, "a group has at most %d attributes with %d bytes", maxAttributes, maxAttributeBytes)
	}
	if err := c.tx.UpdateGroup(ctx, c.App, g); err != nil {
		return err
	}
	return tellGroup(ctx, h, c, g, protocol.OnGroupAttributeChanged, protocol.GroupAttributesEvent{GroupID: g.ID, GroupAttributeMap: g.Attributes})
}

func (h *Hub) recycleGroup(ctx context.Context, c Caller, req Recycle) error {
	g, err := h.idle(ctx, c, req)
	if err != nil {
		return err
	}
	readers, err := c.members(ctx, g)
	if err != nil {
		return err
	}
	return h.endGroup(ctx, c, g, protocol.TipRecycled, readers)
}

// idle finds a group that may be ended, or refuses.
func (h *Hub) idle(ctx context.Context, c Caller, req Recycle) (store.Group, error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return store.Group{}, err
	}
	last, err := h.lastSaid(ctx, c, a.Group)
	if err != nil {
		return store.Group{}, err
	}
	if latest := slices.MaxFunc([]time.Time{last, a.Changed}, time.Time.Compare); !req.Since.IsZero() && latest.After(req.Since) {
		return store.Group{}, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "something was said in the group %s, or it was changed, at %s", a.ID, latest.UTC().Format(time.RFC3339))
	}
	return a.Group, nil
}

// lastSaid is the latest that something may have been said in a group. What was said
// in a live room before the hub's start is not known: it may have been until then.
func (h *Hub) lastSaid(ctx context.Context, c Caller, g store.Group) (time.Time, error) {
	if !rulesOf[g.Type].log {
		last, err := h.lastMessage(ctx, c.view, g)
		if last.IsZero() {
			last = h.began
		}
		return last, err
	}
	l, err := c.tx.Log(ctx, c.App, protocol.GroupLog(g.ID))
	if err != nil {
		return time.Time{}, ignore(err, store.ErrNotFound)
	}
	return c.tx.LastSaid(ctx, l.ID, g.BaseSeq)
}

func (h *Hub) makeFriends(ctx context.Context, c Caller, req Befriend) error {
	c.User = req.UserID
	for _, user := range []string{req.UserID, req.FriendID} {
		if _, err := c.tx.User(ctx, c.App, user); errors.Is(err, store.ErrNotFound) {
			return protocol.Errorf(protocol.CodeSvrFriendshipAccountNotFound, "there is no account %s", protocol.Clip(user))
		} else if err != nil {
			return err
		}
	}
	check := protocol.AddFriendRequest{UserID: req.FriendID, FriendRemark: req.FriendRemark}
	switch err := check.Validate(); {
	case err != nil:
		return err
	case req.UserID == req.FriendID:
		return protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "nobody is his own friend")
	}
	list := []friendship{{req.UserID, req.FriendID, req.FriendRemark, "operator"}}
	if req.Both {
		list = append(list, friendship{req.FriendID, req.UserID, "", "operator"})
	}
	return h.befriend(ctx, c, list...)
}

func (h *Hub) putAccount(ctx context.Context, c Caller, req Account) error {
	if err := protocol.CheckUserID("userId", req.UserID); err != nil {
		return err
	}
	if err := c.tx.CreateUser(ctx, c.App, req.UserID, c.now); ignore(err, store.ErrExists) != nil {
		return err
	}
	if req.SelfInfoRequest == (protocol.SelfInfoRequest{}) {
		return nil
	}
	if err := req.SelfInfoRequest.Validate(); err != nil {
		return err
	}
	c.User = req.UserID
	_, err := h.setSelfInfo(ctx, c, req.SelfInfoRequest)
	return err
}
