package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

const talk = "c2c:door:indoor"

func TestSend(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	res := b.mustSay("one")
	if res.Queued || res.MsgID != h.logs[talk][0].MsgID {
		t.Errorf("%+v, the hub has %+v", res, h.logs[talk][0])
	}
	for _, send := range []func() error{
		func() error {
			_, err := b.sendC2CCustom(t.Context(), anybody, protocol.C2CCustomRequest{UserID: "indoor", CustomData: "c"})
			return err
		},
		func() error {
			_, err := b.sendGroupText(t.Context(), anybody, protocol.GroupTextRequest{GroupID: "g", Text: "t", Priority: 1})
			return err
		},
		func() error {
			_, err := b.sendGroupCustom(t.Context(), anybody, protocol.GroupCustomRequest{GroupID: "g", CustomData: "c"})
			return err
		},
	} {
		if err := send(); err != nil {
			t.Error(err)
		}
	}
	last := h.await(t, 0, 4, isAppend)
	if it := last.Append.Items[0]; it.Kind != protocol.ItemGroup || it.To != "g" || it.IDEpoch != 0 {
		t.Errorf("%+v", it)
	}
	if at, ok := b.session.inbox.Cursor(talk); !ok || at != 2 {
		t.Error("the answer does not move the cursor", at, ok)
	}
	if list := b.events(); len(list) != 0 {
		t.Errorf("what was answered needs no event: %+v", list)
	}
}

// TestQueued sends without a link, over a restart: everything arrives once, in
// order, and is told of.
func TestQueued(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.stop()
	b.link("down")
	var want []string
	var ids []string
	for i := range 20 {
		text := fmt.Sprint("m", i)
		res := b.mustSay(text)
		if !res.Queued {
			t.Error("not queued")
		}
		want, ids = append(want, text), append(ids, res.MsgID+" 1 0")
		if i == 9 {
			b = b.again()
			go func() { _ = b.tryLogin("door") }()
			for b.Status().LoginStatus != protocol.LoggingIn {
				time.Sleep(time.Millisecond)
			}
		}
	}
	q, err := b.getQueue(t.Context(), anybody, protocol.QueueRequest{Count: 3})
	if err != nil || q.Items != 20 || len(q.List) != 3 || q.List[0].MsgID+" 1 0" != ids[0] {
		t.Errorf("%+v, %v", q, err)
	}
	h.restart()
	if got := b.await(20, byStatus); got != lines(ids) {
		t.Errorf("%s\nnot %s", got, lines(ids))
	}
	if got := h.texts(talk); lines(got) != lines(want) {
		t.Error(got)
	}
	for i, e := range h.logs[talk] {
		if e.MsgID+" 1 0" != ids[i] {
			t.Error("another id than was given out", e.MsgID)
		}
	}
}

// TestQueueOfAnEndedLogin: what waits is shown, whatever has ended the login.
func TestQueueOfAnEndedLogin(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	shown := func(why string) {
		t.Helper()
		q, err := b.getQueue(t.Context(), anybody, protocol.QueueRequest{Count: 5})
		if st := b.status(t, protocol.LoggedOut, ""); err != nil || q.Items != 1 || len(q.List) != 1 || st.Queue.Items != 1 || st.Queue.Bytes == 0 {
			t.Error(why, q, err, st.Queue)
		}
	}
	b.mustLogin()
	b.timing.send = 0
	h.with(func() { h.drop = func(up bool, f *protocol.Frame) bool { return f.Append != nil } })
	b.mustSay("waits")
	h.send("door", &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeLoginKickedOffByOther}})
	<-b.session.ended
	shown("kicked")
	b.mustLogin()
	if _, err := b.logout(t.Context(), anybody, protocol.Empty{}); err != nil {
		t.Error(err)
	}
	shown("logged out")
}

func TestRefusedItems(t *testing.T) {
	h := newHub(t)
	h.judge = func(it *protocol.Item) (protocol.Code, string) {
		if m, err := protocol.DecodeMessage(it.Body); err == nil && m.Text == "bad" {
			return protocol.CodeSvrMsgToAccountNotFound, "nobody there"
		}
		return 0, ""
	}
	var log logbook
	b := startWith(t, config(t, h.addr), log.keep)
	b.mustLogin()
	b.mustSay("good")
	if _, err := b.say("bad"); code(err) != protocol.CodeSvrMsgToAccountNotFound || protocol.AsError(err).Msg != "nobody there" {
		t.Error(err)
	}
	h.stop()
	b.link("down")
	first, second, third := b.mustSay("bad"), b.mustSay("good"), b.mustSay("bad")
	h.restart()
	want := fmt.Sprintf("%s 2 %d,%s 1 0,%s 2 %[2]d", first.MsgID, protocol.CodeSvrMsgToAccountNotFound, second.MsgID, third.MsgID)
	if got := b.await(3, byStatus); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	b.db.Ping()
	if got := log.String(); strings.Count(got, "not delivered") != 1 || !strings.Contains(got, `count=2 code=`+fmt.Sprint(protocol.CodeSvrMsgToAccountNotFound)) {
		t.Error(got)
	}
	if got := lines(h.texts(talk)); got != "good,good" {
		t.Error(got)
	}
}

