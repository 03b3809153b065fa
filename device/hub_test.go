package device

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/herald-im/herald/protocol"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.etcd.io/bbolt"
)

const testApp = protocol.AppID(1400000001)

// fakeHub is a hub in memory behind a real broker: as much of one as a board
// needs, and as awkward as a test wants it.
type fakeHub struct {
	mochi.HookBase
	t      testing.TB
	server *mochi.Server
	addr   string

	listener net.Listener

	mu        sync.Mutex
	refuse    map[string]*protocol.Bye                        // by user or UserSig: why a login is refused
	knock     func(sig string)                                // sees the UserSigs of logins before they are judged
	drop      func(up bool, f *protocol.Frame) bool           // frames that get lost
	answer    func(c *protocol.Call) *protocol.Reply          // calls; nil: no reply
	judge     func(it *protocol.Item) (protocol.Code, string) // items
	readFrom  uint64                                          // entries up to it may not be read
	eras      []protocol.Era
	logs      map[string][]protocol.Entry
	producers map[string]*fakeProducer // by terminal
	boots     map[string]uint64        // by terminal: of the newest hello
	clients   map[string]*mochi.Client // by terminal
	seen      []*protocol.Frame        // from terminals, in order
	changed   chan struct{}            // closed and renewed with seen
	terminal  string                   // the last that said hello
	live      []protocol.LiveRoom
	option    protocol.RecvOpt                 // what is wanted of every group
	friends   []protocol.FriendInfo            // of every account
	keep      func(reply *protocol.Frame) bool // of introduce. Set before a board starts
	grant     func(filter string) bool         // subscriptions; nil: all. Set before the first, as it is called with and without mu
}

type fakeProducer struct {
	epoch uint32
	last  uint64
	acks  map[uint64]protocol.Ack
}

func newHub(t testing.TB) *fakeHub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHub{
		t: t, addr: l.Addr().String(), eras: []protocol.Era{{Ord: 1, ID: 11}},
		refuse: make(map[string]*protocol.Bye), logs: make(map[string][]protocol.Entry),
		producers: make(map[string]*fakeProducer), boots: make(map[string]uint64), clients: make(map[string]*mochi.Client),
		changed: make(chan struct{}),
	}
	h.serve(l)
	t.Cleanup(h.stop)
	return h
}

func (h *fakeHub) serve(l net.Listener) {
	h.server = mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	err := h.server.AddHook(h, nil)
	if err == nil {
		err = h.server.AddListener(listeners.NewNet("tcp", l))
	}
	// Until it is closed there is a client more: a connection that is just accepted
	// is else the first to be counted while Close waits for the last, which is a race.
	h.listener = l
	h.server.Listeners.ClientsWg.Add(1)
	if err == nil {
		err = h.server.Serve()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// stop ends the broker; restart brings it back on the same address.
func (h *fakeHub) stop() {
	if h.server != nil {
		_ = h.listener.Close()
		h.server.Listeners.ClientsWg.Done()
		_ = h.server.Close()
		h.server = nil
	}
}

func (h *fakeHub) restart() {
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.eras = append(h.eras, protocol.Era{Ord: h.eras[len(h.eras)-1].Ord + 1, ID: uint64(len(h.seen)) + 100})
	clear(h.boots)
	h.mu.Unlock()
	h.serve(l)
}

func (h *fakeHub) ID() string { return "hub" }
func (h *fakeHub) Provides(b byte) bool {
	return bytes.IndexByte([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnSessionEstablished, mochi.OnPublish}, b) >= 0
}
func (h *fakeHub) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return write || h.grant == nil || h.grant(topic)
}

func (h *fakeHub) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	_, user, why, ok := protocol.ParseUsername(string(pk.Connect.Username))
	h.mu.Lock()
	knock := h.knock
	h.mu.Unlock()
	if knock != nil && !why {
		knock(string(pk.Connect.Password))
	}
	return ok && (why || h.refusal(user, pk) == nil)
}

func (h *fakeHub) refusal(user string, pk packets.Packet) *protocol.Bye {
	h.mu.Lock()
	defer h.mu.Unlock()
	if bye := h.refuse[string(pk.Connect.Password)]; bye != nil {
		return bye
	}
	return h.refuse[user]
}

