package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/herald-im/herald/agent"
	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/logging"
	"github.com/herald-im/herald/media"
)

func runCommand(sh *shell) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Runs the daemon of this board until it is told to end (SIGTERM, Ctrl-C). SIGHUP
has it read its configuration again. Flags win over the configuration.

With a user and a UserSig it logs in by itself and stays logged in; without, it
waits for a program to call im.login.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "the configuration `file` (default "+configs.AgentPath+", if it is there)")
	f.String("state", "", "keep what must survive a restart in this `directory`")
	f.String("http", "", "listen on this TCP `address` besides; needs api.token_file")
	f.String("hub", "", "the hub's broker, an `URL` mqtt://HOST:PORT or mqtts://HOST:PORT")
	f.String("ca", "", "trust the certificates in this `file` with mqtts: the hub's ca.crt")
	f.String("user", "", "log in as this `account`")
	f.String("sig", "", "the `file` with the UserSig of the account")
	f.Bool("fake-media", false, "calls show a test picture and a tone instead of camera and sound")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		load := func() (configs.Agent, error) { return sh.loadAgent(file, cmd.Flags()) }
		cfg, err := load()
		if err != nil {
			return err
		}
		log, level := logging.New(os.Stderr, cfg.Log.Level)
		a, err := agent.New(cfg, agent.Logging{Logger: log, Level: level})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(cmd.Context())
		defer cancel()
		reload := make(chan configs.Agent)
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		var reloading sync.WaitGroup
		reloading.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-hup:
				}
				cfg, err := load()
				if err != nil {
					log.Error("the configuration is not read again: it is not valid", "err", err)
					continue
				}
				select {
				case reload <- cfg:
				case <-ctx.Done():
				}
			}
		})
		defer func() { cancel(); reloading.Wait() }()
		return a.Run(ctx, reload)
	}
	return cmd
}

// loadAgent reads the configuration and puts over it the flags that were given,
// and the environment's socket.
func (sh *shell) loadAgent(file string, flags *pflag.FlagSet) (configs.Agent, error) {
	cfg, err := configs.LoadAgent(file)
	if err != nil {
		return cfg, err
	}
	if socket := sh.env(socketVariable); socket != "" {
		cfg.API.Socket = socket
	}
	for name, to := range map[string]*string{
		"state": &cfg.State.Dir, "socket": &cfg.API.Socket, "http": &cfg.API.HTTP,
		"hub": &cfg.Hub.URL, "user": &cfg.Account.User, "sig": &cfg.Account.SigFile, "ca": &cfg.Hub.CAFile,
	} {
		if flag := flags.Lookup(name); flag.Changed {
			*to = flag.Value.String()
		}
	}
	if fake, err := flags.GetBool("fake-media"); err == nil && fake {
		cfg.Media.FrontCamera, cfg.Media.BackCamera = media.Fake, media.Fake
		cfg.Media.Microphone, cfg.Media.Speaker, cfg.Media.HandsFree = media.Fake, media.Fake, media.Fake
	}
	// The file's paths are absolute; a command line's begin here.
	for _, path := range []*string{&cfg.State.Dir, &cfg.API.Socket, &cfg.Account.SigFile} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return cfg, err
		}
	}
	return cfg, cfg.Validate()
}
