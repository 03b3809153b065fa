package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
)

// guest is a board within the test, so that there may be many.
type guest struct {
	h     *house
	user  string
	dev   *device.Device
	table *protocol.Table[protocol.Caller]
	rnd   *rand.Rand
}

// guest adds a board for an account that is online.
func (h *house) guest(user, platform string) *guest {
	h.t.Helper()
	sig, err := h.hub.UserSig(h.ctx, user)
	must(h.t, err)
	d, err := device.Open(device.Config{
		StateDir: h.t.TempDir(), Outbox: outbox.Limits{MaxItems: 1000, MaxBytes: 1 << 20}, Journal: journal.Limits{MaxEvents: 1_000_000, MaxBytes: 256 << 20},
		HubAddr: h.hub.MQTT, ConnectTimeout: 10 * time.Second, KeepAlive: 10 * time.Second,
		ReconnectMin: 50 * time.Millisecond, ReconnectMax: time.Second, Beat: 5 * time.Second,
		Platform: platform, User: user, Sig: func() (string, error) { return sig, nil },
	}, slog.New(slog.DiscardHandler))
	must(h.t, err)
	g := &guest{h: h, user: user, dev: d, table: protocol.NewTable[protocol.Caller]()}
	d.Bind(g.table)
	ctx, cancel := context.WithCancel(h.ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	h.t.Cleanup(func() { cancel(); must(h.t, <-ended) })
	h.poll("the link of "+user, func() bool { return d.Status().Link == "up" })
	return g
}

// ask calls a method as a program does.
func ask[Req, Res any](g *guest, m protocol.Method[Req, Res], req Req) (res Res, code protocol.Code) {
	body, err := json.Marshal(req)
	must(g.h.t, err)
	body, err = g.table.CallJSON(g.h.ctx, protocol.Caller{Who: "test"}, m.Info().Name, body)
	if err != nil {
		return res, protocol.AsError(err).Code
	}
	must(g.h.t, json.Unmarshal(body, &res))
	return res, 0
}

// crowd is the group of these tests.
const crowd = "crowd"

// refusals are the codes by which a step may fail that others were faster than.
var refusals = []protocol.Code{
	protocol.CodeSvrGroupPermissionDeny, protocol.CodeSvrGroupSuperNotAllowQuit, protocol.CodeSvrGroupAlreadyMember, protocol.CodeSvrGroupSendMsgFreqLimit,
	protocol.CodeSvrGroupShutupDeny, protocol.CodeSvrGroupInvalidParameters, protocol.CodeSvrGroupAccountNotFound,
}

// act does one thing at random. said counts the messages that the hub has taken.
func (g *guest) act(users []string, said *atomic.Int64) {
	other := users[g.rnd.IntN(len(users))]
	var code protocol.Code
	what := ""
	switch n := g.rnd.IntN(100); {
	case n < 30:
		what = "join"
		_, code = ask(g, protocol.JoinGroup, protocol.JoinGroupRequest{GroupID: crowd})
	case n < 40:
		what = "quit"
		_, code = ask(g, protocol.QuitGroup, protocol.GroupRequest{GroupID: crowd})
	case n < 50:
		what = "kick"
		_, code = ask(g, protocol.KickGroupMember, protocol.KickRequest{GroupID: crowd, MemberList: []string{other}})
	case n < 60:
		what = "transfer"
		_, code = ask(g, protocol.TransferGroupOwner, protocol.MemberRequest{GroupID: crowd, UserID: other})
	case n < 65:
		what = "mute"
		_, code = ask(g, protocol.MuteGroupMember, protocol.MuteRequest{GroupID: crowd, UserID: other, Seconds: new(uint32(1))})
	case n < 75:
		what = "role"
		role := protocol.Role(g.rnd.IntN(2))
		_, code = ask(g, protocol.SetGroupMemberRole, protocol.SetRoleRequest{GroupID: crowd, UserID: other, Role: &role})
	default:
		what = "say"
		var res protocol.SendResponse
		res, code = ask(g, protocol.SendGroupTextMessage, protocol.GroupTextRequest{GroupID: crowd, Text: "hello"})
		if code == 0 && !res.Queued {
			said.Add(1)
		}
	}
	if code != 0 && !slices.Contains(refusals, code) {
		g.h.t.Errorf("%s: %s: code %d", g.user, what, code)
	}
}

// ofCrowd lists the events of the group in a board's journal.
func (g *guest) ofCrowd() []event {
	var out []event
	for after := uint64(0); ; {
		page, err := g.dev.Journal().Read(after, 1000)
		must(g.h.t, err)
		if len(page) == 0 {
			return out
		}
		for _, e := range page {
			after = e.Pos
			x := event{data: map[string]any{}}
			x.Name = e.Info.Name
			must(g.h.t, json.Unmarshal(e.JSON, &x.data))
			if x.str("groupId") == crowd {
				out = append(out, x)
			}
		}
	}
}

// concerns tells whether an account is among those whom an event is about.
func (e event) concerns(user string) bool {
	list, _ := e.data["memberList"].([]any)
	return slices.ContainsFunc(list, func(x any) bool {
		m, _ := x.(map[string]any)
		return m["userId"] == user
	})
}

// outsider checks that a board has heard nothing of the group while it was none of
// its members, and returns whether it is one at the end.
func (g *guest) outsider(in bool) bool {
	for i, e := range g.ofCrowd() {
		switch e.Name {
		case "im.onGroupCreated":
			continue
		case "im.onMemberEnter", "im.onMemberInvited":
			in = in || e.concerns(g.user)
		}
		if !in {
			g.h.t.Errorf("%s hears of the group while he is out: event %d, %s", g.user, i, e.Name)
			return in
		}
		switch e.Name {
		case "im.onMemberKicked":
			in = !e.concerns(g.user)
		case "im.onQuitFromGroup":
			in = false
		}
	}
	return in
}

// history is all that a board shows of the group, as far as the hub has it.
func (g *guest) history() string {
	var b strings.Builder
	for before := ""; ; {
		res, code := ask(g, protocol.GetGroupHistory, protocol.GroupHistoryRequest{GroupID: crowd, Count: 50, MsgID: before})
		if code != 0 {
			return fmt.Sprint("code ", code)
		}
		for _, m := range res.MessageList {
			before = m.MsgID
			if m.Status == protocol.StatusFailed {
				continue // which the board alone has
			}
			j, err := json.Marshal(m)
			must(g.h.t, err)
			fmt.Fprintf(&b, "%s\n", j)
		}
		if res.IsFinished || len(res.MessageList) == 0 {
			return b.String()
		}
	}
}

// TestCrowd: fifty boards join and leave one group, put each other out, hand it
// over, mute and speak, all at once. At the end it has one owner, its count is its
// list, each member's board shows what the hub has, and nobody who was out has heard
// anything.
func TestCrowd(t *testing.T) {
	const guests, steps = 50, 60
	h := newHouse(t, "")
	seed := seedOf(t)
	all := make([]*guest, guests)
	users := make([]string, guests)
	for i := range all {
		users[i] = fmt.Sprintf("guest%d", i)
		all[i] = h.guest(users[i], "phone")
		all[i].rnd = rand.New(rand.NewPCG(seed, uint64(i)))
	}
	if _, code := ask(all[0], protocol.CreateGroup, protocol.CreateGroupRequest{GroupID: crowd, GroupType: protocol.GroupMeeting, GroupName: crowd}); code != 0 {
		t.Fatal(code)
	}
	began := time.Now()
	var said atomic.Int64
	var acting sync.WaitGroup
	for _, g := range all {
		acting.Go(func() {
			for range steps * h.factor {
				g.act(users, &said)
			}
		})
	}
	acting.Wait()
	t.Logf("%d steps in %v, %d messages", guests*steps*h.factor, time.Since(began).Round(time.Millisecond), said.Load())

	members, owner, count := h.crowdOf(all)
	if len(members) != count {
		t.Errorf("%d members, counted %d", len(members), count)
	}
	owners := 0
	for _, role := range members {
		if role == protocol.RoleOwner {
			owners++
		}
	}
	if owners != 1 || members[owner] != protocol.RoleOwner {
		t.Errorf("%d owners; the group's is %s, whose role is %d", owners, owner, members[owner])
	}
	tips := 0
	for i, g := range all {
		_, in := members[g.user]
		h.poll("what is on its way to "+g.user, func() bool { return !t.Failed() && g.outsider(i == 0) == in || t.Failed() })
		if !in {
			continue
		}
		fresh := h.guest(g.user, "fresh")
		want, got := "", "x"
		for limit := time.Now().Add(patience); want != got; want, got = fresh.history(), g.history() {
			if time.Now().After(limit) {
				t.Fatalf("%s differs from a new board:\n%s", g.user, differ(want, got))
			}
			time.Sleep(20 * time.Millisecond) // between two looks: the last may still be on its way
		}
		tips = max(tips, strings.Count(want, "\n"))
	}
	if int64(tips) < said.Load() {
		t.Errorf("a member sees %d messages and changes, %d messages were said", tips, said.Load())
	}
}

// crowdOf is the group as the hub has it.
func (h *house) crowdOf(all []*guest) (members map[string]protocol.Role, owner string, count int) {
	h.t.Helper()
	for _, g := range all {
		info, code := ask(g, protocol.GetGroupsInfo, protocol.GroupsRequest{GroupIDList: []string{crowd}})
		if code != 0 {
			h.t.Fatal(code)
		}
		members = make(map[string]protocol.Role)
		for next := uint64(0); ; {
			page, code := ask(g, protocol.GetGroupMemberList, protocol.MemberListRequest{GroupID: crowd, NextSeq: next})
			if code == protocol.CodeSvrGroupPermissionDeny {
				break // he is none
			}
			if code != 0 {
				h.t.Fatal(code)
			}
			for _, m := range page.MemberList {
				members[m.UserID] = *m.Role
			}
			if next = page.NextSeq; next == 0 {
				r := info.GroupResultList[0].GroupInfo
				return members, r.Owner, r.MemberCount
			}
		}
	}
	h.t.Fatal(errors.New("nobody is a member"))
	return nil, "", 0
}
