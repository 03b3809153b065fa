// Package console is herald-hub's command line: it runs a hub, and it is the
// operator's hand on the accounts and keys, straight on the database, also while
// a hub runs. Exit codes: 0 done, 1 failed, 2 used wrongly. An error is one
// sentence on stderr that says what to do.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := &options{stdout: stdout, stderr: stderr}
	root := o.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "herald-hub: %s (see %s --help)\n", printable(err.Error(), "\n"), cmd.CommandPath())
		return 2
	}
	fmt.Fprintf(stderr, "herald-hub: %s\n", printable(err.Error(), "\n"))
	return 1
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// options are what the commands share.
type options struct {
	stdout, stderr io.Writer

	config, data, db string
	json             bool
}

func (o *options) root() *cobra.Command {
	root := group("herald-hub", "The authority of a Herald fleet: accounts, groups, messages and the broker for the boards")
	root.Version = protocol.BuildVersion
	root.SetVersionTemplate("herald-hub {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 { // the flag is that of a command that there is not
			return cmd.Args(cmd, cmd.Flags().Args())
		}
		return usagef("%v", err)
	})
	root.AddCommand(o.run(), o.user(), o.group(), o.friend(), o.importAll(), o.app(), o.files())
	return root
}

// group is a command that only has others below it.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q under %s", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Help(), usagef("a command is missing"))
		},
	}
}

// exactly wants that many arguments, named for the message.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// where adds the flags that find the database.
func (o *options) where(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration file (default "+configs.HubPath+")")
	f.StringVar(&o.data, "data", "", "data directory, wins over the file")
	f.StringVar(&o.db, "db", "", "postgres:// URL of the database, wins over the file")
	return cmd
}

// machine adds --json.
func (o *options) machine(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&o.json, "json", false, "answer in JSON")
	return cmd
}

// load reads the configuration and lets the flags win.
func (o *options) load() (configs.Hub, error) {
	cfg, err := configs.LoadHub(o.config)
	if err != nil {
		return cfg, err
	}
	if o.data != "" {
		cfg.Data.Dir = o.data
	}
	if o.db != "" {
		cfg.DB.URL = o.db
	}
	// A path is used long after the start; what is relative here must not be
	// there.
	if cfg.Data.Dir, err = filepath.Abs(cfg.Data.Dir); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// location is where the database is.
func location(cfg configs.Hub) string {
	if cfg.DB.URL != "" {
		return cfg.DB.URL
	}
	return filepath.Join(cfg.Data.Dir, store.File)
}

// open opens the database of a hub that has been started before.
func (o *options) open(ctx context.Context) (*store.Store, protocol.AppID, configs.Hub, error) {
	cfg, err := o.load()
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		return nil, 0, cfg, err
	}
	at := location(cfg)
	if !store.IsPostgres(at) {
		if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
			return nil, 0, cfg, fmt.Errorf("there is no hub in %s: start one with herald-hub run, or name its directory with --data", cfg.Data.Dir)
		}
	}
	s, err := store.Open(ctx, at)
	if err != nil {
		return nil, 0, cfg, err
	}
	apps, err := s.Apps(ctx)
	if err == nil && len(apps) != 1 {
		err = fmt.Errorf("the database %s has %d apps instead of one: start herald-hub run on it first", store.Redact(at), len(apps))
	}
	if err != nil {
		return nil, 0, cfg, errors.Join(err, s.Close())
	}
	return s, apps[0], cfg, nil
}

// answer prints v as JSON, or text where that was not asked for.
func (o *options) answer(v any, text string) error {
	if o.json {
		e := json.NewEncoder(o.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	_, err := io.WriteString(o.stdout, text)
	return err
}
