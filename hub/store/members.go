package store

import (
	"context"
	"fmt"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Member is a member's row.
type Member struct {
	User       string
	Role       protocol.Role
	Card       string // his name in the group
	MutedUntil int64  // Unix milliseconds
	RecvOpt    protocol.RecvOpt
	Seq        uint64 // rises with each member of the group
	JoinedAt   int64  // Unix milliseconds
}

const memberColumns = `m.user_id, m.role, m.name_card, m.muted_until, m.recv_opt, m.joined, m.joined_ms`

func scanMember(row scanner) (m Member, err error) {
	return m, row.Scan(&m.User, &m.Role, &m.Card, &m.MutedUntil, &m.RecvOpt, &m.Seq, &m.JoinedAt)
}

// Member finds a member, or ErrNotFound.
func (v View) Member(ctx context.Context, app protocol.AppID, group, user string) (Member, error) {
	m, err := scanMember(v.q.row(ctx, `SELECT `+memberColumns+` FROM members m WHERE app = $1 AND group_id = $2 AND user_id = $3`, int64(app), group, user))
	if err != nil {
		return m, fmt.Errorf("read the member: %w", notFound(err))
	}
	return m, nil
}

// Members lists a group's members, the longest-standing first.
func (v View) Members(ctx context.Context, app protocol.AppID, group string) ([]Member, error) {
	out, err := collect(ctx, v.q, scanMember, `SELECT `+memberColumns+` FROM members m WHERE app = $1 AND group_id = $2 ORDER BY joined`, int64(app), group)
	if err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	return out, nil
}

// MembersAfter is a page of Members: those of some roles with a Seq after this one.
func (v View) MembersAfter(ctx context.Context, app protocol.AppID, group string, after uint64, low, high protocol.Role, limit int) ([]Member, error) {
	out, err := collect(ctx, v.q, scanMember, `SELECT `+memberColumns+` FROM members m WHERE app = $1 AND group_id = $2 AND joined > $3
AND role >= $4 AND role <= $5 ORDER BY joined LIMIT $6`, int64(app), group, int64(after), int64(low), int64(high), limit)
	if err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	return out, nil
}

// Deciders lists a group's owner and admins.
func (v View) Deciders(ctx context.Context, app protocol.AppID, group string) ([]Member, error) {
	return v.MembersAfter(ctx, app, group, 0, protocol.RoleAdmin, protocol.RoleOwner, 1<<30)
}

// AddMember adds a member to a group that was locked. His Seq is a new version of
// the group. ErrExists: he is one.
func (t *Tx) AddMember(ctx context.Context, app protocol.AppID, g *Group, m Member, now time.Time) error {
	g.Version++
	res, err := t.q.exec(ctx, `INSERT INTO members (app, group_id, user_id, role, joined, joined_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING`, int64(app), g.ID, m.User, int64(m.Role), int64(g.Version), now.UnixMilli())
	return t.one(res, err, ErrExists, "add the member")
}

// UpdateMember changes a member's role, name, mute and option. ErrNotFound: he is
// none.
func (t *Tx) UpdateMember(ctx context.Context, app protocol.AppID, group string, m Member) error {
	res, err := t.q.exec(ctx, `UPDATE members SET role = $4, name_card = $5, muted_until = $6, recv_opt = $7 WHERE app = $1 AND group_id = $2 AND user_id = $3`,
		int64(app), group, m.User, int64(m.Role), m.Card, m.MutedUntil, int64(m.RecvOpt))
	return t.one(res, err, ErrNotFound, "change the member")
}

// RemoveMember removes a member. ErrNotFound: he is none.
func (t *Tx) RemoveMember(ctx context.Context, app protocol.AppID, group, user string) error {
	res, err := t.q.exec(ctx, `DELETE FROM members WHERE app = $1 AND group_id = $2 AND user_id = $3`, int64(app), group, user)
	return t.one(res, err, ErrNotFound, "remove the member")
}

// GroupCount is how many groups a user is a member of.
func (v View) GroupCount(ctx context.Context, app protocol.AppID, user string) (int, error) {
	var n int
	if err := v.q.row(ctx, `SELECT COUNT(*) FROM members WHERE app = $1 AND user_id = $2`, int64(app), user).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the user's groups: %w", err)
	}
	return n, nil
}
