package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// stepsPerTerminal is how much each terminal does. HERALD_CHAOS multiplies it.
const stepsPerTerminal = 150

// TestTerminalsAgree: two terminals of each of three users send, take back, read
// and delete at random while their links are cut, they and the hub are killed. At
// the end all terminals of a user show the same conversations, histories, states
// and unread counts, equal to what a new terminal learns from the hub.
func TestTerminalsAgree(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { terminalsAgree(t, "") })
	t.Run("postgres", func(t *testing.T) { terminalsAgree(t, databases.Postgres(t)) })
}

func terminalsAgree(t *testing.T, db string) {
	h := newHouse(t, db)
	seed := seedOf(t)
	rnd := rand.New(rand.NewPCG(seed, 2))

	users := []string{"anna", "bert", "cleo"}
	var all []*actor
	for _, u := range users {
		for _, platform := range []string{"phone", "panel"} {
			all = append(all, h.platform(u+"-"+platform, u, platform))
		}
	}
	h.group("yard", protocol.GroupMeeting, all[0], all[2], all[4])
	h.group("crew", protocol.GroupWork, all[2])
	_, err := client.Call(h.ctx, all[2].board.Client(), protocol.InviteUserToGroup, protocol.InviteToGroupRequest{GroupID: "crew", UserIDList: []string{"anna", "cleo"}})
	must(t, err)

	var acting sync.WaitGroup
	progress := make(chan struct{}, 1<<16)
	n := stepsPerTerminal * h.factor
	for i, a := range all {
		p := &player{a: a, rnd: rand.New(rand.NewPCG(seed, uint64(i)+100)), users: users}
		acting.Go(func() {
			for range n {
				p.step()
				progress <- struct{}{}
			}
		})
	}
	go func() {
		acting.Wait()
		close(progress)
	}()
	h.wreak(rnd, all, n*len(all), progress)
	h.heal(all)
	for _, a := range all {
		a.awaitDrained()
	}
	for i, u := range users {
		fresh := h.platform(u+"-fresh", u, "fresh")
		var truth, got string
		pair := all[2*i : 2*i+2]
		for _, a := range pair {
			limit := time.Now().Add(patience)
			for {
				truth, got = fresh.view(), a.view()
				if truth == got || time.Now().After(limit) {
					break
				}
				time.Sleep(50 * time.Millisecond) // between two looks: what is on its way arrives
			}
			if truth != got {
				t.Errorf("%s differs from a new terminal:\n%s", a.board.Name, differ(truth, got))
			}
		}
		t.Logf("%s: %d lines, %d taken back, %d read by the other", u, strings.Count(truth, "\n"), strings.Count(truth, `"status":4`), strings.Count(truth, `"isPeerRead":true`))
		if strings.Count(truth, "\n") < 10 {
			t.Errorf("%s has seen little: %s", u, truth)
		}
	}
}

// platform adds a terminal of a platform of its own that keeps little by itself.
func (h *house) platform(name, user, platform string) *actor {
	h.t.Helper()
	a := h.idle(name, user)
	must(h.t, a.board.Configure("[hub]\nreconnect_min = \"50ms\"\nreconnect_max = \"1s\"\nkeepalive = \"5s\"\n[health]\nbeat = \"5s\"\n"+
		"[account]\nplatform = \""+platform+"\"\n[mirror]\nmax_per_conversation = 20\n"))
	a.start()
	a.awaitLink("up")
	return a
}

// player is a program that does things at random.
type player struct {
	a     *actor
	rnd   *rand.Rand
	users []string
	n     int
}

func (p *player) pick() (user, group string) {
	switch p.rnd.IntN(6) {
	case 0:
		return "", "yard"
	case 1:
		return "", "crew"
	}
	return p.users[p.rnd.IntN(len(p.users))], ""
}