func (h *fakeHub) OnSessionEstablished(cl *mochi.Client, pk packets.Packet) {
	_, user, why, _ := protocol.ParseUsername(string(pk.Connect.Username))
	if !why {
		return
	}
	bye := h.refusal(user, pk)
	b, err := protocol.EncodeFrame(&protocol.Frame{Bye: bye})
	if err == nil && bye != nil {
		err = cl.WritePacket(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish}, ProtocolVersion: 4, TopicName: protocol.TopicTo(testApp, user), Payload: b,
		})
	}
	cl.Stop(err)
}

func (h *fakeHub) OnPublish(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	topic := protocol.ParseTopic(pk.TopicName)
	if topic.Kind != protocol.TopicKindIn {
		return pk, nil // our own
	}
	f, err := protocol.DecodeFrame(pk.Payload)
	if err != nil {
		h.t.Error("a terminal sends", err)
		return pk, packets.CodeSuccessIgnore
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[topic.Terminal] = cl
	if h.introduce(topic.User, topic.Terminal, f) {
		return pk, packets.CodeSuccessIgnore
	}
	h.seen = append(h.seen, f)
	close(h.changed)
	h.changed = make(chan struct{})
	if h.drop == nil || !h.drop(true, f) {
		h.handle(topic.User, topic.Terminal, f)
	}
	return pk, packets.CodeSuccessIgnore
}

// introduce answers what a board asks of friends by itself at its first link, which
// most tests have nothing to do with. h.mu is held.
func (h *fakeHub) introduce(user, terminal string, f *protocol.Frame) bool {
	if f.Call == nil || h.boots[terminal] != f.Boot {
		return false
	}
	var res any
	switch f.Call.Method {
	case protocol.GetFriendList.Info().Name:
		res = protocol.FriendsResponse{InfoList: h.friends}
	case protocol.GetUsersInfo.Info().Name:
		res = protocol.UsersResponse{}
	default:
		return false
	}
	body, err := protocol.Marshal(res)
	if err != nil {
		h.t.Error(err)
	}
	reply := &protocol.Frame{Reply: &protocol.Reply{ID: f.Call.ID, Body: body}}
	if h.keep == nil || !h.keep(reply) {
		h.publish(user, terminal, reply)
	}
	return true
}

// to sends a frame to a terminal, if it does not get lost. h.mu is held.
func (h *fakeHub) to(user, terminal string, f *protocol.Frame) {
	if h.drop != nil && h.drop(false, f) {
		return
	}
	h.publish(user, terminal, f)
}

func (h *fakeHub) publish(user, terminal string, f *protocol.Frame) {
	b, err := protocol.EncodeFrame(f)
	if err != nil {
		h.t.Error(err)
		return
	}
	if err := h.server.Publish(protocol.TopicToTerminal(testApp, user, terminal), b, false, 1); err != nil {
		h.t.Error(err)
	}
}

func (h *fakeHub) send(user string, f *protocol.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to(user, h.terminal, f)
}

func (h *fakeHub) handle(user, terminal string, f *protocol.Frame) {
	if f.Hello != nil {
		h.boots[terminal], h.terminal = f.Boot, terminal
		h.hello(user, terminal, f)
		return
	}
	if h.boots[terminal] != f.Boot {
		if f.Bye == nil {
			h.to(user, terminal, &protocol.Frame{Bye: &protocol.Bye{Boot: f.Boot, Code: protocol.CodeNotLoggedIn}})
		}
		return
	}
	switch {
	case f.Append != nil:
		h.append(user, terminal, f.Append)
	case f.Pull != nil:
		h.pull(user, terminal, f.Pull)
	case f.Survey != nil:
		st := &protocol.States{ID: f.Survey.ID}
		for _, it := range f.Survey.Items {
			st.Items = append(st.Items, protocol.State{Log: it.Log, Head: uint64(len(h.logs[it.Log])), RecvOpt: h.option})
		}
		h.to(user, terminal, &protocol.Frame{States: st})
	case f.Beat != nil:
		heads := &protocol.Heads{Time: hubTime}
		if digest, n := h.digest(); digest != f.Beat.Digest || n != f.Beat.Logs {
			heads.Items = h.heads(0)
		}
		h.to(user, terminal, &protocol.Frame{Heads: heads})
	case f.Call != nil && h.answer != nil:
		if r := h.answer(f.Call); r != nil {
			r.ID = f.Call.ID
			frames, err := protocol.EncodeReply(r)
			if err != nil {
				h.t.Error(err)
			}
			for _, b := range frames {
				part, err := protocol.DecodeFrame(b)
				if err != nil {
					h.t.Error(err)
					return
				}
				h.to(user, terminal, part)
			}
		}
	}
}

const hubTime = 1_800_000_000_000 // Unix milliseconds

func (h *fakeHub) digest() (sum uint64, n uint32) {
	for log, entries := range h.logs {
		sum += protocol.CursorHash(log, uint64(len(entries)))
		n++
	}
	return sum, n
}

func (h *fakeHub) heads(common uint32) (out []protocol.Head) {
	for log, entries := range h.logs {
		head := protocol.Head{Log: log, Seq: uint64(len(entries))}
		for _, e := range entries {
			if e.Era <= common {
				head.Was = e.Seq
			}
		}
		out = append(out, head)
	}
	return out
}

func (h *fakeHub) hello(user, terminal string, f *protocol.Frame) {
	p := h.producers[terminal]
	if p == nil {
		p = &fakeProducer{}
	}
	common := uint32(0)
	for _, e := range f.Hello.Eras {
		for _, own := range h.eras {
			if e == own {
				common = e.Ord
			}
		}
	}
	digest, n := h.digest()
	differ := digest != f.Hello.Digest || n != f.Hello.Logs || common != h.eras[len(h.eras)-1].Ord
	h.to(user, terminal, &protocol.Frame{Welcome: &protocol.Welcome{
		Boot: f.Boot, Time: hubTime, Hub: "fake", Epoch: p.epoch, LastCseq: p.last, Eras: h.eras, Common: common, Heads: differ, Live: h.live,
	}})
	if differ {
		for heads := h.heads(common); ; heads = heads[1:] { // one by one
			if len(heads) <= 1 {
				h.to(user, terminal, &protocol.Frame{Heads: &protocol.Heads{Time: hubTime, Items: heads}})
				break
			}
			h.to(user, terminal, &protocol.Frame{Heads: &protocol.Heads{Time: hubTime, Items: heads[:1], More: true}})
		}
	}
}

func (h *fakeHub) append(user, terminal string, a *protocol.Append) {
	p := h.producers[terminal]
	if p == nil || a.Epoch > p.epoch {
		p = &fakeProducer{epoch: a.Epoch, last: a.Base - 1, acks: make(map[uint64]protocol.Ack)}
		h.producers[terminal] = p
	}
	if a.Epoch < p.epoch || a.First > p.last+1 {
		h.to(user, terminal, &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeNetAuthInvalid, Msg: "a hole"}})
		return
	}
	acks := &protocol.Acks{Epoch: a.Epoch, First: a.First}
	for i, it := range a.Items {
		cseq := a.First + uint64(i)
		if cseq > p.last {
			p.acks[cseq] = h.item(user, terminal, a, &it, cseq)
			p.last = cseq
		}
		acks.Results = append(acks.Results, p.acks[cseq])
	}
	h.to(user, terminal, &protocol.Frame{Acks: acks})
}

