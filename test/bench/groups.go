package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/device/link"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
	"github.com/herald-im/herald/test/rig"
)

// noRate lets a group take messages as fast as they come.
const noRate = "[limits]\ngroup_rate = 0\n"

// crowd has the operator make a group of n accounts t0, t1 …, of which t0 owns it.
func crowd(ctx context.Context, hub *rig.Hub, id, kind string, n int) error {
	type account map[string]any
	users := make([]account, n)
	for i := range users {
		users[i] = account{"userId": fmt.Sprintf("t%d", i)}
	}
	b, err := json.Marshal(account{"users": users, "groups": []account{{"groupId": id, "groupType": kind, "groupName": id, "owner": "t0", "groupAddOpt": 0, "members": users}}})
	if err != nil {
		return err
	}
	file := filepath.Join(hub.Data, "crowd.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	_, err = hub.Command(ctx, "import", file)
	return err
}

// groups measures a large group, and calls about groups and friends.
func groups(ctx context.Context, b *bench) ([]row, error) {
	const members, online, messages = 2000, 500, 30
	var slowest []time.Duration
	calls := make(map[string]time.Duration)
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		if err := crowd(ctx, hub, "hall", protocol.GroupPublic, members-1); err != nil {
			return err
		}
		app, key, err := appKey(ctx, hub)
		if err != nil {
			return err
		}
		came := make(chan error, online)
		var conns []*link.Conn
		leave := func() {
			var wg sync.WaitGroup
			for _, c := range conns {
				wg.Go(c.Close)
			}
			wg.Wait()
			conns = nil
		}
		defer func() { leave() }()
		for i := range online {
			c, err := login(ctx, hub.MQTT, app, key, fmt.Sprintf("t%d", i))
			if err != nil {
				return err
			}
			conns = append(conns, c)
			if i > 0 {
				go hears(c, came)
			}
		}
		body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: payload})
		if err != nil {
			return err
		}
		for i := range uint64(messages) {
			item := protocol.Item{Kind: protocol.ItemGroup, To: "hall", Body: body}
			began := time.Now()
			if err := conns[0].Send(&protocol.Frame{Boot: benchBoot, Append: &protocol.Append{Epoch: 1, Base: 1, First: i + 1, Items: []protocol.Item{item}}}); err != nil {
				return err
			}
			for range online - 1 {
				select {
				case err := <-came:
					if err != nil {
						return err
					}
				case <-time.After(30 * time.Second):
					return errors.New("a message does not come")
				}
			}
			slowest = append(slowest, time.Since(began))
			(<-conns[0].In()).Ack() // the answer
			time.Sleep(100 * time.Millisecond)
		}
		leave() // calls are measured at an idle hub
		return callTimes(ctx, h, hub, calls)
	})
	if err != nil {
		return nil, err
	}
	p50, most := quantile(slowest, 0.5), quantile(slowest, 1)
	worst, worstName := time.Duration(0), ""
	for name, d := range calls {
		if d > worst {
			worst, worstName = d, name
		}
	}
	how := fmt.Sprintf("A Public group of %d members of whom %d are online, each with a connection of its own. %d messages of %d B, 100 ms apart, each timed from the sender's write "+
		"to the last terminal's reading it, so the way up and the hub's commit are in it; all terminals share the two cores with the hub.", members, online, messages, messageBytes)
	return []row{
		{fmt.Sprintf("a message to a group of %d, %d online, sender → last terminal, p50", members, online), "≤ 200 ms", round(p50), p50 <= 200*time.Millisecond, how},
		{"the same, slowest", "≤ 200 ms", round(most), most <= 200*time.Millisecond, ""},
		{"calls about groups and friends, idle, p50 of the slowest of them", "≤ 5 ms", round(worst) + " (" + worstName + ")", worst <= 5*time.Millisecond,
			fmt.Sprintf("%d methods over the unix socket, each called %d times with 5 ms between; im.joinGroup and the like in turn with what undoes them. The group has %d members.", len(calls), callRounds, members)},
	}, nil
}

// hears reports each message of a group that comes.
func hears(c *link.Conn, came chan<- error) {
	for {
		select {
		case m := <-c.In():
			m.Ack()
			f, err := protocol.DecodeFrame(m.Payload)
			if err != nil || f.Push != nil && f.Push.Logs[0].Entries[0].Kind == protocol.EntryMessage {
				came <- err
			}
		case <-c.Down():
			came <- c.Err() // there is room for each
			return
		}
	}
}

const callRounds = 100