// TestAnswerLost cuts the link between a batch and its answer, several times.
func TestAnswerLost(t *testing.T) {
	h := newHub(t)
	lost := 3
	h.drop = func(up bool, f *protocol.Frame) bool {
		if f.Acks != nil && lost > 0 {
			lost--
			go h.cut()
			return true
		}
		return false
	}
	b := start(t, config(t, h.addr))
	b.timing.send = 10 * time.Millisecond
	b.mustLogin()
	res := b.mustSay("one")
	if !res.Queued {
		t.Errorf("%+v", res)
	}
	if got := b.await(1, byStatus); got != res.MsgID+" 1 0" {
		t.Error(got)
	}
	b.drained()
	b.timing.send = time.Minute
	b.mustSay("two")
	if got := lines(h.texts(talk)); got != "one,two" {
		t.Error(got)
	}
	if n := len(b.events()); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestAnswerTwice has the answer come once more, and others that answer nothing.
func TestAnswerTwice(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.timing.send = 0
	b.mustLogin()
	kept := make(chan *protocol.Acks, 1)
	h.with(func() {
		h.drop = func(up bool, f *protocol.Frame) bool {
			if f.Acks != nil {
				kept <- f.Acks
			}
			return f.Acks != nil
		}
	})
	res := b.mustSay("one")
	acks := <-kept
	h.with(func() {
		h.drop = nil
		strange := *acks
		strange.Results = append(strange.Results, protocol.Ack{})
		for _, a := range []*protocol.Acks{
			{}, {Epoch: acks.Epoch}, {Epoch: acks.Epoch + 1, First: acks.First, Results: acks.Results}, &strange, acks, acks,
		} {
			h.to("door", h.terminal, &protocol.Frame{Acks: a})
		}
	})
	b.drained()
	b.timing.send = time.Minute
	b.mustSay("two")
	if got := b.await(1, byStatus); got != res.MsgID+" 1 0" {
		t.Error(got)
	}
}

// TestAnswerNotWritten: the store fails when the answer is to be written down.
// The caller hears that it is queued, and the event says the rest.
func TestAnswerNotWritten(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.timing.send = time.Minute
	b.mustLogin()
	// The hello that the goodbye brings shows that the answer was handed to the store.
	release := h.answerLate(b, &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeNotLoggedIn}})
	got := make(chan protocol.SendResponse)
	go func() {
		res, err := b.say("one")
		if err != nil {
			t.Error(err)
		}
		got <- res
	}()
	h.await(t, 0, 2, isHello)
	failing := errors.New("no such luck")
	done := make(chan error, 1)
	b.db.Go(func(*bbolt.Tx) error { return failing }, func(err error) { done <- err })
	close(release)
	if err := <-done; !errors.Is(err, failing) {
		t.Fatal(err)
	}
	res := <-got
	if !res.Queued {
		t.Errorf("%+v", res)
	}
	if list := b.await(1, byStatus); list != res.MsgID+" 1 0" {
		t.Error(list)
	}
	if texts := lines(h.texts(talk)); texts != "one" {
		t.Error(texts)
	}
}

func TestCallerGoesAway(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	ctx, cancel := context.WithCancel(t.Context())
	h.with(func() {
		h.drop = func(up bool, f *protocol.Frame) bool {
			if f.Append != nil {
				cancel()
			}
			return f.Append != nil
		}
	})
	res, err := b.sendC2CText(ctx, anybody, protocol.C2CTextRequest{UserID: "indoor", Text: "one"})
	if err != nil || !res.Queued {
		t.Error(res, err)
	}
	h.with(func() { h.drop = nil })
	h.cut()
	if got := b.await(1, byStatus); got != res.MsgID+" 1 0" {
		t.Error(got)
	}
}

func TestNoRoom(t *testing.T) {
	h := newHub(t)
	cfg := config(t, h.addr)
	cfg.MinFree = 1 << 60
	b := start(t, cfg)
	b.mustLogin()
	if _, err := b.say("x"); code(err) != protocol.CodeDatabaseFailure {
		t.Error(err)
	}
	cfg = config(t, h.addr)
	cfg.Outbox.MaxItems = 1
	b = start(t, cfg)
	h.with(func() { h.drop = func(up bool, f *protocol.Frame) bool { return f.Append != nil } })
	b.timing.send = 0
	b.mustLogin()
	b.mustSay("fits")
	if _, err := b.say("x"); code(err) != protocol.CodeNetReqCountLimit {
		t.Error(err)
	}
}

