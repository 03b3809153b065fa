package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Group is a group's row.
type Group struct {
	ID           string
	Type         string // protocol.GroupWork …
	Name         string
	Owner        string
	AddOpt       protocol.AddOpt
	Version      uint64 // rises with every change of the members
	Members      int
	BaseSeq      uint64 // head of the log before the group's first entry: an earlier group had the same id
	LiveEpoch    uint32
	Dismissed    bool
	Introduction string
	Notification string
	Face         string
	AllMuted     bool
	Changed      time.Time         // when one of the texts, AddOpt, AllMuted or the owner was changed last
	Created      time.Time         // not written by UpdateGroup
	Attributes   map[string]string // nil: none
}

const groupColumns = `g.id, g.type, g.name, g.owner, g.add_opt, g.version, g.members, g.base_seq, g.live_epoch, g.dismissed,
g.introduction, g.notification, g.face, g.all_muted, g.changed_ms, g.created_ms, g.attributes`

func scanGroup(row scanner, more ...any) (g Group, err error) {
	var dismissed, muted, changed, created int64
	var attributes string
	err = row.Scan(append([]any{&g.ID, &g.Type, &g.Name, &g.Owner, &g.AddOpt, &g.Version, &g.Members, &g.BaseSeq, &g.LiveEpoch, &dismissed,
		&g.Introduction, &g.Notification, &g.Face, &muted, &changed, &created, &attributes}, more...)...)
	g.Dismissed, g.AllMuted = dismissed != 0, muted != 0
	g.Changed, g.Created = time.UnixMilli(changed), time.UnixMilli(created)
	if err == nil && attributes != "" {
		err = json.Unmarshal([]byte(attributes), &g.Attributes)
	}
	return g, err
}

// Group finds a group, also a dismissed one, or ErrNotFound.
func (v View) Group(ctx context.Context, app protocol.AppID, id string) (Group, error) {
	g, err := scanGroup(v.q.row(ctx, `SELECT `+groupColumns+` FROM chat_groups g WHERE app = $1 AND id = $2`, int64(app), id))
	if err != nil {
		return g, fmt.Errorf("read the group: %w", notFound(err))
	}
	return g, nil
}

// Groups lists the groups that are not dismissed with an id after this one, by id,
// at most limit.
func (v View) Groups(ctx context.Context, app protocol.AppID, after string, limit int) ([]Group, error) {
	out, err := collect(ctx, v.q, func(row scanner) (Group, error) { return scanGroup(row) },
		`SELECT `+groupColumns+` FROM chat_groups g WHERE app = $1 AND id > $2 AND dismissed = 0 ORDER BY id LIMIT $3`, int64(app), after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the groups: %w", err)
	}
	return out, nil
}

// Joined is a group with what an account is in it.
type Joined struct {
	Group
	Member
}

// GroupsOf lists the groups that a user is a member of.
func (v View) GroupsOf(ctx context.Context, app protocol.AppID, user string) ([]Joined, error) {
	out, err := collect(ctx, v.q, func(row scanner) (j Joined, err error) {
		m := &j.Member
		var until, joined int64
		j.Group, err = scanGroup(row, &m.User, &m.Role, &m.Card, &until, &m.RecvOpt, &m.Seq, &joined)
		m.MutedUntil, m.JoinedAt = until, joined
		return j, err
	}, `SELECT `+groupColumns+`, `+memberColumns+` FROM members m JOIN chat_groups g ON g.app = m.app AND g.id = m.group_id
WHERE m.app = $1 AND m.user_id = $2`, int64(app), user)
	if err != nil {
		return nil, fmt.Errorf("read the user's groups: %w", err)
	}
	return out, nil
}

// LockGroup reads a group that is about to change. Other hubs' changes of it
// wait until the commit. Its version is a new one.
func (t *Tx) LockGroup(ctx context.Context, app protocol.AppID, id string) (Group, error) {
	if _, err := t.q.exec(ctx, `UPDATE chat_groups SET version = version + 1 WHERE app = $1 AND id = $2`, int64(app), id); err != nil {
		return Group{}, fmt.Errorf("lock the group: %w", err)
	}
	return t.Group(ctx, app, id)
}