// callTimes measures calls of a board, one at a time.
func callTimes(ctx context.Context, h *rig.House, hub *rig.Hub, out map[string]time.Duration) error {
	for _, user := range []string{"friend", "other"} {
		if _, err := hub.UserSig(ctx, user); err != nil { // makes the account
			return err
		}
	}
	door, err := board(ctx, h, "door", hub.MQTT, "")
	if err != nil {
		return err
	}
	defer door.Kill()
	if err := door.AwaitLink(ctx, "up"); err != nil {
		return err
	}
	c := door.Client()
	took := make(map[string][]time.Duration)
	for range callRounds {
		for _, x := range [][2]string{
			{"im.joinGroup", `{"groupId":"hall"}`},
			{"im.getGroupsInfo", `{"groupIdList":["hall"]}`},
			{"im.getGroupMemberList", `{"groupId":"hall"}`},
			{"im.getGroupMembersInfo", `{"groupId":"hall","userIdList":["t0","t1"]}`},
			{"im.getJoinedGroupList", `{}`},
			{"im.setGroupMemberInfo", `{"groupId":"hall","info":{"userId":"door","nameCard":"the door"}}`},
			{"im.quitGroup", `{"groupId":"hall"}`},
			{"im.createGroup", `{"groupType":"Public","groupId":"mine","groupName":"mine"}`},
			{"im.setGroupInfo", `{"groupId":"mine","groupName":"ours"}`},
			{"im.dismissGroup", `{"groupId":"mine"}`},
			{"im.addFriend", `{"userId":"friend","addType":0}`},
			{"im.setFriendInfo", `{"userId":"friend","friendRemark":"a friend"}`},
			{"im.getFriendList", `{}`},
			{"im.getFriendsInfo", `{"userIdList":["friend"]}`},
			{"im.checkFriend", `{"userId":"friend","type":0}`},
			{"im.createFriendGroup", `{"groupName":"g","userIdList":["friend"]}`},
			{"im.getFriendGroupList", `{}`},
			{"im.deleteFriendGroup", `{"groupNameList":["g"]}`},
			{"im.deleteFromFriendList", `{"userIdList":["friend"],"deleteType":0}`},
			{"im.addToBlackList", `{"userIdList":["other"]}`},
			{"im.getBlackList", `{}`},
			{"im.deleteFromBlackList", `{"userIdList":["other"]}`},
			{"im.setSelfInfo", `{"selfSignature":"by the gate"}`},
			{"im.getUsersInfo", `{"userIdList":["friend","t0"]}`},
		} {
			began := time.Now()
			if _, err := c.CallRaw(ctx, x[0], []byte(x[1])); err != nil {
				return fmt.Errorf("%s: %w", x[0], err)
			}
			took[x[0]] = append(took[x[0]], time.Since(began))
			time.Sleep(5 * time.Millisecond) // idle between two calls
		}
	}
	for name, d := range took {
		out[name] = quantile(d, 0.5)
	}
	return nil
}

