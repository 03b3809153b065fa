package store

import (
	"context"
	"fmt"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Role of a member, as the document's tables number them.
type Role uint8

const (
	RoleMember Role = 0
	RoleAdmin  Role = 1
	RoleOwner  Role = 2
)

// AddOpt says who may join a group by himself.
type AddOpt uint8

const (
	AddFree     AddOpt = 0 // everybody
	AddApproval AddOpt = 1 // on application
	AddNobody   AddOpt = 2
)

// Group is a group's row.
type Group struct {
	ID        string
	Type      string // protocol.GroupWork …
	Name      string
	Owner     string
	AddOpt    AddOpt
	Version   uint64 // rises with every change of the members
	Members   int
	BaseSeq   uint64 // head of the log before the group's first entry: an earlier group had the same id
	LiveEpoch uint32
	Dismissed bool
}

// Member is a member's row.
type Member struct {
	User string
	Role Role
}

// Group finds a group, also a dismissed one, or ErrNotFound.
func (v View) Group(ctx context.Context, app protocol.AppID, id string) (Group, error) {
	g := Group{ID: id}
	var dismissed int64
	err := v.q.row(ctx, `SELECT type, name, owner, add_opt, version, members, base_seq, live_epoch, dismissed
FROM chat_groups WHERE app = $1 AND id = $2`, int64(app), id).
		Scan(&g.Type, &g.Name, &g.Owner, &g.AddOpt, &g.Version, &g.Members, &g.BaseSeq, &g.LiveEpoch, &dismissed)
	if err != nil {
		return g, fmt.Errorf("read the group: %w", notFound(err))
	}
	g.Dismissed = dismissed != 0
	return g, nil
}

// LockGroup reads a group that is about to change. Other hubs' changes of it
// wait until the commit. Its version is a new one.
func (t *Tx) LockGroup(ctx context.Context, app protocol.AppID, id string) (Group, error) {
	if _, err := t.q.exec(ctx, `UPDATE chat_groups SET version = version + 1 WHERE app = $1 AND id = $2`, int64(app), id); err != nil {
		return Group{}, fmt.Errorf("lock the group: %w", err)
	}
	return t.Group(ctx, app, id)
}

func (g Group) args(app protocol.AppID, more ...any) []any {
	dismissed := 0
	if g.Dismissed {
		dismissed = 1
	}
	return append([]any{int64(app), g.ID, g.Type, g.Name, g.Owner, int64(g.AddOpt), int64(g.Version), g.Members,
		int64(g.BaseSeq), int64(g.LiveEpoch), dismissed}, more...)
}

// CreateGroup writes the row of a group whose id was never in use. ErrExists:
// it was.
func (t *Tx) CreateGroup(ctx context.Context, app protocol.AppID, g Group, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO chat_groups
(app, id, type, name, owner, add_opt, version, members, base_seq, live_epoch, dismissed, created_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`, g.args(app, now.UnixMilli())...)
	return t.one(res, err, ErrExists, "create the group")
}

// UpdateGroup writes the row of a group that was locked. ErrNotFound: it is not
// there.
func (t *Tx) UpdateGroup(ctx context.Context, app protocol.AppID, g Group) error {
	res, err := t.q.exec(ctx, `UPDATE chat_groups SET type = $3, name = $4, owner = $5, add_opt = $6, version = $7, members = $8,
base_seq = $9, live_epoch = $10, dismissed = $11 WHERE app = $1 AND id = $2`, g.args(app)...)
	return t.one(res, err, ErrNotFound, "write the group")
}

// Member finds a member, or ErrNotFound.
func (v View) Member(ctx context.Context, app protocol.AppID, group, user string) (Member, error) {
	m := Member{User: user}
	err := v.q.row(ctx, `SELECT role FROM members WHERE app = $1 AND group_id = $2 AND user_id = $3`, int64(app), group, user).Scan(&m.Role)
	if err != nil {
		return m, fmt.Errorf("read the member: %w", notFound(err))
	}
	return m, nil
}

// Members lists a group's members, the longest-standing first.
func (v View) Members(ctx context.Context, app protocol.AppID, group string) ([]Member, error) {
	out, err := collect(ctx, v.q, func(row scanner) (m Member, err error) { return m, row.Scan(&m.User, &m.Role) },
		`SELECT user_id, role FROM members WHERE app = $1 AND group_id = $2 ORDER BY joined`, int64(app), group)
	if err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	return out, nil
}

// AddMember adds a member to a group that was locked. ErrExists: he is one.
func (t *Tx) AddMember(ctx context.Context, app protocol.AppID, g Group, m Member, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO members (app, group_id, user_id, role, joined, joined_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING`, int64(app), g.ID, m.User, int64(m.Role), int64(g.Version), now.UnixMilli())
	return t.one(res, err, ErrExists, "add the member")
}

// SetRole changes a member's role. ErrNotFound: he is none.
func (t *Tx) SetRole(ctx context.Context, app protocol.AppID, group, user string, r Role) error {
	res, err := t.q.exec(ctx, `UPDATE members SET role = $4 WHERE app = $1 AND group_id = $2 AND user_id = $3`, int64(app), group, user, int64(r))
	return t.one(res, err, ErrNotFound, "change the member's role")
}

// RemoveMember removes a member. ErrNotFound: he is none.
func (t *Tx) RemoveMember(ctx context.Context, app protocol.AppID, group, user string) error {
	res, err := t.q.exec(ctx, `DELETE FROM members WHERE app = $1 AND group_id = $2 AND user_id = $3`, int64(app), group, user)
	return t.one(res, err, ErrNotFound, "remove the member")
}

// ClearGroup removes all members and applications of a group.
func (t *Tx) ClearGroup(ctx context.Context, app protocol.AppID, group string) error {
	_, err := t.q.exec(ctx, `DELETE FROM members WHERE app = $1 AND group_id = $2`, int64(app), group)
	if err == nil {
		_, err = t.q.exec(ctx, `DELETE FROM applications WHERE app = $1 AND group_id = $2`, int64(app), group)
	}
	if err != nil {
		return fmt.Errorf("clear the group: %w", err)
	}
	return nil
}

// GroupCount is how many groups a user is a member of.
func (v View) GroupCount(ctx context.Context, app protocol.AppID, user string) (int, error) {
	var n int
	if err := v.q.row(ctx, `SELECT COUNT(*) FROM members WHERE app = $1 AND user_id = $2`, int64(app), user).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the user's groups: %w", err)
	}
	return n, nil
}

