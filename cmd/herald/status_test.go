package main

import (
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func TestStatus(t *testing.T) {
	d := newDaemon(t)
	well := protocol.StatusResponse{
		Version: "1.2", UserID: "door", SDKAppID: 1400000001, Terminal: "k3", Link: "up", LinkSince: noon.Unix() - 3*3600 - 65,
		Hub: "mqtt://hub:1883", Queue: protocol.QueueStatus{MaxItems: 1000, MaxBytes: 64 << 20},
		Journal: protocol.JournalStatus{First: 3, Last: 12, Bytes: 4096, Trimmed: 2}, UptimeSeconds: 200000,
	}
	d.status = well
	code, out, errs := d.herald("", "status")
	want := `account  door of app 1400000001, terminal k3
login    logged in
link     up since 08:58:55 (3h01m)
hub      mqtt://hub:1883
queue    empty
journal  positions 3 to 12, 4.0 KiB; 2 older ones had to go
version  1.2, up 2d07h
`
	if code != 0 || out != want || errs != "" {
		t.Errorf("exit %d %q\n%s\nwant\n%s", code, errs, out, want)
	}
	if code, out, _ := d.herald("", "status", "--json"); code != 0 || !strings.HasPrefix(out, `{"status":true,"version":"1.2","userId":"door","sdkAppId":1400000001,`) {
		t.Errorf("--json: %d %s", code, out)
	}

	type change func(*protocol.StatusResponse)
	failed := func(code protocol.Code) change {
		return func(st *protocol.StatusResponse) {
			st.Link, st.LinkSince, st.LoginStatus = "down", 1, protocol.LoggedOut
			st.LastError = protocol.Errorf(code, "")
		}
	}
	for name, c := range map[string]struct {
		change change
		code   int
		says   []string
	}{
		"link down": {func(st *protocol.StatusResponse) {
			st.Link, st.LinkSince = "connecting", noon.Unix()-100000
			st.Queue.Items, st.Queue.Bytes = 7, 2000
			st.LastError = protocol.Errorf(protocol.CodeNetConnTimeout, "dial: \x1b]0;timeout")
		}, 3, []string{"connecting since 2026-07-29 08:13:20 (1d03h)", "7 of 1000 messages, 2.0 KiB of 64.0 MiB",
			`error    dial: \x1b]0;timeout (code 9510)`, "check the network, and that the hub runs at mqtt://hub:1883"}},
		"a clock of 1970": {func(st *protocol.StatusResponse) { st.LinkSince = noon.Unix() + 1e9 }, 0, []string{"link     up since 2058-"}},
		"nobody": {func(st *protocol.StatusResponse) {
			*st = protocol.StatusResponse{Version: "1.2", Link: "down", LoginStatus: protocol.LoggedOut, Journal: protocol.JournalStatus{First: 1}}
		}, 3, []string{"account  none", "login    logged out", "link     down\n", "journal  empty\n", "account.sig_file"}},
		"logging in":        {func(st *protocol.StatusResponse) { st.LoginStatus = protocol.LoggingIn }, 3, []string{"login    logging in"}},
		"expired":           {failed(protocol.CodeUserSigExpired), 3, []string{"herald-hub user sig door", "code 6206"}},
		"unknown":           {failed(protocol.CodeSvrAccountNotFound), 3, []string{"herald-hub user add door"}},
		"blocked":           {failed(protocol.CodeSvrAccountBlacklist), 3, []string{"blocked"}},
		"kicked":            {failed(protocol.CodeLoginKickedOffByOther), 3, []string{"another terminal"}},
		"queue nearly full": {func(st *protocol.StatusResponse) { st.Queue.Items = 950 }, 0, []string{"nearly full"}},
	} {
		d.status = well
		c.change(&d.status)
		code, out, _ := d.herald("", "status")
		if code != c.code {
			t.Errorf("%s: exit %d, want %d", name, code, c.code)
		}
		for _, says := range c.says {
			if !strings.Contains(out, says) {
				t.Errorf("%s: no %q in\n%s", name, says, out)
			}
		}
	}
}

func TestQueue(t *testing.T) {
	d := newDaemon(t)
	if code, out, _ := d.herald("", "queue"); code != 0 || out != "queue: empty\n" {
		t.Errorf("%d %q", code, out)
	}
	d.queue = protocol.QueueResponse{
		QueueStatus: protocol.QueueStatus{Items: 3, Bytes: 300, MaxItems: 100, MaxBytes: 1 << 20},
		List: []protocol.QueueItem{
			{MsgID: "m-1", UserID: "indoor", Bytes: 100, QueuedAt: noon.Unix() - 60},
			{MsgID: "m-2", GroupID: "house\x1b", Bytes: 20, QueuedAt: noon.Unix() - 86400},
		},
	}
	want := `queue: 3 of 100 messages, 300 B of 1.0 MiB
QUEUED               TO               BYTES  MESSAGE
11:59:00             indoor           100    m-1
2026-07-29 12:00:00  group house\x1b  20     m-2
and 1 more (--count)
`
	if code, out, _ := d.herald("", "queue"); code != 0 || out != want {
		t.Errorf("%d\n%s\nwant\n%s", code, out, want)
	}
	if code, out, _ := d.herald("", "queue", "--json"); code != 0 || !strings.HasPrefix(out, `{"status":true,"items":3,`) {
		t.Errorf("%d %s", code, out)
	}
}
