package hub

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// faces remembers how accounts show themselves, as each frame with entries brings
// those who are in them. Who has never given himself a name or a picture is in no
// frame, and is remembered as such; who has taken both back is in frames with neither,
// for those who knew them.
type faces struct {
	mu     sync.Mutex
	people bounded[string, store.Person]
	cards  bounded[memberName, string]
	turn   uint64 // of the last change: what was read before may be old
}

type memberName struct{ group, user string }

func newFaces() *faces {
	return &faces{people: bounded[string, store.Person]{size: 65536}, cards: bounded[memberName, string]{size: 65536}}
}

func (f *faces) forget(user string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.people.rows, user)
	f.turn++
}

func (f *faces) forgetCards(group string, users ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, user := range users {
		delete(f.cards.rows, memberName{group, user})
	}
	f.turn++
}

// peopleBytes is what the people in one frame may take, about: whom it has no room
// for, a later one brings.
const peopleBytes = 32 << 10

// crew are the people of a frame, each of them once.
type crew struct {
	list []protocol.Person
	size int
	most int // bytes; 0: peopleBytes
}

func (c *crew) add(people ...protocol.Person) {
	for _, p := range people {
		size := 16 + len(p.User) + len(p.Nick) + len(p.Face) + len(p.Group) + len(p.Card)
		if len(c.list) < protocol.MaxPeople && c.size+size <= cmp.Or(c.most, peopleBytes) && !slices.Contains(c.list, p) {
			c.list = append(c.list, p)
			c.size += size
		}
	}
}

// peopleIn lists those whom entries of a log are about. What cannot be read is left
// out: the next frame brings it.
func (h *Hub) peopleIn(ctx context.Context, log string, entries ...*protocol.Entry) []protocol.Person {
	kind, group, _ := protocol.ParseLog(log)
	if kind != protocol.LogGroup {
		group = ""
	}
	if kind == protocol.LogUser {
		return nil // what is told there has the names in it
	}
	var users []string
	seen := make(map[string]bool, 1)
	add := func(user string) {
		if user != "" && !seen[user] {
			seen[user] = true
			users = append(users, user)
		}
	}
	for _, e := range entries {
		add(e.From)
		if e.Kind == protocol.EntryTip {
			var tip protocol.Tip
			if protocol.Unmarshal(e.Body, &tip) == nil {
				for _, user := range tip.Users {
					add(user)
				}
			}
		}
	}
	var out crew
	out.add(h.peopleOf(ctx, group, users)...)
	return out.list
}

func (h *Hub) peopleOf(ctx context.Context, group string, users []string) (out []protocol.Person) {
	f := h.faces
	f.mu.Lock()
	turn := f.turn
	var missing, cardless []string
	found := make([]store.Person, len(users))
	cards := make([]string, len(users))
	for i, user := range users {
		p, ok := f.people.rows[user]
		if !ok {
			missing = append(missing, user)
		}
		found[i] = p
		if group != "" {
			card, ok := f.cards.rows[memberName{group, user}]
			if !ok {
				cardless = append(cardless, user)
			}
			cards[i] = card
		}
	}
	f.mu.Unlock()
	if len(missing)+len(cardless) > 0 {
		h.meet(ctx, turn, group, missing, cardless, func(p store.Person) {
			for i, user := range users {
				if user == p.User {
					found[i] = p
				}
			}
		}, func(user, card string) {
			for i, u := range users {
				if u == user {
					cards[i] = card
				}
			}
		})
	}
	for i, user := range users {
		if found[i].Named || cards[i] != "" {
			p := protocol.Person{User: user, Nick: found[i].Nick, Face: found[i].Face, Card: cards[i]}
			if p.Card != "" {
				p.Group = group
			}
			out = append(out, p)
		}
	}
	return out
}

// meet reads who is not remembered.
func (h *Hub) meet(ctx context.Context, turn uint64, group string, missing, cardless []string, person func(store.Person), card func(user, card string)) {
	read, cancel := h.store.ReadContext(ctx)
	defer cancel()
	people, err := h.store.People(read, h.app, "", missing)
	if err != nil {
		h.log.Warn("who accounts are cannot be read: their names are left out", "err", err)
		return
	}
	cards := make(map[string]string)
	for _, user := range cardless {
		m, err := h.store.Member(read, h.app, group, user)
		if ignore(err, store.ErrNotFound) != nil {
			h.log.Warn("what members are called cannot be read: their names are left out", "err", err)
			return
		}
		cards[user] = m.Card
	}
	f := h.faces
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, user := range missing {
		p := people[user]
		p.User = user
		person(p)
		if f.turn == turn {
			f.people.put(user, p)
		}
	}
	for user, c := range cards {
		card(user, c)
		if f.turn == turn {
			f.cards.put(memberName{group, user}, c)
		}
	}
}
