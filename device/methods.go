package device

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
)

// logLevels are im.init's, from 0: nothing, debug, info, warnings, errors.
var logLevels = [...]slog.Level{slog.LevelError + 100, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// Bind has the device answer the methods that are its own, and pass those on
// that are the hub's.
func (d *Device) Bind(t *protocol.Table[protocol.Caller]) {
	protocol.Bind(t, protocol.Init, d.init)
	protocol.Bind(t, protocol.Destroy, d.destroy)
	protocol.Bind(t, protocol.GetVersion, d.getVersion)
	protocol.Bind(t, protocol.GetServerTime, d.getServerTime)
	protocol.Bind(t, protocol.Login, d.login)
	protocol.Bind(t, protocol.Logout, d.logout)
	protocol.Bind(t, protocol.GetLoginUser, d.getLoginUser)
	protocol.Bind(t, protocol.GetLoginStatus, d.getLoginStatus)
	protocol.Bind(t, protocol.SendC2CTextMessage, d.sendC2CText)
	protocol.Bind(t, protocol.SendC2CCustomMessage, d.sendC2CCustom)
	protocol.Bind(t, protocol.SendGroupTextMessage, d.sendGroupText)
	protocol.Bind(t, protocol.SendGroupCustomMessage, d.sendGroupCustom)
	protocol.Bind(t, protocol.GetStatus, d.getStatus)
	protocol.Bind(t, protocol.GetQueue, d.getQueue)
	for _, m := range protocol.Methods() {
		if m.Route == protocol.Hub {
			protocol.BindForward(t, m, d.forward)
		}
	}
	protocol.Bind(t, protocol.GetICEServers, d.getICEServers)
	protocol.Bind(t, protocol.GetGroupApplicationList, d.getGroupApplications)
	protocol.Bind(t, protocol.AcceptGroupApplication, d.acceptGroupApplication)
	protocol.Bind(t, protocol.RefuseGroupApplication, d.refuseGroupApplication)
	protocol.Bind(t, protocol.GetFriendApplicationList, d.getFriendApplications)
	protocol.Bind(t, protocol.AcceptFriendApplication, d.acceptFriendApplication)
	protocol.Bind(t, protocol.RefuseFriendApplication, d.refuseFriendApplication)
	protocol.Bind(t, protocol.DeleteFriendApplication, d.deleteFriendApplication)
	d.bindMessages(t)
}

func (d *Device) forward(ctx context.Context, _ protocol.Caller, method string, body []byte) ([]byte, error) {
	s, err := d.current()
	if err != nil {
		return nil, err
	}
	return s.ask(ctx, method, body)
}

func (d *Device) sendC2CText(ctx context.Context, _ protocol.Caller, r protocol.C2CTextRequest) (protocol.SendResponse, error) {
	return d.post(ctx, protocol.ItemC2C, r.UserID, protocol.Message{Elem: protocol.ElemText, Text: r.Text}, 0)
}

func (d *Device) sendC2CCustom(ctx context.Context, _ protocol.Caller, r protocol.C2CCustomRequest) (protocol.SendResponse, error) {
	return d.post(ctx, protocol.ItemC2C, r.UserID, protocol.Message{Elem: protocol.ElemCustom, Custom: r.CustomData}, 0)
}

func (d *Device) sendGroupText(ctx context.Context, _ protocol.Caller, r protocol.GroupTextRequest) (protocol.SendResponse, error) {
	return d.post(ctx, protocol.ItemGroup, r.GroupID, protocol.Message{Elem: protocol.ElemText, Text: r.Text}, r.Priority)
}

func (d *Device) sendGroupCustom(ctx context.Context, _ protocol.Caller, r protocol.GroupCustomRequest) (protocol.SendResponse, error) {
	return d.post(ctx, protocol.ItemGroup, r.GroupID, protocol.Message{Elem: protocol.ElemCustom, Custom: r.CustomData}, r.Priority)
}

func (d *Device) post(ctx context.Context, kind protocol.ItemKind, to string, m protocol.Message, priority uint8) (protocol.SendResponse, error) {
	s, err := d.current()
	if err != nil {
		return protocol.SendResponse{}, err
	}
	return s.send(ctx, kind, to, m, priority)
}

func (d *Device) getVersion(context.Context, protocol.Caller, protocol.Empty) (protocol.VersionResponse, error) {
	return protocol.VersionResponse{Version: protocol.BuildVersion}, nil
}

func (d *Device) getServerTime(context.Context, protocol.Caller, protocol.Empty) (protocol.ServerTimeResponse, error) {
	if err := d.initialized(); err != nil {
		return protocol.ServerTimeResponse{}, err
	}
	ms, known := d.clock.now()
	if !known {
		return protocol.ServerTimeResponse{}, protocol.Errorf(protocol.CodeNetDisconnect, "the hub has not told its time yet: there was no link since the start")
	}
	return protocol.ServerTimeResponse{ServerTime: ms / 1000}, nil
}

func (d *Device) initialized() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.destroyed {
		return errNotInitialized
	}
	return nil
}

