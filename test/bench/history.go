package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

const (
	longLog       = 1_000_000 // messages of one conversation
	missed        = 100_000   // of them the board is told, which is the hub's limit
	conversations = 1000      // that the board has besides
)

// history lets a board that was away catch up, and reads what is old.
func history(ctx context.Context, b *bench) (rows []row, err error) {
	err = b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		door, indoor, err := pair(ctx, h, hub, "[mirror]\nmax_per_conversation = 200000\nmax_bytes = \"512MiB\"\n[journal]\nmax_events = 1000000\nmax_bytes = \"512MiB\"\n")
		if err != nil {
			return err
		}
		defer door.Kill()
		defer indoor.Kill()
		// Before it goes away it has the conversation's first message.
		if _, err := client.Call(ctx, indoor.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: "door", Text: "first"}); err != nil {
			return err
		}
		if err := awaitStatus(ctx, door, func(st protocol.StatusResponse) bool { return st.Journal.Last >= 2 }); err != nil {
			return err
		}
		door.Kill()
		if err := hub.Stop(); err != nil {
			return err
		}
		if err := fillHub(ctx, filepath.Join(hub.Data, store.File)); err != nil {
			return err
		}
		if err := hub.Start(ctx); err != nil {
			return err
		}
		if rows, err = catchUp(ctx, door, indoor); err != nil {
			return err
		}
		more, err := pages(ctx, door)
		rows = append(rows, more...)
		return err
	})
	return rows, err
}

// fillHub writes into a hub's database what door has missed.
func fillHub(ctx context.Context, path string) error {
	s, err := store.OpenAsOwner(ctx, path)
	if err != nil {
		return err
	}
	apps, err := s.Apps(ctx)
	if err != nil || len(apps) != 1 {
		return errors.Join(err, fmt.Errorf("%d apps", len(apps)), s.Close())
	}
	app := apps[0]
	body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: payload})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	eras, err := s.Eras(ctx, 1)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	era := eras[len(eras)-1].Ord
	now := time.Now()
	fill := func(name, from string, n int) error {
		for done := 0; done < n; done += 1000 {
			err := s.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
				l, made, err := tx.EnsureLog(ctx, app, name)
				if err != nil {
					return err
				}
				if made {
					err = errors.Join(tx.SetReader(ctx, app, "door", l.ID, 0, 0), tx.SetReader(ctx, app, from, l.ID, 0, 0))
					if err != nil {
						return err
					}
				}
				part := min(1000, n-done)
				first, err := tx.Extend(ctx, l.ID, part, era)
				if err != nil {
					return err
				}
				rows := make([]store.Row, part)
				for i := range rows {
					seq := first + uint64(i)
					rows[i] = store.Row{Log: l.ID, Entry: &protocol.Entry{
						Seq: seq, Era: era, Time: now.UnixMilli(), Kind: protocol.EntryMessage, From: from, Term: "bench",
						MsgID: protocol.MsgID(protocol.MsgIDPrefix(app, from, name, 1), seq), Body: body,
					}}
				}
				return tx.Insert(ctx, rows)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	err = fill(protocol.C2CLog("door", "indoor"), "indoor", longLog-1)
	for i := 0; i < conversations && err == nil; i++ {
		user := fmt.Sprintf("friend%d", i)
		err = s.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.CreateUser(ctx, app, user, now) })
		if err == nil {
			err = fill(protocol.C2CLog("door", user), user, 1)
		}
	}
	return errors.Join(err, s.Close())
}

