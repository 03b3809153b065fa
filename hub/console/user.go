package console

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

func (o *options) user() *cobra.Command {
	cmd := group("user", "The accounts")
	revoke := false
	kick := o.act("kick USER", "End an account's sessions", func(ctx context.Context, tx *store.Tx, app protocol.AppID, user string) error {
		now := time.Now()
		if _, err := tx.User(ctx, app, user); err != nil {
			return err
		}
		if revoke {
			// A UserSig has whole seconds: one of this second is to be void, too.
			if err := tx.Revoke(ctx, app, user, now.Add(time.Second)); err != nil {
				return err
			}
		}
		return tx.AddOrder(ctx, store.Order{App: app, Kind: store.OrderKick, User: user}, now)
	})
	kick.Long = `End an account's sessions. A board that logs in by its configuration comes back
after a minute, unless its UserSig is void; a program has to log in again.`
	kick.Flags().BoolVar(&revoke, "revoke", false, "also make void all UserSigs issued up to now")
	cmd.AddCommand(
		o.act("add USER", "Make an account", func(ctx context.Context, tx *store.Tx, app protocol.AppID, user string) error {
			return tx.CreateUser(ctx, app, user, time.Now())
		}),
		o.list(),
		o.showUser(),
		o.setUser(),
		o.sig(),
		kick,
		o.act("block USER", "Refuse an account's logins and end its sessions", func(ctx context.Context, tx *store.Tx, app protocol.AppID, user string) error {
			now := time.Now()
			if err := tx.SetBlocked(ctx, app, user, true, now); err != nil {
				return err
			}
			return tx.AddOrder(ctx, store.Order{App: app, Kind: store.OrderBlock, User: user}, now)
		}),
		o.act("unblock USER", "Let a blocked account log in again", func(ctx context.Context, tx *store.Tx, app protocol.AppID, user string) error {
			return tx.SetBlocked(ctx, app, user, false, time.Now())
		}),
	)
	return cmd
}

// act is a command that changes one account.
func (o *options) act(use, short string, f func(context.Context, *store.Tx, protocol.AppID, string) error) *cobra.Command {
	return o.machine(o.where(&cobra.Command{
		Use: use, Short: short, Args: exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := args[0]
			if err := protocol.CheckUserID("USER", user); err != nil {
				return usagef("%s", protocol.AsError(err).Msg)
			}
			s, app, _, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			err = s.Write(cmd.Context(), func(ctx context.Context, tx *store.Tx) error { return f(ctx, tx, app, user) })
			switch {
			case errors.Is(err, store.ErrNotFound):
				err = fmt.Errorf("there is no account %s: make it with herald-hub user add %s", user, user)
			case errors.Is(err, store.ErrExists):
				err = fmt.Errorf("the account %s exists already", user)
			}
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			return o.answer(map[string]any{"status": true, "userId": user}, "")
		},
	}))
}

type userRow struct {
	UserID  string    `json:"userId"`
	Created time.Time `json:"created"`
	Blocked bool      `json:"blocked"`
}

func (u userRow) state() string {
	if u.Blocked {
		return "blocked"
	}
	return "ok"
}

func (o *options) list() *cobra.Command {
	return o.machine(o.where(&cobra.Command{
		Use: "list", Short: "List the accounts", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, app, _, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			users, err := s.Users(cmd.Context(), app)
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			rows := make([]userRow, 0, len(users))
			var b strings.Builder
			w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "USER\tCREATED\tSTATE")
			for _, u := range users {
				rows = append(rows, userRow{u.ID, u.Created.UTC(), u.Blocked})
				fmt.Fprintf(w, "%s\t%s\t%s\n", u.ID, u.Created.UTC().Format(time.RFC3339), rows[len(rows)-1].state())
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return o.answer(rows, b.String())
		},
	}))
}

func (o *options) sig() *cobra.Command {
	expire := "180d"
	cmd := o.machine(o.where(&cobra.Command{
		Use: "sig USER", Short: "Print a UserSig, the ticket that a board logs in with", Args: exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := args[0]
			if err := protocol.CheckUserID("USER", user); err != nil {
				return usagef("%s", protocol.AsError(err).Msg)
			}
			d, err := parseSpan(expire)
			if err != nil {
				return usagef("--expire: %v", err)
			}
			s, app, cfg, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			claims, sig, err := o.makeSig(cmd.Context(), s, app, cfg, user, d)
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			return o.answer(map[string]any{
				"sdkAppId": app, "userId": user, "userSig": sig, "expires": claims.ExpiresAt().UTC(),
			}, sig+"\n")
		},
	}))
	cmd.Flags().StringVar(&expire, "expire", expire, "how long it is good for, such as 90m, 12h, 180d")
	return cmd
}

func (o *options) makeSig(ctx context.Context, s *store.Store, app protocol.AppID, cfg configs.Hub, user string, expire time.Duration) (claims usersig.Claims, sig string, err error) {
	if longest := time.Duration(cfg.Accounts.SigMaxExpire); expire > longest {
		return claims, "", fmt.Errorf("--expire: the hub takes UserSigs of at most %s (accounts.sig_max_expire)", longest)
	}
	keys, err := s.Keys(ctx, app)
	if err != nil {
		return claims, "", err
	}
	var secret string
	for _, k := range keys { // the newest in force
		if !k.Removed {
			secret = k.Secret
		}
	}
	if secret == "" {
		return claims, "", errors.New("the app has no key in force: make one with herald-hub app key add")
	}
	now := time.Now()
	issued := now
	u, err := s.User(ctx, app, user)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = s.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.CreateUser(ctx, app, user, now) })
		if errors.Is(err, store.ErrExists) { // it has just logged in
			err = nil
		}
		if err == nil {
			fmt.Fprintf(o.stderr, "herald-hub: the account %s was not there and has been made\n", user)
		}
	case err == nil && u.Blocked:
		fmt.Fprintf(o.stderr, "herald-hub: the account %s is blocked: this UserSig is of no use until herald-hub user unblock %s\n", user, user)
	}
	if err != nil {
		return claims, "", err
	}
	if after := time.Unix(u.RevokedBefore, 0); issued.Before(after) {
		issued = after // the second in which the older ones were made void
	}
	claims = usersig.Claims{AppID: uint32(app), UserID: user, IssuedAt: issued, Expire: expire}
	sig, err = usersig.Sign(claims, []byte(secret))
	return claims, sig, err
}

// parseSpan reads a duration, of whole seconds, in which "d" may stand for days.
func parseSpan(s string) (time.Duration, error) {
	var d time.Duration
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no time: write 90m, 12h or 180d", s)
		}
		d = time.Duration(n) * 24 * time.Hour
	} else {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, fmt.Errorf("%q is no time: write 90m, 12h or 180d", s)
		}
	}
	if d < time.Second || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a whole number of seconds, at least one", s)
	}
	return d, nil
}
