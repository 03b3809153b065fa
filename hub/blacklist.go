package hub

import (
	"context"
	"errors"
	"slices"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const (
	maxBooks       = 65536   // accounts whose blacklists are kept in memory
	maxBookEntries = 200_000 // in all of these
)

// blackBook keeps blacklists in memory, as each message is held against one. It
// belongs to the writer's goroutine, and begins anew when it is full.
type blackBook struct {
	books   map[string]map[string]struct{} // by owner; nil: an empty list
	entries int
	changed bool // by the transaction: what was read since may not become true
}

// begin is before a transaction, or after one that failed.
func (b *blackBook) begin() {
	if b.changed {
		*b = blackBook{}
	}
}

func (b *blackBook) committed() { b.changed = false }

// forget drops an owner's list: the transaction has changed it.
func (b *blackBook) forget(owner string) {
	b.entries -= len(b.books[owner])
	delete(b.books, owner)
	b.changed = true
}

// refuses tells whether owner does not want what user sends.
func (b *blackBook) refuses(ctx context.Context, tx *store.Tx, app protocol.AppID, owner, user string) (bool, error) {
	book, known := b.books[owner]
	if !known {
		list, err := tx.Blacklist(ctx, app, owner)
		if err != nil {
			return false, err
		}
		if b.books == nil || len(b.books) >= maxBooks || b.entries+len(list) > maxBookEntries {
			b.books, b.entries = make(map[string]map[string]struct{}), 0
		}
		if len(list) > 0 {
			book = make(map[string]struct{}, len(list))
			for _, x := range list {
				book[x] = struct{}{}
			}
		}
		b.books[owner] = book
		b.entries += len(book)
	}
	_, refused := book[user]
	return refused, nil
}

// blacklisted is what the sender is told.
func blacklisted(owner, user string) *protocol.Error {
	return protocol.Errorf(protocol.CodeSvrMsgInPeerBlacklist, "%s has %s in the blacklist", owner, user)
}

// Each row of the two changes is judged by itself: one that cannot be done leaves
// the others be.

// addToBlackList also ends the friendship on the caller's side.
func (h *Hub) addToBlackList(ctx context.Context, c Caller, req protocol.UserListRequest) (res protocol.FriendResultsResponse, err error) {
	list, err := c.tx.Blacklist(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	var added, lost []string
	for _, user := range req.UserIDList {
		refusal, err := c.mayBlacklist(ctx, user)
		switch {
		case err != nil:
			return res, err
		case refusal != nil, slices.Contains(list, user): // it is as he wants it
		case len(list) >= h.cfg.Blacklist:
			refusal = protocol.Errorf(protocol.CodeSvrFriendshipBlacklistLimit, "the blacklist has %d accounts, which is the limit", len(list))
		default:
			if err := c.tx.AddToBlacklist(ctx, c.App, c.User, user, c.now); err != nil {
				return res, err
			}
			list, added = append(list, user), append(added, user)
			err := c.tx.RemoveFriend(ctx, c.App, c.User, user)
			if err == nil {
				lost = append(lost, user)
			} else if !errors.Is(err, store.ErrNotFound) {
				return res, err
			}
		}
		res.ResultList = append(res.ResultList, result(user, refusal))
	}
	if len(added) == 0 {
		return res, nil
	}
	c.plan.refusals.forget(c.User)
	if len(lost) > 0 {
		if err := informOf(ctx, h, c, protocol.OnFriendListDeleted, gone(lost...), c.User); err != nil {
			return res, err
		}
	}
	return res, h.informFriends(ctx, c, protocol.OnBlackListAdded, c.User, added...)
}

func (h *Hub) deleteFromBlackList(ctx context.Context, c Caller, req protocol.UserListRequest) (res protocol.FriendResultsResponse, err error) {
	var done []string
	for _, user := range req.UserIDList {
		refusal, err := c.mayBlacklist(ctx, user)
		if err == nil && refusal == nil {
			err = c.tx.RemoveFromBlacklist(ctx, c.App, c.User, user)
			if err == nil {
				done = append(done, user)
			}
			err = ignore(err, store.ErrNotFound) // it is as he wants it
		}
		if err != nil {
			return res, err
		}
		res.ResultList = append(res.ResultList, result(user, refusal))
	}
	if len(done) == 0 {
		return res, nil
	}
	c.plan.refusals.forget(c.User)
	return res, informOf(ctx, h, c, protocol.OnBlackListDeleted, gone(done...), c.User)
}

// mayBlacklist says why an account is not one for a blacklist.
func (c Caller) mayBlacklist(ctx context.Context, user string) (*protocol.Error, error) {
	if user == c.User {
		return protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "nobody is in the own blacklist"), nil
	}
	return c.there(ctx, user)
}

func (h *Hub) getBlackList(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.FriendsResponse, err error) {
	list, err := c.view.Blacklist(ctx, c.App, c.User)
	if err == nil {
		res.InfoList, err = c.friendInfos(ctx, c.User, list)
	}
	return res, err
}