// liveRoom measures how fast an AVChatRoom tells its audience, and in turn with it how
// fast a bare broker does.
func liveRoom(ctx context.Context, b *bench) ([]row, error) {
	const online, messages = 1000, 300
	var ours, theirs, ratios []float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		if err := hub.Configure(noRate); err != nil {
			return err
		}
		if err := errors.Join(hub.Stop(), hub.Start(ctx)); err != nil {
			return err
		}
		if err := crowd(ctx, hub, "room", protocol.GroupAVChatRoom, online+1); err != nil {
			return err
		}
		app, key, err := appKey(ctx, hub)
		if err != nil {
			return err
		}
		m, err := startMosquitto()
		if err != nil {
			return err
		}
		defer m.stop()
		pub, err := m.publisher()
		if err != nil {
			return err
		}
		defer pub.Disconnect(100)
		speaker, err := login(ctx, hub.MQTT, app, key, "t0")
		if err != nil {
			return err
		}
		defer speaker.Close()
		body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: payload})
		if err != nil {
			return err
		}
		atHub, err := audience(hub.MQTT, online, protocol.TopicLive(app, "room", 1), func(i int) (clientID, name, password string, err error) {
			user := fmt.Sprintf("t%d", i+1)
			sig, err := usersig.Sign(usersig.Claims{UserID: user, AppID: uint32(app), IssuedAt: time.Now(), Expire: time.Hour}, key)
			return protocol.ClientID(app, user, "bench"), protocol.Username(app, user), sig, err
		})
		if err != nil {
			return err
		}
		defer atHub.close()
		atBare, err := audience(m.addr, online, "live", func(i int) (string, string, string, error) { return fmt.Sprint("t", i), "", "", nil })
		if err != nil {
			return err
		}
		defer atBare.close()
		next := uint64(1)
		for range rounds {
			rate, err := atHub.measure(ctx, messages, func() error {
				const batch = 10
				for range messages / batch {
					items := make([]protocol.Item, batch)
					for i := range items {
						items[i] = protocol.Item{Kind: protocol.ItemGroup, To: "room", Body: body}
					}
					if err := speaker.Send(&protocol.Frame{Boot: benchBoot, Append: &protocol.Append{Epoch: 1, Base: 1, First: next, Items: items}}); err != nil {
						return err
					}
					next += batch
					if err := accepted(speaker); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			bare, err := atBare.measure(ctx, messages, func() error {
				for range messages {
					if t := pub.Publish("live", 1, false, body); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
						return errors.Join(errors.New("publish to mosquitto"), t.Error())
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			ours, theirs, ratios = append(ours, rate), append(theirs, bare), append(ratios, rate/bare)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rate, ratio := median(ours), median(ratios)
	how := fmt.Sprintf("%d terminals in the room, each a connection that counts what comes; %d messages of %d B in batches of 10, from the first byte of the first to the last at the last terminal. "+
		"Median of %d rounds, each followed by the same at Mosquitto with one publisher (%.0f/s); all on this machine.", online, messages, messageBytes, rounds, median(theirs))
	return []row{
		{fmt.Sprintf("AVChatRoom, %d online: deliveries", online), "≥ 30,000/s", fmt.Sprintf("%.0f/s", rate), rate >= 30_000, how},
		{"the same, as a share of Mosquitto's fan-out", "≥ 0.6", fmt.Sprintf("%.2f", ratio), ratio >= 0.6, ""},
	}, nil
}

// accepted waits for the answer to a batch.
func accepted(c *link.Conn) error {
	for {
		select {
		case m := <-c.In():
			m.Ack()
			f, err := protocol.DecodeFrame(m.Payload)
			switch {
			case err != nil:
				return err
			case f.Acks != nil && f.Acks.Results[0].Code != 0:
				return &protocol.Error{Code: f.Acks.Results[0].Code, Msg: "the batch is refused"}
			case f.Acks != nil:
				return nil
			}
		case <-c.Down():
			return c.Err()
		case <-time.After(30 * time.Second):
			return errors.New("no answer to a batch")
		}
	}
}

// listeners are connections that count what is published to them.
type listeners struct {
	conns []net.Conn
	count atomic.Int64
	lost  chan error
	wg    sync.WaitGroup
}

// audience connects n listeners and subscribes each to a topic with QoS 0.
func audience(addr string, n int, topic string, who func(i int) (clientID, name, password string, err error)) (*listeners, error) {
	l := &listeners{lost: make(chan error, n)}
	for i := range n {
		id, name, password, err := who(i)
		if err != nil {
			l.close()
			return nil, err
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
		r := bufio.NewReaderSize(c, 8<<10)
		flags, parts := byte(2), [][]byte{mqttString(id)}
		if name != "" {
			flags |= 0xc0
			parts = append(parts, mqttString(name), mqttString(password))
		}
		hello := append([][]byte{mqttString("MQTT"), {4, flags, 0, 0}}, parts...)
		_, err = c.Write(append(mqttPacket(0x10, hello...), mqttPacket(0x82, []byte{0, 1}, mqttString(topic), []byte{0})...))
		for _, want := range []byte{0x20, 0x90} {
			var head byte
			var body []byte
			if err == nil {
				head, body, err = readPacket(r)
			}
			if err == nil && (head != want || body[len(body)-1] != 0) {
				err = fmt.Errorf("%s: % x % x instead of a grant", id, head, body)
			}
		}
		if err != nil {
			l.close()
			return nil, err
		}
		l.wg.Go(func() {
			for {
				head, _, err := readPacket(r)
				if err != nil {
					l.lost <- err
					return
				}
				if head&0xf0 == 0x30 {
					l.count.Add(1)
				}
			}
		})
	}
	return l, nil
}

func (l *listeners) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.wg.Wait()
}

// measure has n messages sent and returns how many reach the listeners in a second.
func (l *listeners) measure(ctx context.Context, n int, send func() error) (float64, error) {
	want := l.count.Load() + int64(n*len(l.conns))
	began := time.Now()
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	for l.count.Load() < want {
		select {
		case err := <-l.lost:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Millisecond):
		}
		if time.Since(began) > 2*time.Minute {
			return 0, fmt.Errorf("%d deliveries are missing", want-l.count.Load())
		}
	}
	took := time.Since(began)
	return perSecond(n*len(l.conns), took), <-sent
}

func mqttString(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func mqttPacket(head byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(binary.AppendUvarint([]byte{head}, uint64(len(body))), body...)
}

func readPacket(r *bufio.Reader) (head byte, body []byte, err error) {
	if head, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > 1<<20 {
		return 0, nil, errors.Join(err, errors.New("no packet"))
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return head, body, err
}
