package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestCrowds: who is remembered to be in a group is who is in it, also where several
// calls share a transaction and some of them are undone.
func TestCrowds(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 1))
		users := []string{"a", "b", "c", "d", "e", "f"}
		groups := []string{"g1", "g2", "g3"}
		kinds := []string{protocol.GroupWork, protocol.GroupMeeting, protocol.GroupMeeting, protocol.GroupAVChatRoom}
		terms := make(map[string]*term)
		for _, u := range users {
			terms[u] = r.online(u, "t")
		}
		call := func() (who, method string, body any) {
			who, id := users[rnd.IntN(len(users))], groups[rnd.IntN(len(groups))]
			other := users[rnd.IntN(len(users))]
			opt := protocol.RecvOpt(rnd.IntN(3))
			secs := uint32(rnd.IntN(2))
			switch rnd.IntN(16) {
			case 0, 1:
				return who, "im.createGroup", create(id, kinds[rnd.IntN(len(kinds))])
			case 2, 3, 4:
				return who, "im.joinGroup", join(id)
			case 5, 6:
				return who, "im.quitGroup", named(id)
			case 7, 8:
				return who, "im.inviteUserToGroup", protocol.InviteToGroupRequest{GroupID: id, UserIDList: []string{other, "f"}}
			case 9:
				return who, "im.kickGroupMember", protocol.KickRequest{GroupID: id, MemberList: []string{other}}
			case 10, 11, 12:
				return who, "im.setReceiveMessageOpt", protocol.RecvOptRequest{GroupID: id, Opt: &opt}
			case 13:
				return who, "im.muteGroupMember", protocol.MuteRequest{GroupID: id, UserID: other, Seconds: &secs}
			case 14:
				return who, "im.transferGroupOwner", protocol.MemberRequest{GroupID: id, UserID: other}
			}
			return who, "im.dismissGroup", named(id)
		}
		undone := errors.New("undone")
		known, all := 0, 0
		for round := range 150 {
			held, release := make(chan struct{}), make(chan struct{})
			ends := make(chan error, 9)
			go func() {
				ends <- r.act(func(context.Context, Caller) error { close(held); <-release; return nil })
			}()
			<-held
			waits := 1
			for range 1 + rnd.IntN(8) {
				who, method, body := call()
				b, err := protocol.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				if rnd.IntN(4) > 0 {
					terms[who].send(&protocol.Frame{Call: &protocol.Call{ID: callIDs.Add(1), Method: method, Body: b}})
					continue
				}
				waits++
				j := &writeJob{func(ctx context.Context, c Caller) error {
					c.User = who
					if _, err := r.calls.CallCBOR(ctx, c, method, b); err != nil {
						return err
					}
					return undone
				}, ends}
				if err := r.queue.push(j); err != nil {
					t.Fatal(err)
				}
			}
			close(release)
			for range waits {
				if err := <-ends; err != nil && !errors.Is(err, undone) && protocol.AsError(err).Code == protocol.CodeInternalError {
					t.Fatal(err)
				}
			}
			r.settle()
			for _, id := range groups {
				g, err := r.store.Group(t.Context(), r.app, id)
				if err != nil {
					continue // not made yet
				}
				if !g.Dismissed {
					all++
				}
				got, ok := r.crowds.at(id, g.Version)
				if !ok {
					continue
				}
				if !g.Dismissed {
					known++
				}
				list, err := r.store.Members(t.Context(), r.app, id)
				if err != nil {
					t.Fatal(err)
				}
				want := newMembership(g.Version, list)
				a, b := slices.Sorted(slices.Values(got.wanting)), slices.Sorted(slices.Values(want.wanting))
				if !slices.Equal(got.users, want.users) || !slices.Equal(a, b) {
					t.Fatalf("seed %d, round %d: %s is remembered with %v, of whom %v want to have its messages, and has %v and %v",
						seed, round, id, got.users, got.wanting, want.users, want.wanting)
				}
			}
		}
		if known < all*9/10 {
			t.Errorf("of %d looks at a group, it was remembered at %d", all, known)
		}
	})
}

// TestCrowdsAreBounded: what is remembered is bounded by members, not by groups.
func TestCrowdsAreBounded(t *testing.T) {
	var x crowds
	great := membership{version: 1, users: make([]string, maxCrowd/3)}
	for _, id := range []string{"a", "b", "c"} {
		x.put(id, great)
	}
	x.put("c", great)
	if _, ok := x.at("a", 1); !ok {
		t.Error("a was forgotten before there was too much")
	}
	x.put("d", great)
	if _, ok := x.at("a", 1); ok || x.size != len(great.users) {
		t.Errorf("%d members are remembered", x.size)
	}
	x.put("d", membership{version: 2, users: make([]string, maxCrowd+1)})
	if _, ok := x.at("d", 2); ok || x.size != 0 || len(x.rows) != 0 {
		t.Errorf("a group beyond the bound is remembered; %d members", x.size)
	}
}

// TestUndoneIsNotGivenOut: what a job that fails was to do after the commit is not done.
func TestUndoneIsNotGivenOut(t *testing.T) {
	r := newRig(t, sqlite(t))
	failed := errors.New("undone")
	ran := make(chan string, 2)
	for name, end := range map[string]error{"failed": failed, "kept": nil} {
		err := r.act(func(_ context.Context, c Caller) error {
			c.res.done = append(c.res.done, func() { ran <- name })
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
	}
	r.settle()
	close(ran)
	if first, second := <-ran, <-ran; first != "kept" || second != "" {
		t.Errorf("%q and %q are done", first, second)
	}
}
