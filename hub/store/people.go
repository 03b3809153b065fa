package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Profile is what an account says of itself.
type Profile struct {
	Nick      string
	Face      string // URL of a picture
	Signature string
	Gender    protocol.Gender
	AllowType protocol.AllowType
}

// Profile finds an account's profile, or ErrNotFound.
func (v View) Profile(ctx context.Context, app protocol.AppID, user string) (p Profile, err error) {
	err = v.q.row(ctx, `SELECT nick, face, signature, gender, allow_type FROM users WHERE app = $1 AND id = $2`, int64(app), user).
		Scan(&p.Nick, &p.Face, &p.Signature, &p.Gender, &p.AllowType)
	if err != nil {
		return p, fmt.Errorf("read the profile: %w", notFound(err))
	}
	return p, nil
}

// SetProfile writes an account's profile. ErrNotFound: there is no such account.
func (t *Tx) SetProfile(ctx context.Context, app protocol.AppID, user string, p Profile) error {
	res, err := t.q.exec(ctx, `UPDATE users SET nick = $3, face = $4, signature = $5, gender = $6, allow_type = $7, named = CASE WHEN $8 = 1 THEN 1 ELSE named END
WHERE app = $1 AND id = $2`,
		int64(app), user, p.Nick, p.Face, p.Signature, int64(p.Gender), int64(p.AllowType), int64(bit(p.Nick != "" || p.Face != "")))
	return t.one(res, err, ErrNotFound, "write the profile")
}

// Person is an account as others see it.
type Person struct {
	User   string
	Nick   string
	Face   string
	Named  bool   // has one of them, or has had one
	Remark string // the viewer's
}

// peopleSizes are how many accounts one statement looks for: a few prepared
// statements do for any number.
var peopleSizes = [...]int{64, 8, 1}

var peopleTexts = func() (out [len(peopleSizes)]string) {
	for i, n := range peopleSizes {
		var b strings.Builder
		b.WriteString(`SELECT u.id, u.nick, u.face, u.named <> 0, COALESCE(f.remark, '') FROM users u
LEFT JOIN friends f ON f.app = u.app AND f.owner = $2 AND f.user_id = u.id WHERE u.app = $1 AND u.id IN (`)
		for k := range n {
			if k > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "$%d", k+3)
		}
		b.WriteByte(')')
		out[i] = b.String()
	}
	return out
}()

// People finds accounts as viewer sees them; who is not there is left out. viewer
// may be empty.
func (v View) People(ctx context.Context, app protocol.AppID, viewer string, users []string) (map[string]Person, error) {
	out := make(map[string]Person, len(users))
	for i, size := range peopleSizes {
		for len(users) >= size {
			args := []any{int64(app), viewer}
			for _, user := range users[:size] {
				args = append(args, user)
			}
			found, err := collect(ctx, v.q, func(row scanner) (p Person, err error) {
				return p, row.Scan(&p.User, &p.Nick, &p.Face, &p.Named, &p.Remark)
			}, peopleTexts[i], args...)
			if err != nil {
				return nil, fmt.Errorf("read the accounts: %w", err)
			}
			for _, p := range found {
				out[p.User] = p
			}
			users = users[size:]
		}
	}
	return out, nil
}

// ApplicationsRead is when an account has read the applications to join groups and
// to be friends last, in Unix milliseconds.
func (v View) ApplicationsRead(ctx context.Context, app protocol.AppID, user string) (group, friend int64, err error) {
	err = v.q.row(ctx, `SELECT group_applications_read_ms, friend_applications_read_ms FROM users WHERE app = $1 AND id = $2`, int64(app), user).Scan(&group, &friend)
	if err != nil {
		return 0, 0, fmt.Errorf("read what the account has read: %w", notFound(err))
	}
	return group, friend, nil
}

// SetGroupApplicationsRead notes that an account has read the applications to join
// groups.
func (t *Tx) SetGroupApplicationsRead(ctx context.Context, app protocol.AppID, user string, now time.Time) error {
	res, err := t.q.exec(ctx, `UPDATE users SET group_applications_read_ms = $3 WHERE app = $1 AND id = $2`, int64(app), user, now.UnixMilli())
	return t.one(res, err, ErrNotFound, "note what the account has read")
}

// SetFriendApplicationsRead notes that an account has read the applications to be
// friends.
func (t *Tx) SetFriendApplicationsRead(ctx context.Context, app protocol.AppID, user string, now time.Time) error {
	res, err := t.q.exec(ctx, `UPDATE users SET friend_applications_read_ms = $3 WHERE app = $1 AND id = $2`, int64(app), user, now.UnixMilli())
	return t.one(res, err, ErrNotFound, "note what the account has read")
}