// LiveRooms lists the AVChatRooms that a user is a member of.
func (v View) LiveRooms(ctx context.Context, app protocol.AppID, user string) ([]protocol.LiveRoom, error) {
	out, err := collect(ctx, v.q, func(row scanner) (r protocol.LiveRoom, err error) { return r, row.Scan(&r.Group, &r.Epoch) },
		`SELECT g.id, g.live_epoch FROM members m JOIN chat_groups g ON g.app = m.app AND g.id = m.group_id
WHERE m.app = $1 AND m.user_id = $2 AND g.type = $3 ORDER BY g.id`, int64(app), user, protocol.GroupAVChatRoom)
	if err != nil {
		return nil, fmt.Errorf("read the user's live rooms: %w", err)
	}
	return out, nil
}

// InLiveRoom tells whether a user is a member of an AVChatRoom whose epoch is
// this one.
func (v View) InLiveRoom(ctx context.Context, app protocol.AppID, group string, epoch uint32, user string) (bool, error) {
	var n int
	err := v.q.row(ctx, `SELECT COUNT(*) FROM members m JOIN chat_groups g ON g.app = m.app AND g.id = m.group_id
WHERE m.app = $1 AND m.group_id = $2 AND m.user_id = $3 AND g.type = $4 AND g.live_epoch = $5 AND g.dismissed = 0`,
		int64(app), group, user, protocol.GroupAVChatRoom, int64(epoch)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read the live room: %w", err)
	}
	return n > 0, nil
}

// Apply keeps an application to join a group; a newer one replaces it.
func (t *Tx) Apply(ctx context.Context, app protocol.AppID, group, user, msg string, now time.Time) error {
	_, err := t.q.exec(ctx, `INSERT INTO applications (app, group_id, user_id, msg, applied_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (app, group_id, user_id) DO UPDATE SET msg = excluded.msg, applied_ms = excluded.applied_ms`,
		int64(app), group, user, msg, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep the application: %w", err)
	}
	return nil
}

// Withdraw removes an application, if there is one.
func (t *Tx) Withdraw(ctx context.Context, app protocol.AppID, group, user string) error {
	_, err := t.q.exec(ctx, `DELETE FROM applications WHERE app = $1 AND group_id = $2 AND user_id = $3`, int64(app), group, user)
	if err != nil {
		return fmt.Errorf("remove the application: %w", err)
	}
	return nil
}

// Applications counts the applications to join a group.
func (v View) Applications(ctx context.Context, app protocol.AppID, group string) (int, error) {
	var n int
	err := v.q.row(ctx, `SELECT COUNT(*) FROM applications WHERE app = $1 AND group_id = $2`, int64(app), group).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the applications: %w", err)
	}
	return n, nil
}
