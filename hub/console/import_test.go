package console

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/store"
)

// TestImportMistakes: a file with a mistake is refused whole, with the line it is in.
func TestImportMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown field": {"{\"users\": [\n{\"userId\": \"a\"},\n{\"userId\": \"b\", \"nick\": \"y\"},\n{\"userId\": \"c\"}\n]\n}\n", `line 3: unknown field "nick"`},
		"unknown list":  {"{\"users\": [\n{\"userId\": \"a\"}],\n\"user\": []\n}\n", `line 3: unknown field "user"`},
		"in a group":    {"{\"groups\": [\n{\"groupId\": \"a\", \"owner\": \"a\"},\n{\"groupId\": \"b\", \"members\": [{\"user\": \"c\"}]}\n]\n}\n", `line 3: unknown field "user"`},
		"a comma":       {"{\"users\": [\n{\"userId\": \"a\"},\n{\"userId\": \"b\" \"nickName\": \"y\"},\n{\"userId\": \"c\"}\n]\n}\n", "line 3: "},
		"wrong kind":    {"{\"users\": [\n{\"userId\": \"a\"},\n{\"userId\": 7},\n{\"userId\": \"c\"}\n]\n}\n", "line 3: users.userId: a string belongs here, not a number"},
		"no object":     {"[]", "line 1: an object belongs here, not an array"},
		"cut off":       {"{\"users\": [\n{\"userId\": \"a\"},\n", "line 3: unexpected end of JSON input"},
		"empty":         {"", "line 1: unexpected end of JSON input"},
		"two objects":   {"{\"users\": [{\"userId\": \"a\"}]}\n{\"users\": [{\"userId\": \"lost\"}]}\n", "line 2: "},
		"no group's id": {`{"groups": [{"groupType": "Work", "groupName": "First", "owner": "a", "groupId": "first"}, {"groupType": "Work", "groupName": "Second", "owner": "a"}]}`, `"Second"`},
		"second owner":  {`{"groups": [{"groupId": "g", "groupType": "Public", "groupName": "G", "owner": "a", "members": [{"userId": "b", "role": 2}]}]}`, "the group g: b: role 2"},
		"no such role":  {`{"groups": [{"groupId": "g", "groupType": "Public", "groupName": "G", "owner": "a", "members": [{"userId": "b", "role": 9}]}]}`, "the group g: b: role 9"},
		"no admins":     {`{"groups": [{"groupId": "g", "groupType": "Work", "groupName": "G", "owner": "a", "members": [{"userId": "b", "role": 1}]}]}`, "the group g: b: a Work group has no admins"},
		"nor live":      {`{"groups": [{"groupId": "g", "groupType": "AVChatRoom", "groupName": "G", "owner": "a", "members": [{"userId": "b", "role": 1}]}]}`, "the group g: b: an AVChatRoom has no admins"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			in, err := readImport(path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v, want %s", in, err, c.want)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "in.json")
	text := "\ufeff" + `{"groups": [{"groupId": "g", "groupType": "Public", "groupName": "G", "owner": "a", "members": [{"userId": "a", "role": 2}]}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if in, err := readImport(path); err != nil || len(in.Groups) != 1 {
		t.Errorf("%+v, %v", in, err)
	}
}

// TestHubGone: a command does not wait for a hub that has ended, and an import says
// how far it has come.
func TestHubGone(t *testing.T) {
	t.Parallel()
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0").stop()
	// A hub that takes the order and is killed before it answers leaves the lock open.
	lock, err := lockDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	in := importFile{}
	for i := range 150 {
		in.Users = append(in.Users, hub.Account{UserID: fmt.Sprint("u", i)})
	}
	b, err := json.Marshal(in)
	path := filepath.Join(t.TempDir(), "in.json")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 2)
	for _, args := range [][]string{{"import", path}, {"group", "dismiss", "g"}} {
		go func() {
			code, out, errs := c.do(args...)
			said <- fmt.Sprint(args[0], code, out, errs)
		}()
	}
	s, err := store.Open(t.Context(), filepath.Join(c.dir, store.File))
	if err != nil {
		t.Fatal(err)
	}
	for given := 0; given < 2; time.Sleep(5 * time.Millisecond) {
		orders, err := s.Orders(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		given = len(orders)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case text := <-said:
			if !strings.Contains(text, "the hub has ended") || strings.HasPrefix(text, "import") && !strings.Contains(text, "0 of 150") {
				t.Error(text)
			}
		case <-time.After(hubPatience):
			t.Fatal("a command waits for a hub that has ended")
		}
	}
}

// TestLookedAt: a command that looks whether a hub runs does not keep one from starting.
func TestLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, lockFile)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(look.Fd()), unix.LOCK_SH|unix.LOCK_NB) // as runs does
	}
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = look.Close() })
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}
