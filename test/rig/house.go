package rig

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// House is a hub and its boards in one directory.
type House struct {
	Dir string // of everything; short, as sockets lie in it
	Bin string // of the programs
	Log io.Writer

	Hub *Hub
}

// Hub is a herald-hub.
type Hub struct {
	Process
	Data string // its data directory
	MQTT string // HOST:PORT
	HTTP string // HOST:PORT
	DB   string // --db; empty: SQLite
}

// Board is a herald.
type Board struct {
	Process
	User   string
	State  string // its state directory
	Socket string
	Sig    string // file

	once   sync.Once
	client *client.Client
}

// AddHub prepares a hub; db is as --db, data is its directory, "" for one in
// the house. It does not start it.
func (h *House) AddHub(db, data string) (*Hub, error) {
	mqtt, err := FreePort()
	if err != nil {
		return nil, err
	}
	http, err := FreePort()
	if err != nil {
		return nil, err
	}
	if data == "" {
		data = filepath.Join(h.Dir, "hub")
	}
	hub := &Hub{
		Data: data, DB: db,
		MQTT: fmt.Sprintf("127.0.0.1:%d", mqtt), HTTP: fmt.Sprintf("127.0.0.1:%d", http),
	}
	if err := os.MkdirAll(hub.Data, 0o700); err != nil {
		return nil, err
	}
	hub.Process = Process{Name: "herald-hub", Path: filepath.Join(h.Bin, "herald-hub"), Log: h.Log}
	hub.Args = []string{"run", "--data", hub.Data, "--mqtt", hub.MQTT, "--http", hub.HTTP}
	if db != "" {
		hub.Args = append(hub.Args, "--db", db)
	}
	h.Hub = hub
	return hub, nil
}

// Configure has the hub read a configuration file with the given content.
func (h *Hub) Configure(toml string) error {
	path := filepath.Join(h.Data, "hub.toml")
	if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
		return err
	}
	h.Args = append(h.Args, "--config", path)
	return nil
}

// Command runs `herald-hub COMMAND …` on the hub's data.
func (h *Hub) Command(ctx context.Context, args ...string) (string, error) {
	args = append(args, "--data", h.Data)
	if h.DB != "" {
		args = append(args, "--db", h.DB)
	}
	return Output(ctx, h.Path, args...)
}

// UserSig makes a ticket for a user.
func (h *Hub) UserSig(ctx context.Context, user string, args ...string) (string, error) {
	out, err := h.Command(ctx, append([]string{"user", "sig", user}, args...)...)
	return strings.TrimSpace(out), err
}

// AddBoard prepares a board called name that logs in as user at the hub's MQTT
// address, HOST:PORT for plain TCP or an URL. It does not start it.
func (h *House) AddBoard(ctx context.Context, name, user, mqtt string, args ...string) (*Board, error) {
	dir := filepath.Join(h.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b := &Board{
		User: user, State: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "herald.sock"), Sig: filepath.Join(dir, "sig"),
	}
	sig, err := h.Hub.UserSig(ctx, user)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.Sig, []byte(sig+"\n"), 0o600); err != nil {
		return nil, err
	}
	if !strings.Contains(mqtt, "://") {
		mqtt = "mqtt://" + mqtt
	}
	b.Process = Process{Name: name, Path: filepath.Join(h.Bin, "herald"), Log: h.Log}
	b.Args = append([]string{"run", "--state", b.State, "--socket", b.Socket, "--hub", mqtt, "--user", user, "--sig", b.Sig}, args...)
	return b, nil
}

// Configure has the board read a configuration file with the given content.
func (b *Board) Configure(toml string) error {
	path := filepath.Join(filepath.Dir(b.State), "herald.toml")
	if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
		return err
	}
	b.Args = append(b.Args, "--config", path)
	return nil
}

// AwaitLink waits until the board's link to its hub is "up" or "down".
func (b *Board) AwaitLink(ctx context.Context, state string) error {
	for {
		st, err := client.Call(ctx, b.Client(), protocol.GetStatus, protocol.Empty{})
		if err != nil || st.Link == state {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the link of %s is %s, and not %s: %w", b.User, st.Link, state, ctx.Err())
		}
	}
}

// Client talks to the board's local API. It is the same each time, as its
// connections are kept.
func (b *Board) Client() *client.Client {
	b.once.Do(func() { b.client = client.Unix(b.Socket) })
	return b.client
}