func (h *fakeHub) item(user, terminal string, a *protocol.Append, it *protocol.Item, cseq uint64) protocol.Ack {
	if h.judge != nil {
		if code, msg := h.judge(it); code != 0 {
			return protocol.Ack{Code: code, Msg: msg}
		}
	}
	epoch := a.Epoch
	if it.IDEpoch != 0 {
		epoch = it.IDEpoch
	}
	var log string
	switch it.Kind {
	case protocol.ItemC2C:
		log = protocol.C2CLog(user, it.To)
	case protocol.ItemGroup:
		log = protocol.GroupLog(it.To)
	case protocol.ItemRevoke:
		r, err := protocol.DecodeRevoke(it.Body)
		if err != nil {
			h.t.Error(err)
		}
		e := h.entry(r.Log, user, "", it.Body)
		h.logs[r.Log][e.Seq-1].Kind = protocol.EntryRevoke
		return protocol.Ack{Log: r.Log, Seq: e.Seq, Time: e.Time}
	default:
		return protocol.Ack{}
	}
	e := h.entry(log, user, protocol.MsgID(protocol.MsgIDPrefix(testApp, user, terminal, epoch), cseq), it.Body)
	h.logs[log][e.Seq-1].Term = terminal
	return protocol.Ack{Log: log, Seq: e.Seq, Time: e.Time}
}