func (g Group) args(app protocol.AppID, more ...any) ([]any, error) {
	attributes := ""
	if len(g.Attributes) > 0 {
		b, err := json.Marshal(g.Attributes)
		if err != nil {
			return nil, err
		}
		attributes = string(b)
	}
	return append([]any{int64(app), g.ID, g.Type, g.Name, g.Owner, int64(g.AddOpt), int64(g.Version), g.Members,
		int64(g.BaseSeq), int64(g.LiveEpoch), bit(g.Dismissed), g.Introduction, g.Notification, g.Face, bit(g.AllMuted), g.Changed.UnixMilli(), attributes}, more...), nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// CreateGroup writes the row of a group whose id was never in use. ErrExists:
// it was.
func (t *Tx) CreateGroup(ctx context.Context, app protocol.AppID, g Group) error {
	args, err := g.args(app, g.Created.UnixMilli())
	if err != nil {
		return err
	}
	res, err := t.q.exec(ctx, `INSERT INTO chat_groups
(app, id, type, name, owner, add_opt, version, members, base_seq, live_epoch, dismissed, introduction, notification, face, all_muted, changed_ms, attributes, created_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT DO NOTHING`, args...)
	return t.one(res, err, ErrExists, "create the group")
}

// UpdateGroup writes the row of a group that was locked. ErrNotFound: it is not
// there.
func (t *Tx) UpdateGroup(ctx context.Context, app protocol.AppID, g Group) error {
	args, err := g.args(app)
	if err != nil {
		return err
	}
	res, err := t.q.exec(ctx, `UPDATE chat_groups SET type = $3, name = $4, owner = $5, add_opt = $6, version = $7, members = $8,
base_seq = $9, live_epoch = $10, dismissed = $11, introduction = $12, notification = $13, face = $14, all_muted = $15, changed_ms = $16, attributes = $17
WHERE app = $1 AND id = $2`, args...)
	return t.one(res, err, ErrNotFound, "write the group")
}

// RecreateGroup is UpdateGroup for a group whose id was dismissed: it begins anew.
func (t *Tx) RecreateGroup(ctx context.Context, app protocol.AppID, g Group) error {
	err := t.UpdateGroup(ctx, app, g)
	if err == nil {
		_, err = t.q.exec(ctx, `UPDATE chat_groups SET created_ms = $3 WHERE app = $1 AND id = $2`, int64(app), g.ID, g.Created.UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("make the group anew: %w", err)
	}
	return nil
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

// LastMessage is when something was said last in a log, above a seq; zero: nothing
// was among the newest entries, of which it looks at so many.
func (v View) LastMessage(ctx context.Context, id LogID, above uint64, looks int) (time.Time, error) {
	var ms int64
	err := v.q.row(ctx, `SELECT COALESCE(MAX(time_ms), 0) FROM (SELECT time_ms, kind FROM entries WHERE log_id = $1 AND seq > $2
ORDER BY seq DESC LIMIT $3) newest WHERE kind = $4`, int64(id), int64(above), looks, int64(protocol.EntryMessage)).Scan(&ms)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the last message: %w", err)
	}
	if ms == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(ms), nil
}

// LastSaid is LastMessage however many entries there are after it.
func (v View) LastSaid(ctx context.Context, id LogID, above uint64) (time.Time, error) {
	var ms int64
	err := v.q.row(ctx, `SELECT time_ms FROM entries WHERE log_id = $1 AND seq > $2 AND kind = $3 ORDER BY seq DESC LIMIT 1`,
		int64(id), int64(above), int64(protocol.EntryMessage)).Scan(&ms)
	if err := notFound(err); errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	} else if err != nil {
		return time.Time{}, fmt.Errorf("read the last message: %w", err)
	}
	return time.UnixMilli(ms), nil
}
