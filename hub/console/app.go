package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/certs"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func (o *options) app() *cobra.Command {
	cmd := group("app", "The app: its sdkAppId and its keys")
	keys := group("key", "The keys that UserSigs are made with")
	keys.AddCommand(o.addKey(), o.removeKey())
	cmd.AddCommand(o.show(), keys)
	return cmd
}

type appRow struct {
	SDKAppID protocol.AppID `json:"sdkAppId"`
	Keys     []keyRow       `json:"keys"` // in force, oldest first
	CA       string         `json:"ca,omitempty"`
}

type keyRow struct {
	ID      string    `json:"id"`
	Key     string    `json:"key"`
	Created time.Time `json:"created"`
}

func (o *options) show() *cobra.Command {
	secrets := false
	cmd := o.machine(o.where(&cobra.Command{
		Use: "show", Short: "Show the sdkAppId and the keys (with --json also their secrets)", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, app, cfg, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			keys, err := s.Keys(cmd.Context(), app)
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			out := appRow{SDKAppID: app, Keys: []keyRow{}}
			var b strings.Builder
			fmt.Fprintf(&b, "sdkAppId  %d\n", app)
			for _, k := range keys {
				if k.Removed {
					continue
				}
				out.Keys = append(out.Keys, keyRow{k.ID, k.Secret, k.Created.UTC()})
				fmt.Fprintf(&b, "key       %s  since %s", k.ID, k.Created.UTC().Format(time.RFC3339))
				if secrets {
					fmt.Fprintf(&b, "  %s", k.Secret)
				}
				b.WriteByte('\n')
			}
			ca := filepath.Join(cfg.Data.Dir, certs.CAFile)
			if _, err := os.Stat(ca); err == nil {
				out.CA = ca
				fmt.Fprintf(&b, "CA        %s\n", ca)
			}
			return o.answer(out, b.String())
		},
	}))
	cmd.Flags().BoolVar(&secrets, "secrets", false, "show the keys' secrets")
	return cmd
}

func (o *options) addKey() *cobra.Command {
	return o.machine(o.where(&cobra.Command{
		Use: "add [ID]", Short: "Make a new key; the others stay in force",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactly("ID")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				if id = args[0]; !validKeyID(id) {
					return usagef("ID: %q is not 1 to %d of A-Z a-z 0-9 _ -", id, maxKeyID)
				}
			}
			s, app, _, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			var key store.Key
			err = s.Write(cmd.Context(), func(ctx context.Context, tx *store.Tx) error {
				keys, err := tx.Keys(ctx, app)
				if err != nil {
					return err
				}
				if key = hub.NewKey(id, time.Now()); id == "" {
					key.ID = freeID(keys)
				}
				return tx.AddKey(ctx, app, key)
			})
			if errors.Is(err, store.ErrExists) {
				err = fmt.Errorf("the key %s exists, or did once: take another ID", id)
			}
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			return o.answer(keyRow{key.ID, key.Secret, key.Created.UTC()}, key.ID+"\n")
		},
	}))
}

const maxKeyID = 32 // bytes

// validKeyID tells whether s may name a key: the same rule as for accounts.
func validKeyID(s string) bool { return len(s) <= maxKeyID && protocol.ValidUserID(s) }

// freeID is the first of k1, k2, … that was never used.
func freeID(keys []store.Key) string {
	used := make(map[string]bool)
	for _, k := range keys {
		used[k.ID] = true
	}
	for n := 1; ; n++ {
		if id := fmt.Sprint("k", n); !used[id] {
			return id
		}
	}
}

func (o *options) removeKey() *cobra.Command {
	force := false
	cmd := o.machine(o.where(&cobra.Command{
		Use: "remove ID", Short: "End a key: its UserSigs are void and their sessions end", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := args[0]
			s, app, _, err := o.open(cmd.Context())
			if err != nil {
				return err
			}
			err = s.Write(cmd.Context(), func(ctx context.Context, tx *store.Tx) error {
				keys, err := tx.Keys(ctx, app)
				if err != nil {
					return err
				}
				left := 0
				for _, k := range keys {
					if !k.Removed && k.ID != id {
						left++
					}
				}
				now := time.Now()
				if err := tx.RemoveKey(ctx, app, id, now); err != nil {
					return err
				}
				if left == 0 && !force {
					return fmt.Errorf("%s is the last key, nobody could log in any more: make another with herald-hub app key add, or say --force", id)
				}
				return tx.AddOrder(ctx, store.Order{App: app, Kind: store.OrderKey, Arg: id}, now)
			})
			if errors.Is(err, store.ErrNotFound) {
				err = fmt.Errorf("there is no key %s in force: see herald-hub app show", id)
			}
			if err := errors.Join(err, s.Close()); err != nil {
				return err
			}
			return o.answer(map[string]any{"status": true, "id": id}, "")
		},
	}))
	cmd.Flags().BoolVar(&force, "force", false, "also the last one")
	return cmd
}