// entry adds an entry to a log. h.mu is held.
func (h *fakeHub) entry(log, from, id string, body []byte) protocol.Entry {
	e := protocol.Entry{
		Seq: uint64(len(h.logs[log])) + 1, Era: h.eras[len(h.eras)-1].Ord, Time: hubTime, Kind: protocol.EntryMessage, From: from, MsgID: id, Body: body,
	}
	h.logs[log] = append(h.logs[log], e)
	return e
}

// write has somebody say something in a log; pushed tells whether it is pushed.
func (h *fakeHub) write(log, from, text string, pushed bool) protocol.Entry {
	body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: text})
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entry(log, from, "id-"+text, body)
	if pushed {
		h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: log, Entries: []protocol.Entry{e}}}}})
	}
	return e
}

func (h *fakeHub) pull(user, terminal string, p *protocol.Pull) {
	entries := h.logs[p.Log]
	r := &protocol.Range{ID: p.ID, Log: p.Log, From: max(p.After, h.readFrom), Head: uint64(len(entries))}
	if _, ok := h.logs[p.Log]; !ok {
		r.Code, r.Msg = protocol.CodeSvrGroupNotFound, "no such log"
	}
	for _, e := range entries {
		if e.Seq > r.From && (p.Before == 0 || e.Seq < p.Before) && len(r.Entries) < min(int(p.Limit), 3) {
			r.Entries = append(r.Entries, e)
		}
	}
	h.to(user, terminal, &protocol.Frame{Range: r})
}

// texts are the messages in a log.
func (h *fakeHub) texts(log string) (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.logs[log] {
		m, err := protocol.DecodeMessage(e.Body)
		if err != nil {
			h.t.Error(err)
		}
		out = append(out, m.Text)
	}
	return out
}

// with changes the hub's ways.
func (h *fakeHub) with(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// cut ends the terminal's connection.
func (h *fakeHub) cut() {
	h.mu.Lock()
	cl := h.clients[h.terminal]
	h.mu.Unlock()
	cl.Stop(fmt.Errorf("cut"))
}

// await waits until so many frames of a kind have come since the n-th frame.
func (h *fakeHub) await(t testing.TB, since, count int, kind func(*protocol.Frame) bool) (last *protocol.Frame) {
	t.Helper()
	for {
		h.mu.Lock()
		changed, n := h.changed, 0
		for _, f := range h.seen[since:] {
			if kind(f) {
				n++
				last = f
			}
		}
		h.mu.Unlock()
		if n >= count {
			return last
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("nothing came")
		}
	}
}

func (h *fakeHub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

func isHello(f *protocol.Frame) bool  { return f.Hello != nil }
func isAppend(f *protocol.Frame) bool { return f.Append != nil }
func isPull(f *protocol.Frame) bool   { return f.Pull != nil }
func isCall(f *protocol.Frame) bool   { return f.Call != nil }
func isBye(f *protocol.Frame) bool    { return f.Bye != nil }
func isBeat(f *protocol.Frame) bool   { return f.Beat != nil }

func lines(list []string) string { return strings.Join(list, ",") }

// answerLate has the board's store busy, until release is closed, when the next answer
// to a batch comes, and next right behind that.
func (h *fakeHub) answerLate(b *board, next *protocol.Frame) (release chan struct{}) {
	release = make(chan struct{})
	h.drop = func(up bool, f *protocol.Frame) bool {
		if f.Acks == nil {
			return false
		}
		h.drop = nil
		held := make(chan struct{})
		go b.db.Go(func(*bbolt.Tx) error { close(held); <-release; return nil }, func(error) {})
		<-held
		h.to("door", h.terminal, f)
		h.to("door", h.terminal, next)
		return true
	}
	return release
}