// catchUp starts the board that was away, while others go on writing to it.
func catchUp(ctx context.Context, door, indoor *rig.Board) ([]row, error) {
	began := time.Now()
	if err := door.Start(ctx); err != nil {
		return nil, err
	}
	if err := indoor.AwaitLink(ctx, "up"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	came := make(chan time.Time, 1)
	go func() {
		_ = door.Client().Events(ctx, client.EventsOptions{Listen: []string{"simple"}, From: 1}, func(e client.Event) error {
			if e.Name == protocol.OnRecvGroupTextMessage.Info().Name {
				came <- time.Now()
			}
			return nil
		})
	}()
	// A group of its own: within one conversation the order stays.
	c := indoor.Client()
	if _, err := client.Call(ctx, c, protocol.CreateGroup, protocol.CreateGroupRequest{GroupType: protocol.GroupWork, GroupID: "yard", GroupName: "yard"}); err != nil {
		return nil, err
	}
	if _, err := client.Call(ctx, c, protocol.InviteUserToGroup, protocol.InviteToGroupRequest{GroupID: "yard", UserIDList: []string{"door"}}); err != nil {
		return nil, err
	}
	var took []time.Duration
	var all time.Duration
	for all == 0 || len(took) < 5 {
		sent := time.Now()
		if _, err := client.Call(ctx, c, protocol.SendGroupTextMessage, protocol.GroupTextRequest{GroupID: "yard", Text: "new"}); err != nil {
			return nil, err
		}
		select {
		case at := <-came:
			took = append(took, at.Sub(sent))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		st, err := status(ctx, door)
		if err != nil {
			return nil, err
		}
		if all == 0 && st.Journal.Last >= 2*missed {
			all = time.Since(began)
		}
	}
	slowest := quantile(took, 1)
	how := fmt.Sprintf("A board that was away starts. Its account has missed %d messages of %d B in one conversation, of which the hub tells the last %d and says so, "+
		"and one in each of %d others. Meanwhile another board writes to a group they are both in, one message after the other, each timed from the call to its event (%d of them).",
		longLog, messageBytes, missed, conversations, len(took))
	return []row{
		{fmt.Sprintf("%d missed messages caught up, from the start of the board", missed), "≤ 10 s", fmt.Sprintf("%.1f s", all.Seconds()), all <= 10*time.Second, how},
		{"a new message meanwhile, call → event, slowest", "≤ 1 s", round(slowest), slowest <= time.Second, ""},
	}, nil
}

// pages reads histories and the list.
func pages(ctx context.Context, door *rig.Board) ([]row, error) {
	c := door.Client()
	page := func(before string) (protocol.HistoryResponse, time.Duration, error) {
		began := time.Now()
		res, err := client.Call(ctx, c, protocol.GetC2CHistory, protocol.C2CHistoryRequest{UserID: "indoor", Count: 20, MsgID: before})
		if err == nil && len(res.MessageList) != 20 {
			err = fmt.Errorf("a page of %d messages", len(res.MessageList))
		}
		return res, time.Since(began), err
	}
	walk := func(before string, n int) (took []time.Duration, last string, err error) {
		for range n {
			res, d, err := page(before)
			if err != nil {
				return nil, "", err
			}
			took, before = append(took, d), res.MessageList[19].MsgID
		}
		return took, before, nil
	}
	held, last, err := walk("", 500)
	if err != nil {
		return nil, err
	}
	for range missed/100 + 20 { // to where the mirror ends, and beyond
		res, err := client.Call(ctx, c, protocol.GetC2CHistory, protocol.C2CHistoryRequest{UserID: "indoor", Count: 100, MsgID: last})
		if err != nil {
			return nil, err
		}
		last = res.MessageList[len(res.MessageList)-1].MsgID
	}
	hubs, _, err := walk(last, 500)
	if err != nil {
		return nil, err
	}
	var lists []time.Duration
	for range 20 {
		began := time.Now()
		res, err := c.CallRaw(ctx, protocol.GetConversationList.Info().Name, []byte(`{"count":1000}`))
		if err != nil {
			return nil, err
		}
		lists = append(lists, time.Since(began))
		if n := bytes.Count(res, []byte(`"lastMessage"`)); n != 1000 {
			return nil, fmt.Errorf("a list of %d", n)
		}
	}
	a, b, l := quantile(held, 0.5), quantile(hubs, 0.5), quantile(lists, 0.5)
	how := fmt.Sprintf("Over the unix socket, in a conversation of %d messages of %d B: 500 pages from the newest on, which the board holds, and 500 beyond what it holds, each of which asks the hub. The list has the last message of each of 1000 conversations; it is timed to the last byte of its JSON.",
		longLog, messageBytes)
	return []row{
		{"history, a page of 20, from the board's mirror, p50", "≤ 2 ms", round(a), a <= 2*time.Millisecond, how},
		{"the same from the hub, p50", "≤ 15 ms", round(b), b <= 15*time.Millisecond, ""},
		{"list of 1000 conversations, p50", "≤ 10 ms", round(l), l <= 10*time.Millisecond, ""},
	}, nil
}
