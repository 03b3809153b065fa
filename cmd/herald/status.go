package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/protocol"
)

func statusCommand(sh *shell) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the daemon is: account, link, queue, journal",
		Long: `Shows the account that is logged in, the link to the hub, what waits to be sent
and what programs may still read.

Exit codes: 0 logged in and the link is up; 3 not logged in, or no link; 1 the
daemon could not be asked.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := call(cmd.Context(), sh, protocol.GetStatus, protocol.Empty{})
			if err != nil {
				return err
			}
			if !sh.json {
				sh.columns("", append(sh.statusRows(&st), sh.currentCall(cmd.Context())...))
			}
			if st.LoginStatus != protocol.LoggedIn || st.Link != linkUp {
				return exitError(exitNotReady)
			}
			return nil
		},
	}
}

// linkUp is StatusResponse.Link while there is one.
const linkUp = "up"

func (sh *shell) statusRows(st *protocol.StatusResponse) [][]string {
	account := "none"
	if st.UserID != "" {
		account = st.UserID
		if st.SDKAppID != 0 {
			account += " of app " + st.SDKAppID.String()
		}
		if st.Terminal != "" {
			account += ", terminal " + st.Terminal
		}
	}
	login := map[protocol.LoginStatus]string{
		protocol.LoggedIn: "logged in", protocol.LoggingIn: "logging in", protocol.LoggedOut: "logged out",
	}[st.LoginStatus]
	link := st.Link
	if st.LinkSince > 0 {
		link += " since " + sh.clock(st.LinkSince)
		// The board's clock may be years away from the hub's.
		if d := sh.now().Sub(time.Unix(st.LinkSince, 0)); d >= 0 && d < 10*365*24*time.Hour {
			link += " (" + span(d) + ")"
		}
	}
	journal := "empty"
	if st.Journal.First <= st.Journal.Last {
		journal = fmt.Sprintf("positions %d to %d, %s", st.Journal.First, st.Journal.Last, size(st.Journal.Bytes))
	}
	if st.Journal.Trimmed > 0 {
		journal += fmt.Sprintf("; %d older ones had to go", st.Journal.Trimmed)
	}
	rows := [][]string{
		{"account", account},
		{"login", login},
		{"link", link},
		{"hub", st.Hub},
		{"queue", queueSummary(&st.Queue)},
		{"journal", journal},
		{"version", fmt.Sprintf("%s, up %s", st.Version, span(time.Duration(st.UptimeSeconds)*time.Second))},
	}
	if st.LastError != nil {
		rows = append(rows, []string{"error", st.LastError.Error()})
	}
	if hint := statusHint(st); hint != "" {
		rows = append(rows, []string{"hint", hint})
	}
	return rows
}

func queueSummary(q *protocol.QueueStatus) string {
	says := "empty"
	if q.Items > 0 {
		says = fmt.Sprintf("%d of %d messages, %s of %s", q.Items, q.MaxItems, size(q.Bytes), size(q.MaxBytes))
	}
	if q.Uploading > 0 {
		says += fmt.Sprintf("; %d with a file on its way", q.Uploading)
	}
	return says
}

// sigCodes are the errors that another UserSig mends.
var sigCodes = []protocol.Code{
	protocol.CodeUserSigExpired, protocol.CodeSvrAccountUserSigExpired, protocol.CodeSvrAccountUserSigEmpty,
	protocol.CodeSvrAccountUserSigCheckFailed, protocol.CodeSvrAccountUserSigCheckFailedEx,
	protocol.CodeSvrAccountUserSigMismatchPublicKey, protocol.CodeSvrAccountUserSigMismatchID,
	protocol.CodeSvrAccountUserSigMismatchSDKAppID, protocol.CodeSvrAccountInvalidUserSig, protocol.CodeLoginAuthFailed,
}

// statusHint says what to do next; nothing if all is well.
func statusHint(st *protocol.StatusResponse) string {
	var code protocol.Code
	if st.LastError != nil {
		code = st.LastError.Code
	}
	user := st.UserID
	if user == "" {
		user = "USER"
	}
	switch {
	case st.LoginStatus == protocol.LoggedIn && st.Link == linkUp:
		if q := &st.Queue; q.Items > q.MaxItems/10*9 && q.MaxItems >= 10 || q.Bytes > q.MaxBytes/10*9 && q.MaxBytes >= 10 {
			return "the queue is nearly full: more is sent than the link carries"
		}
		return ""
	case slices.Contains(sigCodes, code):
		return "log in with a new UserSig: \"herald-hub user sig " + user + "\" on the hub prints one"
	case code == protocol.CodeSvrAccountNotFound:
		return "make the account on the hub: herald-hub user add " + user
	case code == protocol.CodeSvrAccountBlacklist:
		return "the operator has blocked this account"
	case code == protocol.CodeLoginKickedOffByOther:
		return "the account is in use on another terminal of this platform; im.login takes it back"
	case st.LoginStatus == protocol.LoggedOut:
		return "set account.user and account.sig_file in the configuration and restart herald, or log in: herald api im.login --help"
	}
	return "check the network, and that the hub runs at " + st.Hub + "; what is sent meanwhile is queued"
}
