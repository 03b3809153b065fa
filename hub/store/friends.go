package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Friend is an account in somebody's friend list.
type Friend struct {
	User   string
	Remark string
	Source string
}

// Friends lists an account's friends, by userId.
func (v View) Friends(ctx context.Context, app protocol.AppID, owner string) ([]Friend, error) {
	out, err := collect(ctx, v.q, func(row scanner) (f Friend, err error) { return f, row.Scan(&f.User, &f.Remark, &f.Source) },
		`SELECT user_id, remark, source FROM friends WHERE app = $1 AND owner = $2`, int64(app), owner)
	if err != nil {
		return nil, fmt.Errorf("read the friends: %w", err)
	}
	slices.SortFunc(out, func(a, b Friend) int { return cmp.Compare(a.User, b.User) })
	return out, nil
}

// Friend finds a friend in an account's list, or ErrNotFound.
func (v View) Friend(ctx context.Context, app protocol.AppID, owner, user string) (Friend, error) {
	f := Friend{User: user}
	err := v.q.row(ctx, `SELECT remark, source FROM friends WHERE app = $1 AND owner = $2 AND user_id = $3`, int64(app), owner, user).Scan(&f.Remark, &f.Source)
	if err != nil {
		return f, fmt.Errorf("read the friend: %w", notFound(err))
	}
	return f, nil
}

// HasFriend tells whether user is in owner's list.
func (v View) HasFriend(ctx context.Context, app protocol.AppID, owner, user string) (bool, error) {
	_, err := v.Friend(ctx, app, owner, user)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// FriendCount is how many friends an account has.
func (v View) FriendCount(ctx context.Context, app protocol.AppID, owner string) (int, error) {
	var n int
	if err := v.q.row(ctx, `SELECT COUNT(*) FROM friends WHERE app = $1 AND owner = $2`, int64(app), owner).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the friends: %w", err)
	}
	return n, nil
}

// FriendOf lists in whose lists an account is: those after this one, at most limit.
func (v View) FriendOf(ctx context.Context, app protocol.AppID, user, after string, limit int) ([]string, error) {
	out, err := collect(ctx, v.q, func(row scanner) (owner string, err error) { return owner, row.Scan(&owner) },
		`SELECT owner FROM friends WHERE app = $1 AND user_id = $2 AND owner > $3 ORDER BY owner LIMIT $4`, int64(app), user, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read whose friend the account is: %w", err)
	}
	return out, nil
}

// AddFriend puts an account into a list. ErrExists: it is there.
func (t *Tx) AddFriend(ctx context.Context, app protocol.AppID, owner string, f Friend, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO friends (app, owner, user_id, remark, source, added_ms) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		int64(app), owner, f.User, f.Remark, f.Source, now.UnixMilli())
	return t.one(res, err, ErrExists, "add the friend")
}

// SetRemark says what an account calls a friend. ErrNotFound: he is none.
func (t *Tx) SetRemark(ctx context.Context, app protocol.AppID, owner, user, remark string) error {
	res, err := t.q.exec(ctx, `UPDATE friends SET remark = $4 WHERE app = $1 AND owner = $2 AND user_id = $3`, int64(app), owner, user, remark)
	return t.one(res, err, ErrNotFound, "change the friend's remark")
}

// RemoveFriend takes an account out of a list, and out of its owner's friend
// groups. ErrNotFound: it is not there.
func (t *Tx) RemoveFriend(ctx context.Context, app protocol.AppID, owner, user string) error {
	res, err := t.q.exec(ctx, `DELETE FROM friends WHERE app = $1 AND owner = $2 AND user_id = $3`, int64(app), owner, user)
	if err := t.one(res, err, ErrNotFound, "remove the friend"); err != nil {
		return err
	}
	_, err = t.q.exec(ctx, `DELETE FROM friend_group_members WHERE app = $1 AND owner = $2 AND user_id = $3`, int64(app), owner, user)
	if err != nil {
		return fmt.Errorf("remove the friend from friend groups: %w", err)
	}
	return nil
}

// FriendApplication is an application to be friends, as one side has it.
type FriendApplication struct {
	User     string // the other
	Received bool   // made by User
	Remark   string // what the applicant will call the other
	Wording  string
	Source   string
	Single   bool // the applicant wants the other in his list alone
	AddedAt  int64
}

// FriendApplications lists those of an account, the newest first.
func (v View) FriendApplications(ctx context.Context, app protocol.AppID, owner string) ([]FriendApplication, error) {
	out, err := collect(ctx, v.q, scanFriendApplication, `SELECT `+friendApplicationColumns+` FROM friend_applications WHERE app = $1 AND owner = $2`, int64(app), owner)
	if err != nil {
		return nil, fmt.Errorf("read the friend applications: %w", err)
	}
	slices.SortFunc(out, func(a, b FriendApplication) int {
		return cmp.Or(cmp.Compare(b.AddedAt, a.AddedAt), cmp.Compare(a.User, b.User), cmp.Compare(bit(a.Received), bit(b.Received)))
	})
	return out, nil
}

const friendApplicationColumns = `user_id, received, remark, wording, source, single, added_ms`

func scanFriendApplication(row scanner) (a FriendApplication, err error) {
	var received, single int64
	err = row.Scan(&a.User, &received, &a.Remark, &a.Wording, &a.Source, &single, &a.AddedAt)
	a.Received, a.Single = received != 0, single != 0
	return a, err
}

// FriendApplication finds one of an account's, or ErrNotFound.
func (v View) FriendApplication(ctx context.Context, app protocol.AppID, owner, user string, received bool) (FriendApplication, error) {
	a, err := scanFriendApplication(v.q.row(ctx, `SELECT `+friendApplicationColumns+` FROM friend_applications
WHERE app = $1 AND owner = $2 AND user_id = $3 AND received = $4`, int64(app), owner, user, bit(received)))
	if err != nil {
		return a, fmt.Errorf("read the friend application: %w", notFound(err))
	}
	return a, nil
}

// KeepFriendApplication keeps one in an account's list; a newer one replaces it.
func (t *Tx) KeepFriendApplication(ctx context.Context, app protocol.AppID, owner string, a FriendApplication) error {
	_, err := t.q.exec(ctx, `INSERT INTO friend_applications (app, owner, user_id, received, remark, wording, source, single, added_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (app, owner, user_id, received) DO UPDATE SET
remark = excluded.remark, wording = excluded.wording, source = excluded.source, single = excluded.single, added_ms = excluded.added_ms`,
		int64(app), owner, a.User, bit(a.Received), a.Remark, a.Wording, a.Source, bit(a.Single), a.AddedAt)
	if err != nil {
		return fmt.Errorf("keep the friend application: %w", err)
	}
	return nil
}

// RemoveFriendApplication takes one out of an account's list. ErrNotFound: it is
// not there.
func (t *Tx) RemoveFriendApplication(ctx context.Context, app protocol.AppID, owner, user string, received bool) error {
	res, err := t.q.exec(ctx, `DELETE FROM friend_applications WHERE app = $1 AND owner = $2 AND user_id = $3 AND received = $4`,
		int64(app), owner, user, bit(received))
	return t.one(res, err, ErrNotFound, "remove the friend application")
}
