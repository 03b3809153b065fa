package console

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// profileRow is an account with its profile.
type profileRow struct {
	userRow
	NickName      string             `json:"nickName"`
	FaceURL       string             `json:"faceUrl"`
	SelfSignature string             `json:"selfSignature"`
	Gender        protocol.Gender    `json:"gender"`
	AllowType     protocol.AllowType `json:"allowType"`
}

// addedBy says who may add an account as a friend, by protocol.AllowType.
var addedBy = [...]string{"everybody", "nobody", "on application"}

func (o *options) showUser() *cobra.Command {
	return o.operated("show USER", "Show an account and its profile", exactly("USER"), func(cmd *cobra.Command, args []string) error {
		s, app, _, err := o.open(cmd.Context())
		if err != nil {
			return err
		}
		u, err := s.User(cmd.Context(), app, args[0])
		var p store.Profile
		if err == nil {
			p, err = s.Profile(cmd.Context(), app, args[0])
		}
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("there is no account %s: see herald-hub user list", oneLine(args[0]))
		}
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
		row := profileRow{userRow{u.ID, u.Created.UTC(), u.Blocked}, p.Nick, p.Face, p.Signature, p.Gender, p.AllowType}
		var b strings.Builder
		line := func(name, value string) {
			if value != "" {
				fmt.Fprintf(&b, "%-14s%s\n", name, oneLine(value))
			}
		}
		line("user", row.UserID)
		line("state", row.state())
		line("made", row.Created.Format(time.RFC3339))
		line("nickname", p.Nick)
		line("picture", p.Face)
		line("signature", p.Signature)
		line("gender", [...]string{"", "male", "female"}[min(p.Gender, protocol.GenderFemale)])
		line("may be added", addedBy[min(int(p.AllowType), len(addedBy)-1)])
		return o.answer(row, b.String())
	})
}

func (o *options) setUser() *cobra.Command {
	var nick, face, signature string
	var gender, allow uint8
	cmd := o.operated("set USER", "Change an account's profile", exactly("USER"), nil)
	f := cmd.Flags()
	f.StringVar(&nick, "nickname", "", "what others see")
	f.StringVar(&face, "face", "", "URL of a picture")
	f.StringVar(&signature, "signature", "", "what the account says of itself")
	f.Uint8Var(&gender, "gender", 0, "0 unknown, 1 male, 2 female")
	f.Uint8Var(&allow, "allow", 0, "who may add it as a friend: 0 everybody, 1 nobody, 2 on application")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := protocol.CheckUserID("USER", args[0]); err != nil {
			return usagef("%s", protocol.AsError(err).Msg)
		}
		var a protocol.SelfInfoRequest
		g, t := protocol.Gender(gender), protocol.AllowType(allow)
		for flag, set := range map[string]func(){
			"nickname": func() { a.NickName = &nick }, "face": func() { a.FaceURL = &face }, "signature": func() { a.SelfSignature = &signature },
			"gender": func() { a.Gender = &g }, "allow": func() { a.AllowType = &t },
		} {
			if f.Changed(flag) {
				set()
			}
		}
		if a == (protocol.SelfInfoRequest{}) {
			return usagef("there is nothing to change: name it with a flag")
		}
		return o.ask(cmd, protocol.SetSelfInfo.Info().Name, args[0], a)
	}
	return cmd
}
