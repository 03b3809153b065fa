package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// Exit codes. They are a contract with scripts: see the root command's help.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotReady = 3 // of status
)

// shell is what a command has around it, and the flags that all have.
type shell struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	zone     *time.Location
	piped    bool // in comes from a file or another program
	terminal bool // err is shown on a terminal

	socket string
	json   bool
}

// socketVariable of the environment names the socket where --socket does not.
const socketVariable = "HERALD_SOCKET"

// usageError is a mistake in the command line that only the command could see.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError ends the program with a code, without a word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// execute runs a command line and returns the exit code.
func execute(ctx context.Context, args []string, sh *shell) int {
	root := newRoot(sh)
	started := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkEmpty(cmd); err != nil {
			return err
		}
		started = true
		return nil
	}
	root.SetArgs(args)
	root.SetIn(sh.in)
	root.SetOut(sh.out)
	root.SetErr(sh.err)
	cmd, err := root.ExecuteContextC(ctx)

	var code exitError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case !started || errors.As(err, &usage):
		sh.complain(fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath()))
		return exitUsage
	}
	sh.complain(err)
	return exitFailed
}

// checkEmpty refuses a flag with an empty word, as a script's variable that is not
// set makes it: the command would do as if the flag were not there. Only the daemon
// takes one, for what its file says and is not to be.
func checkEmpty(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if cmd.Name() != "run" && f.Value.Type() == "string" && f.Value.String() == "" {
			err = fmt.Errorf("--%s is empty: say what it is, or leave it out", f.Name)
		}
	})
	return err
}

// complain says what went wrong. What others wrote may be in it.
func (sh *shell) complain(err error) {
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(sh.err, "herald: %s\n", printable(line))
	}
}

func newRoot(sh *shell) *cobra.Command {
	socket := sh.env(socketVariable)
	if socket == "" {
		socket = client.DefaultSocket
	}
	root := &cobra.Command{
		Use:   "herald",
		Short: "Messages and calls between boards: the daemon and its command line",
		Long: `Herald lets Linux boards talk to each other and to people through a hub.

"herald run" is the daemon. The other commands call a daemon that runs, over its
socket: the one of --socket, or else of the environment's ` + socketVariable + `, or else
` + client.DefaultSocket + `.

Exit codes: 0 done; 1 failed, the reason and its code are on stderr; 2 the
command line is wrong; 3 from "herald status": not logged in or no link.`,
		SilenceErrors: true, SilenceUsage: true, DisableSuggestions: true,
	}
	root.PersistentFlags().StringVar(&sh.socket, "socket", socket, "the daemon's unix `path`")
	root.PersistentFlags().BoolVar(&sh.json, "json", false, "print JSON, as the daemon answered")
	root.InitDefaultHelpFlag() // or "--help --socket PATH" would take PATH for a command
	root.AddCommand(runCommand(sh), statusCommand(sh), sendCommand(sh), eventsCommand(sh), callCommand(sh), acceptCommand(sh), rejectCommand(sh), hangupCommand(sh),
		devicesCommand(sh), historyCommand(sh), conversationsCommand(sh), getCommand(sh), queueCommand(sh), apiCommand(sh), versionCommand(sh))
	return root
}

// call runs a method and decodes its answer. With --json the answer is printed
// as it came, also the one that is an error.
func call[Req, Res any](ctx context.Context, sh *shell, m protocol.Method[Req, Res], req Req) (res Res, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return res, err
	}
	answer, err := sh.callRaw(ctx, m.Info().Name, body, sh.json)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(answer, &res); err != nil {
		return res, fmt.Errorf("%s: decode answer: %w", m.Info().Name, err)
	}
	return res, nil
}

func (sh *shell) callRaw(ctx context.Context, method string, body []byte, show bool) ([]byte, error) {
	c := client.Unix(sh.socket)
	defer c.Close()
	answer, err := c.CallRaw(ctx, method, body)
	if show {
		sh.show(answer, err)
	}
	return answer, err
}

// show prints an answer as it came, or the daemon's error.
func (sh *shell) show(answer []byte, err error) {
	var e *protocol.Error
	if errors.As(err, &e) {
		answer, err = json.Marshal(e)
	}
	if err == nil {
		sh.printJSON(answer)
	}
}