// TestManyAtOnce sends from many callers while the link comes and goes.
func TestManyAtOnce(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.timing.send = 20 * time.Millisecond
	b.mustLogin()
	const callers, each = 20, 20
	done := make(chan error)
	for c := range callers {
		go func() {
			var err error
			for i := range each {
				_, e := b.say(fmt.Sprintf("%d-%d", c, i))
				err = errors.Join(err, e)
			}
			done <- err
		}()
	}
	for c := range callers {
		if c%4 == 0 {
			h.cut()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	b.drained()
	next := make(map[string]int)
	for _, text := range h.texts(talk) {
		c, i := split(t, text)
		if next[c] != i {
			t.Fatalf("%s comes where %s-%d is due", text, c, next[c])
		}
		next[c]++
	}
	for c, n := range next {
		if n != each {
			t.Errorf("%d of %s", n, c)
		}
	}
	if len(next) != callers {
		t.Error(len(next))
	}
}

func split(t *testing.T, text string) (c string, i int) {
	c, number, _ := strings.Cut(text, "-")
	i, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return c, i
}

// TestHubAsksForHello: it has forgotten the session, or waits for another number.
func TestHubAsksForHello(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	first := h.await(t, 0, 1, isHello)
	h.with(func() { clear(h.boots) })
	b.mustSay("one")
	if again := h.await(t, 0, 2, isHello); again.Boot != first.Boot {
		t.Error("it made a new connection for that")
	}
	h.with(func() { h.producers[h.terminal].last -= 1 }) // the database came back from a copy
	b.mustSay("two")
	if got := lines(h.texts(talk)); got != "one,two" {
		t.Error(got)
	}
}

// TestHubAsksForHelloForEver: such a hub must not be answered as fast as it can ask.
func TestHubAsksForHelloForEver(t *testing.T) {
	h := newHub(t)
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.helloApart, d.timing.send = time.Hour, 0 })
	b.mustLogin()
	first := h.await(t, 0, 1, isHello)
	h.with(func() {
		h.drop = func(up bool, f *protocol.Frame) bool {
			if f.Append != nil {
				h.to("door", h.terminal, &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeNetAuthInvalid}})
			}
			return f.Append != nil
		}
	})
	b.mustSay("one")
	for n := 2; n < 5; n++ {
		next := h.await(t, 0, n, isHello)
		if next.Boot == first.Boot {
			t.Error("it went on asking")
		}
		first = next
	}
	h.with(func() { h.drop = nil })
	b.drained()
	if got := lines(h.texts(talk)); got != "one" {
		t.Error(got)
	}
}

// TestDamagedStore loses a page of the outbox: the rest is sent, once, by the
// same terminal, and what is lost is told.
func TestDamagedStore(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.mustSay("before")
	h.stop()
	b.link("down")
	const n = 200
	ids := make(map[string]string)
	for i := range n {
		text := fmt.Sprintf("message %03d", i)
		ids[text] = b.mustSay(text).MsgID
	}
	b.stop()
	file := filepath.Join(b.cfg.StateDir, "herald.db")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	terminal, hit := b.terminal, 0
	for at := 4096 * 2; at+4096 <= len(data) && hit == 0; at += 4096 {
		page := data[at : at+4096]
		if page[8] == 2 && contains(page, "message 050") && contains(page, "message 055") { // a leaf
			hit = at
		}
	}
	// It may be of an earlier transaction, and not in use any more: all of them.
	for at := 4096 * 2; at+4096 <= len(data); at += 4096 {
		if page := data[at : at+4096]; page[8] == 2 && contains(page, "message 050") {
			clear(page)
		}
	}
	if err := os.WriteFile(file, data, 0o600); err != nil || hit == 0 {
		t.Fatal(err, hit)
	}
	h.restart()
	b = start(t, b.cfg)
	if b.terminal != terminal {
		t.Errorf("terminal %s, not %s", b.terminal, terminal)
	}
	list := b.events()
	if len(list) != 1 || list[0].Type != "onStoreReplaced" || list[0].Salvaged == 0 || list[0].Salvaged >= n {
		t.Fatalf("%+v", list)
	}
	b.mustLogin()
	b.await(1+n, byStatus)
	b.drained()
	arrived := make(map[string]int)
	for _, text := range h.texts(talk) {
		arrived[text]++
	}
	failed := make(map[string]bool)
	for _, e := range b.events() {
		if e.Type == "onMessageStatusChanged" && e.Status == protocol.StatusFailed {
			failed[e.MsgID] = true
		}
	}
	t.Logf("%d carried over, %d arrived, %d told as lost", list[0].Salvaged, len(arrived), len(failed))
	for text, id := range ids {
		if arrived[text]+map[bool]int{true: 1}[failed[id]] != 1 {
			t.Errorf("%s (%s): arrived %d times, told as lost: %v", text, id, arrived[text], failed[id])
		}
	}
	if arrived["before"] != 1 {
		t.Error("what was sent before the damage came again")
	}
}
