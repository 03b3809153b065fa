package console

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOperatorOfGroups: what only an operator may do, at a hub that runs, and what
// is said where it cannot be done.
func TestOperatorOfGroups(t *testing.T) {
	t.Parallel()
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	hub := start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	for _, user := range []string{"anna", "bert", "carl"} {
		c.ok("user", "add", user)
	}
	c.ok("user", "set", "anna", "--nickname", "Anna\x1b[31m\u009b31m\u202ex", "--allow", "2")
	if text := c.ok("user", "show", "anna"); !strings.Contains(text, "Anna [31m 31m x") || !strings.Contains(text, "on application") {
		t.Errorf("%q", text)
	}
	c.fails("there is no account nobody", "user", "show", "nobody")
	c.fails("there is no account nobody", "user", "set", "nobody", "--nickname", "x")

	c.ok("group", "create", "house", "--type", "Work", "--name", "House", "--owner", "anna", "--member", "bert")
	c.fails("code 10021", "group", "create", "house", "--type", "Work", "--name", "House", "--owner", "bert")
	c.fails("there is no account nobody", "group", "create", "--type", "Work", "--name", "x", "--owner", "nobody")
	c.fails("\"\\x1b\"", "group", "create", "\x1b", "--name", "x", "--owner", "bert")
	c.misused("one argument too many", "group", "create", "a", "b", "--name", "x", "--owner", "bert")
	c.misused("--name is missing", "group", "create", "--owner", "bert")
	made := strings.TrimSpace(c.ok("group", "create", "--name", "x", "--owner", "bert"))
	if text := c.ok("group", "show", made); !strings.HasPrefix(text, made) {
		t.Errorf("%q: %s", made, text)
	}
	c.misused("--join", "group", "set", made, "--join", "-1")
	c.fails("7 is not 0 to 2", "group", "set", made, "--join", "7")
	c.misused("no command \"ad\"", "group", "ad", "--json", "house", "carl")
	c.ok("group", "add", "house", "carl")
	code, out, errs := c.do("group", "add", "house", "carl", "nobody")
	if code != 1 || !strings.Contains(errs, "not done for carl, nobody") || out != "" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	c.ok("group", "transfer", "house", "carl")
	c.ok("group", "set", "house", "--name", "Home", "--muted")
	c.ok("group", "attribute", "house", "floor=2", "door=1")
	c.ok("group", "attribute", "house", "door=")
	c.ok("group", "remove", "house", "anna", "--reason", "moved")
	c.ok("group", "notify", "house", "the water is off")
	text := c.ok("group", "show", "house")
	for _, want := range []string{`Work  "Home", owned by carl, 2 members`, "floor = 2", "carl    owner"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "anna") || strings.Contains(text, "door") {
		t.Error(text)
	}
	c.fails("not done for anna", "group", "remove", "house", "anna")
	c.fails("there is no group none", "group", "show", "none")
	c.fails("code 10010", "group", "dismiss", "none")

	if text := c.ok("group", "recycle", "--idle", "1h", "--dry-run"); text != "" {
		t.Errorf("a new group is listed: %q", text)
	}
	if text := c.ok("group", "recycle", "--idle", "1h", "--json"); text != "[]\n" {
		t.Errorf("no list: %q", text)
	}
	if code, out, errs := c.do("group", "recycle", "house", "none", "--dry-run"); code != 1 || out != "house\n" || !strings.Contains(errs, "there is no group none") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if code, _, errs := c.do("group", "set", "house", "--no-such-flag"); code != 2 || !strings.Contains(errs, "see herald-hub group set --help") {
		t.Errorf("%d, %q", code, errs)
	}
	if text := c.ok("group", "recycle", "house", "--dry-run"); text != "house\n" {
		t.Error(text)
	}
	c.ok("group", "dismiss", "house") // a Work group, which its owner cannot end
	if text := c.ok("group", "list"); strings.Contains(text, "house") {
		t.Error(text)
	}

	c.ok("friend", "add", "anna", "bert", "--remark", "plumber")
	c.ok("friend", "add", "anna", "carl", "--single")
	if text := c.ok("friend", "list", "anna"); !regexp.MustCompile(`bert +both +plumber\ncarl +one`).MatchString(text) {
		t.Error(text)
	}
	c.ok("friend", "remove", "anna", "bert")
	c.fails("bert: ", "friend", "remove", "anna", "bert")
	c.fails("there is no account nobody", "friend", "list", "nobody")
	if text := c.ok("friend", "list", "bert"); strings.Contains(text, "anna") {
		t.Error(text)
	}
	if code := hub.stop(); code != 0 {
		t.Fatal(code)
	}
	c.fails("no hub runs", "group", "dismiss", "house")
}

// example is the file that the operator's guide shows.
func example(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/operator.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(b)
	if m == nil {
		t.Fatal("docs/operator.md shows no file")
	}
	return string(m[1])
}

// TestImport brings in the guide's example, twice, and files with mistakes.
func TestImport(t *testing.T) {
	t.Parallel()
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "in.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bring := func(path string, want imported) {
		t.Helper()
		code, out, errs := c.do("import", path, "--json")
		var got imported
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got != want {
			t.Errorf("%d, %+v, %v, %s", code, got, err, errs)
		}
	}
	path := write(example(t))
	bring(path, imported{Users: 3, Groups: 1, Members: 2, Friends: 1})
	look := func() string {
		return c.ok("user", "show", "door") + c.ok("group", "show", "house") + c.ok("friend", "list", "indoor") + c.ok("friend", "list", "door")
	}
	first := look()
	for _, want := range []string{"Front door", "by the gate", `Public  "House", owned by indoor, 3 members`, "door    admin", "Bell", "the bell", "indoor  both"} {
		if !strings.Contains(first, want) {
			t.Errorf("no %q in\n%s", want, first)
		}
	}
	if code, _, errs := c.do("import", path); code != 0 { // what is there stays
		t.Errorf("again: %d, %s", code, errs)
	}
	if again := look(); again != first {
		t.Errorf("it was\n%sand is\n%s", first, again)
	}

	c.fails("near line 2", "import", write("{\"users\": [\n{\"userId\": \"x\", \"nick\": \"y\"}]}"))
	c.fails("no such file", "import", filepath.Join(t.TempDir(), "none"))
	c.fails("groupId", "import", write(`{"groups": [{"groupType": "Work", "groupName": "x", "owner": "door"}]}`))
	code, out, errs := c.do("import", write(`{"users": [{"userId": "new", "nickName": "N"}, {"userId": "a b"}],
"groups": [{"groupId": "house", "groupType": "Public", "groupName": "House", "owner": "indoor", "members": [{"userId": "ghost"}, {"userId": "new"}]}]}`))
	for _, want := range []string{"the account a b: ", "members of the group house: there is no account ghost"} {
		if code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%d, no %q in %s", code, want, errs)
		}
	}
	if !strings.HasPrefix(out, "1 accounts, 0 groups with 1 members, 0 friends") {
		t.Errorf("what was brought in: %q", out)
	}
	if text := c.ok("group", "show", "house"); !strings.Contains(text, "4 members") { // one mistake stops nothing else
		t.Error(text)
	}
}