func (p *player) step() {
	user, group := p.pick()
	c, ctx := p.a.board.Client(), p.a.h.ctx
	var err error
	switch p.n++; p.rnd.IntN(12) {
	case 0, 1:
		if group != "" {
			_, err = client.Call(ctx, c, protocol.MarkGroupAsRead, protocol.GroupRequest{GroupID: group})
		} else {
			_, err = client.Call(ctx, c, protocol.MarkC2CAsRead, protocol.MarkC2CRequest{UserID: user})
		}
	case 2, 3:
		if m := p.shown(user, group); m.MsgID != "" && m.IsSelf && m.ElemType != protocol.ElemGroupTip {
			_, err = client.Call(ctx, c, protocol.RevokeMessage, protocol.RevokeRequest{MsgID: m.MsgID, UserID: user, GroupID: group})
		}
	case 4:
		if m := p.shown(user, group); m.MsgID != "" {
			_, err = client.Call(ctx, c, protocol.DeleteMessage, protocol.DeleteMessagesRequest{MsgID: m.MsgID})
		}
	case 5:
		if p.rnd.IntN(4) == 0 {
			id := protocol.ConversationID(protocol.LogC2C, user)
			if group != "" {
				id = protocol.ConversationID(protocol.LogGroup, group)
			}
			_, err = client.Call(ctx, c, protocol.DeleteConversation, protocol.ConversationRequest{ConversationID: id})
		}
	default:
		text := fmt.Sprintf("%s %d", p.a.board.Name, p.n)
		made, makeErr := client.Call(ctx, c, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: text})
		if err = makeErr; err == nil {
			_, err = client.Call(ctx, c, protocol.SendMessage, protocol.SendMessageRequest{Receiver: user, GroupID: group, MessageKey: made.MessageKey})
		}
	}
	var e *protocol.Error
	if errors.As(err, &e) && !slices.Contains(lifesTroubles, e.Code) {
		p.a.h.t.Errorf("%s: %v", p.a.board.Name, err)
	}
	if errors.As(err, new(*client.UnreachableError)) {
		time.Sleep(10 * time.Millisecond) // the daemon is down
	}
}

// lifesTroubles are what may be refused while everything breaks: there is no link,
// or the message that was meant is gone, on its way, or too old.
var lifesTroubles = []protocol.Code{
	protocol.CodeNetDisconnect, protocol.CodeRequestTimeout, protocol.CodeInvalidParameters, protocol.CodeInProgress, protocol.CodeNotLoggedIn,
	protocol.CodeRevokeTimeLimitExceed, protocol.CodeSvrGroupRevokeMsgNotFound, protocol.CodeInterrupt, protocol.CodeUserCanceled, protocol.CodeNotInitialized,
}

// shown is a message out of a page of history.
func (p *player) shown(user, group string) (m protocol.MessageInfo) {
	c, ctx := p.a.board.Client(), p.a.h.ctx
	var res protocol.HistoryResponse
	if group != "" {
		res, _ = client.Call(ctx, c, protocol.GetGroupHistory, protocol.GroupHistoryRequest{GroupID: group, Count: 30})
	} else {
		res, _ = client.Call(ctx, c, protocol.GetC2CHistory, protocol.C2CHistoryRequest{UserID: user, Count: 30})
	}
	if len(res.MessageList) == 0 {
		return m
	}
	return res.MessageList[p.rnd.IntN(len(res.MessageList))]
}

// view is all that a terminal shows.
func (a *actor) view() string {
	a.h.t.Helper()
	ctx, c := a.h.ctx, a.board.Client()
	var b strings.Builder
	list, err := client.Call(ctx, c, protocol.GetConversationList, protocol.ConversationListRequest{Count: 1000})
	must(a.h.t, err)
	slices.SortFunc(list.ConversationList, func(x, y protocol.Conversation) int { return strings.Compare(x.ConversationID, y.ConversationID) })
	for _, conv := range list.ConversationList {
		last := ""
		if conv.LastMessage != nil {
			last = conv.LastMessage.MsgID
		}
		fmt.Fprintf(&b, "%s %q unread %d last %s\n", conv.ConversationID, conv.ShowName, conv.UnreadCount, last)
		before := ""
		for {
			var res protocol.HistoryResponse
			if conv.GroupID != "" {
				res, err = client.Call(ctx, c, protocol.GetGroupHistory, protocol.GroupHistoryRequest{GroupID: conv.GroupID, Count: 37, MsgID: before})
			} else {
				res, err = client.Call(ctx, c, protocol.GetC2CHistory, protocol.C2CHistoryRequest{UserID: conv.UserID, Count: 37, MsgID: before})
			}
			must(a.h.t, err)
			for _, m := range res.MessageList {
				j, err := json.Marshal(m)
				must(a.h.t, err)
				fmt.Fprintf(&b, "  %s\n", j)
				before = m.MsgID
			}
			if res.IsFinished || len(res.MessageList) == 0 {
				break
			}
		}
	}
	return b.String()
}

// differ shows the lines that only one of two has.
func differ(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	if len(out) == 0 {
		return "the order"
	}
	return strings.Join(out[:min(len(out), 30)], "\n")
}
