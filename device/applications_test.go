package device

import (
	"context"
	"fmt"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// applying has a hub list applications to be friends, as many as n says for the account
// that asks, and note what is decided.
func (h *fakeHub) applying(n int) (decided func() []string) {
	var list []string
	h.answer = func(c *protocol.Call) *protocol.Reply {
		var res any
		switch c.Method {
		case protocol.ListFriendApplications.Info().Name:
			r := protocol.FriendApplicationsResponse{ApplicationList: []protocol.FriendApplication{}}
			for i := range n {
				r.ApplicationList = append(r.ApplicationList, protocol.FriendApplication{UserID: fmt.Sprint("u", i), Type: protocol.ApplicationReceived})
			}
			res = r
		case protocol.ListGroupApplications.Info().Name:
			res = protocol.GroupApplicationsResponse{GroupApplicationList: []protocol.GroupApplication{{GroupID: "g", FromUser: "u"}}}
		case protocol.DecideFriendApplication.Info().Name:
			var r protocol.DecideFriendRequest
			if err := protocol.Unmarshal(c.Body, &r); err != nil {
				h.t.Error(err)
			}
			list = append(list, r.UserID)
			res = protocol.FriendResultResponse{}
		default:
			list = append(list, c.Method)
			res = protocol.Empty{}
		}
		body, err := protocol.Marshal(res)
		if err != nil {
			h.t.Error(err)
		}
		return &protocol.Reply{Body: body}
	}
	return func() (out []string) {
		h.with(func() { out = list })
		return out
	}
}

// TestApplicationsOfAnotherAccount: the place in a list that was fetched by the account
// which was logged in before names nothing of the one that is now.
func TestApplicationsOfAnotherAccount(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	decided := h.applying(1)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	c := protocol.Caller{Who: "uid 1 pid 2"}
	if _, err := b.getFriendApplications(t.Context(), c, protocol.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.getGroupApplications(t.Context(), c, protocol.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.logout(context.Background(), c, protocol.Empty{}); err != nil {
		t.Fatal(err)
	}
	if err := b.tryLogin("other"); err != nil {
		t.Fatal(err)
	}
	_, err := b.acceptFriendApplication(t.Context(), c, protocol.AcceptFriendRequest{IndexRequest: protocol.IndexRequest{Index: new(0)}})
	if code(err) != protocol.CodeInvalidParameters {
		t.Error(err)
	}
	if _, err := b.acceptGroupApplication(t.Context(), c, protocol.HandleRequest{Index: new(0)}); code(err) != protocol.CodeInvalidParameters {
		t.Error(err)
	}
	if got := decided(); len(got) > 0 {
		t.Errorf("the other account has decided about %q", got)
	}
}

// TestIndexes: each program's places are those of the list that it has fetched itself,
// however long that is.
func TestIndexes(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	table := protocol.NewTable[protocol.Caller]()
	b.Bind(table)
	one, two := protocol.Caller{Who: "one"}, protocol.Caller{Who: "two"}
	call := func(c protocol.Caller, method, body string) error {
		t.Helper()
		_, err := table.CallJSON(t.Context(), c, method, []byte(body))
		return err
	}
	var decided func() []string
	h.with(func() { decided = h.applying(250) })
	if err := call(one, "im.getFriendApplicationList", "{}"); err != nil {
		t.Fatal(err)
	}
	h.with(func() { h.applying(1) })
	if err := call(two, "im.getFriendApplicationList", "{}"); err != nil {
		t.Fatal(err)
	}
	h.with(func() { decided = h.applying(0) })
	for _, x := range []struct {
		c     protocol.Caller
		index int
		code  protocol.Code
	}{{one, 249, 0}, {one, 250, protocol.CodeInvalidParameters}, {two, 0, 0}, {two, 1, protocol.CodeInvalidParameters}, {one, -1, protocol.CodeInvalidParameters}} {
		err := call(x.c, "im.refuseFriendApplication", fmt.Sprintf(`{"index":%d}`, x.index))
		if got := protocol.Code(0); err != nil {
			if got = code(err); got != x.code {
				t.Errorf("%s, %d: %v", x.c.Who, x.index, err)
			}
		} else if x.code != 0 {
			t.Errorf("%s, %d: no error", x.c.Who, x.index)
		}
	}
	if got := lines(decided()); got != "u249,u0" {
		t.Error(got)
	}
}