func (d *Device) getLoginUser(context.Context, protocol.Caller, protocol.Empty) (protocol.LoginUserResponse, error) {
	st := d.Status()
	return protocol.LoginUserResponse{UserID: st.UserID}, d.initialized()
}

func (d *Device) getLoginStatus(context.Context, protocol.Caller, protocol.Empty) (protocol.LoginStatusResponse, error) {
	st := d.Status()
	return protocol.LoginStatusResponse{LoginStatus: st.LoginStatus}, d.initialized()
}

func (d *Device) getStatus(context.Context, protocol.Caller, protocol.Empty) (protocol.StatusResponse, error) {
	return d.Status(), nil
}

// Status tells how the board is.
func (d *Device) Status() protocol.StatusResponse {
	st := protocol.StatusResponse{
		Version: protocol.BuildVersion, Terminal: d.terminal, LoginStatus: protocol.LoggedOut, Link: "down",
		Hub: d.cfg.HubAddr, Journal: d.journal.Status(), UptimeSeconds: int64(d.uptime() / time.Second),
		Queue: protocol.QueueStatus{MaxItems: d.cfg.Outbox.MaxItems, MaxBytes: d.cfg.Outbox.MaxBytes},
	}
	d.mu.Lock()
	s := d.session
	if d.last != nil {
		st.Queue = d.last.queue()
	}
	st.LastError = d.lastErr
	d.mu.Unlock()
	if s == nil || s.over() {
		return st
	}
	st.UserID, st.SDKAppID, st.LoginStatus = s.user, s.app, protocol.LoggingIn
	if s.loggedIn() {
		st.LoginStatus = protocol.LoggedIn
	}
	s.mu.Lock()
	st.Link, st.LinkSince, st.LastError = s.link, s.since, s.lastErr
	s.mu.Unlock()
	return st
}

func (d *Device) getQueue(_ context.Context, _ protocol.Caller, r protocol.QueueRequest) (protocol.QueueResponse, error) {
	s, err := d.latest()
	if err != nil {
		return protocol.QueueResponse{}, err
	}
	items, err := s.box.Head(r.Count, 1<<30)
	if err != nil {
		return protocol.QueueResponse{}, protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
	}
	res := protocol.QueueResponse{QueueStatus: s.queue(), List: make([]protocol.QueueItem, 0, len(items))}
	for _, it := range items {
		p, _ := s.asPending(it) // marks, too
		res.List = append(res.List, p.queued())
	}
	for _, p := range slices.Backward(s.uploads.pending(s)) {
		if len(res.List) == r.Count {
			break
		}
		res.List = append(res.List, p.queued())
	}
	return res, nil
}

// queue sums up what waits.
func (s *session) queue() protocol.QueueStatus {
	st := s.box.Status()
	st.Uploading = s.uploads.count()
	return st
}
