package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

const (
	hallMembers = 6000 // of a Meeting: the most by default
	roomMembers = 5000 // of an AVChatRoom
)

// TestGreatGroups: a Meeting and an AVChatRoom whose members are all online, each
// over a connection of its own. Each gets each message once, in order, and the
// Meeting takes nobody more.
func TestGreatGroups(t *testing.T) {
	const messages = 5
	h := newStreet(t, "")
	var in struct {
		Users  []map[string]any `json:"users"`
		Groups []map[string]any `json:"groups"`
	}
	members := make([]map[string]any, hallMembers)
	for i := range members {
		members[i] = map[string]any{"userId": user(i)}
	}
	in.Users = append(members, map[string]any{"userId": "late"})
	in.Groups = []map[string]any{
		{"groupId": "hall", "groupType": "Meeting", "groupName": "hall", "owner": user(0), "members": members},
		{"groupId": "room", "groupType": "AVChatRoom", "groupName": "room", "owner": user(0), "members": members[:roomMembers]},
	}
	file := filepath.Join(t.TempDir(), "in.json")
	b, err := json.Marshal(in)
	must(t, err)
	must(t, os.WriteFile(file, b, 0o600))
	began := time.Now()
	out, err := h.hub.Command(h.ctx, "import", file)
	must(t, err)
	t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), out)

	began = time.Now()
	all := make([]*stranger, hallMembers)
	next := make(chan int, hallMembers)
	for i := range all {
		next <- i
	}
	close(next)
	var arriving sync.WaitGroup
	for range 16 {
		arriving.Go(func() {
			for i := range next {
				k := h.login(user(i), "t")
				s := h.visit(k, user(i), "t")
				w := s.hello("linux")
				if i < roomMembers && len(w.Live) != 1 {
					t.Errorf("%s is in %d rooms", s.user, len(w.Live))
				}
				for _, r := range w.Live {
					s.subscribe(protocol.TopicLive(h.app, r.Group, r.Epoch))
				}
				all[i] = s
			}
		})
	}
	arriving.Wait()
	t.Logf("%d terminals online after %v", hallMembers, time.Since(began).Round(time.Millisecond))
	if t.Failed() {
		t.FailNow()
	}

	speaker := h.guest(user(0), "panel")
	late := h.guest("late", "panel")
	if _, code := ask(late, protocol.JoinGroup, protocol.JoinGroupRequest{GroupID: "hall"}); code != protocol.CodeSvrGroupFullMemberCount {
		t.Errorf("one more joins: code %d", code)
	}
	info, code := ask(speaker, protocol.GetGroupsInfo, protocol.GroupsRequest{GroupIDList: []string{"hall", "room"}})
	if code != 0 {
		t.Fatal(code)
	}
	for i, want := range []int{hallMembers, roomMembers} {
		g := info.GroupResultList[i].GroupInfo
		if g.MemberCount != want || g.OnlineCount != want {
			t.Errorf("%s has %d members, %d online, not %d", g.GroupID, g.MemberCount, g.OnlineCount, want)
		}
	}
	began = time.Now()
	for i := range messages {
		for _, g := range []string{"hall", "room"} {
			if _, code := ask(speaker, protocol.SendGroupTextMessage, protocol.GroupTextRequest{GroupID: g, Text: fmt.Sprintf("%s %d", g, i)}); code != 0 {
				t.Fatal(g, code)
			}
		}
	}
	for i, s := range all {
		groups := []string{"hall", "room"}
		if i >= roomMembers {
			groups = groups[:1]
		}
		s.await("the last message", func() bool {
			heard := s.heard()
			for _, g := range groups {
				if n := len(heard[g]); n == 0 || heard[g][n-1] != fmt.Sprintf("%s %d", g, messages-1) {
					return false
				}
			}
			return true
		})
	}
	t.Logf("%d deliveries in %v", messages*(hallMembers+roomMembers), time.Since(began).Round(time.Millisecond))
	for i, s := range all {
		s.mu.Lock()
		heard := s.heard()
		s.mu.Unlock()
		for _, g := range []string{"hall", "room"} {
			want := []string{}
			for n := range messages {
				if g == "hall" || i < roomMembers {
					want = append(want, fmt.Sprintf("%s %d", g, n))
				}
			}
			if fmt.Sprint(heard[g]) != fmt.Sprint(want) {
				t.Errorf("%s has heard %q, not %q", s.user, heard[g], want)
			}
		}
	}
}

func user(i int) string { return fmt.Sprintf("u%d", i) }

// heard lists the texts that came from each group. mu is held. A signal's kind is 0
// for a message.
func (s *stranger) heard() map[string][]string {
	out := make(map[string][]string)
	add := func(group string, kind protocol.EntryKind, body []byte) {
		var m protocol.Message
		if kind <= protocol.EntryMessage && protocol.Unmarshal(body, &m) == nil {
			out[group] = append(out[group], m.Text)
		}
	}
	for _, f := range s.frames {
		switch {
		case f.Push != nil:
			for _, l := range f.Push.Logs {
				for _, e := range l.Entries {
					add(l.Log[len("group:"):], e.Kind, e.Body)
				}
			}
		case f.Signal != nil && f.Signal.Group != "":
			add(f.Signal.Group, f.Signal.Kind, f.Signal.Body)
		}
	}
	return out
}
