package main

import "github.com/herald-im/herald/protocol"

// frameSample is an example of a frame. Its name begins with the kind.
type frameSample struct {
	name  string
	about string
	frame protocol.Frame
}

// body encodes what is in an entry, an item or a call.
func body(v any) []byte {
	b, err := protocol.Marshal(v)
	if err != nil {
		panic(err) // a type of this package that CBOR cannot say
	}
	return b
}

func frameSamples() []frameSample {
	conversation, group, own := protocol.C2CLog(door, indoor), protocol.GroupLog(family), protocol.UserLog(door)
	text := body(protocol.Message{Elem: protocol.ElemText, Text: "Somebody is at the door"})
	bell := body(protocol.Message{Elem: protocol.ElemCustom, Custom: `{"bell":"long"}`})
	picture := body(protocol.Message{Elem: protocol.ElemSound, Duration: 4, Files: []protocol.File{{Hash: hash, Size: 48120, Role: protocol.RoleOriginal}}})
	joined := body(protocol.Tip{Kind: protocol.TipJoined, Users: []string{door}})
	offer := body(protocol.Peering{
		Kind: protocol.PeeringOffer, Inviter: door, Room: 81427, Session: 0x5be0cd19137e2179, Round: 1, SDP: "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
		Candidates: []string{"candidate:1 1 udp 2130706431 192.0.2.7 41000 typ host"}, Audio: true, Video: true,
	})
	eras := []protocol.Era{{Ord: 4, ID: 0x9d1f2e3c4b5a6978}, {Ord: 5, ID: 0x1122334455667788}}
	digest := protocol.CursorHash(conversation, 40) + protocol.CursorHash(group, 7)
	first := protocol.Entry{
		Seq: 41, Era: 5, Time: millis, Kind: protocol.EntryMessage, From: door, MsgID: msgID(41), Body: text, Term: board,
	}
	second := protocol.Entry{
		Seq: 42, Era: 5, Time: millis + 12, Kind: protocol.EntryMessage, From: door, MsgID: msgID(42), Body: bell, Term: board,
	}
	tip := protocol.Entry{Seq: 8, Era: 5, Time: millis, Kind: protocol.EntryTip, From: door, Body: joined}
	name := "The house"
	changed := protocol.Entry{Seq: 9, Era: 5, Time: millis, Kind: protocol.EntryTip, From: indoor, MsgID: msgID(9), Body: body(protocol.Tip{
		Kind: protocol.TipChanged, Change: &protocol.GroupChange{GroupName: &name},
	})}
	befriended, err := protocol.NewHubEvent(protocol.OnFriendListAdded, protocol.FriendsEvent{InfoList: []protocol.FriendInfo{friend()}})
	if err != nil {
		panic(err) // a type of the registry that CBOR cannot say
	}
	event := protocol.Entry{Seq: 4, Era: 5, Time: millis, Kind: protocol.EntryEvent, From: "phone", Body: befriended}
	nobody := []protocol.LiveRoom{}

	return []frameSample{
		{"hello", "door opens a session with what it knew when it was last there", protocol.Frame{Boot: boot, Hello: &protocol.Hello{
			Version: protocol.Version, Program: "herald 1.0.0", Platform: "linux", Epoch: epoch, Eras: eras, Digest: digest, Logs: 2,
		}}},
		{"hello-first", "a board that was never here before", protocol.Frame{Boot: 1, Hello: &protocol.Hello{
			Version: protocol.Version, Platform: "linux", Epoch: 1,
		}}},
		{"welcome", "the hub has door's last item, 40, and one log has moved on", protocol.Frame{Exp: millis + 30000, Welcome: &protocol.Welcome{
			Boot: boot, Time: millis, Hub: "herald-hub 1.0.0", Epoch: epoch, LastCseq: 40, Eras: eras, Heads: true,
			Live: []protocol.LiveRoom{{Group: lobby, Epoch: 2}}, BeatMs: 60000, Common: 5,
		}}},
		{"append", "a text, an item that was withdrawn, and custom data to the group that got its id in an earlier epoch",
			protocol.Frame{Boot: boot, Append: &protocol.Append{Epoch: epoch, Base: 38, First: 41, Items: []protocol.Item{
				{Kind: protocol.ItemC2C, To: indoor, Body: text},
				{Kind: protocol.ItemVoid},
				{Kind: protocol.ItemGroup, To: family, Body: bell, Priority: 1, IDEpoch: epoch - 1},
			}}}},
		{"acks", "stored, in no log, refused", protocol.Frame{Acks: &protocol.Acks{Epoch: epoch, First: 41, Results: []protocol.Ack{
			{Log: conversation, Seq: 41, Time: millis},
			{Time: millis},
			{Code: protocol.CodeSvrGroupNotFound, Msg: "the group does not exist (or was dismissed)"},
		}}}},
		{"push", "two messages of a conversation and a change of a group", protocol.Frame{Exp: millis + 30000, Push: &protocol.Push{
			Logs: []protocol.LogEntries{{Log: conversation, Entries: []protocol.Entry{first, second}}, {Log: group, Entries: []protocol.Entry{tip}}},
		}}},
		{"append-waited", "what waited on door while it had no link is held to no group's rate", protocol.Frame{Boot: boot, Append: &protocol.Append{
			Epoch: epoch, Base: 38, First: 48, Items: []protocol.Item{
				{Kind: protocol.ItemGroup, To: family, Body: text, Waited: true},
				{Kind: protocol.ItemMark, Body: body(protocol.Mark{Kind: protocol.MarkOption, Log: group, UpTo: uint64(protocol.RecvNot)})},
			}}}},
		{"push-people", "a group was renamed by somebody who has a nickname, and a name of his own in it", protocol.Frame{Exp: millis + 30000,
			People: []protocol.Person{{User: indoor, Nick: "Anna", Face: "https://pictures.example/anna.png", Group: family, Card: "Mum"}},
			Push:   &protocol.Push{Logs: []protocol.LogEntries{{Log: group, Entries: []protocol.Entry{changed}}}},
		}},
		{"push-event", "door has a new friend", protocol.Frame{Exp: millis + 30000, Push: &protocol.Push{
			Logs: []protocol.LogEntries{{Log: own, Entries: []protocol.Entry{event}}},
		}}},
		{"pull", "door has missed entries of a conversation", protocol.Frame{Boot: boot, Pull: &protocol.Pull{
			ID: 7, Log: conversation, After: 40, Limit: 256,
		}}},
		{"append-marks", "door has read, deletes a message, takes one back, and sends one whose file went up first", protocol.Frame{Boot: boot, Append: &protocol.Append{
			Epoch: epoch, Base: 38, First: 44, Items: []protocol.Item{
				{Kind: protocol.ItemMark, Body: body(protocol.Mark{Kind: protocol.MarkRead, Log: conversation, UpTo: 42})},
				{Kind: protocol.ItemMark, Body: body(protocol.Mark{Kind: protocol.MarkDeleted, Log: group, Seqs: []uint64{7}})},
				{Kind: protocol.ItemRevoke, Body: body(protocol.Revoke{Log: conversation, MsgID: msgID(41)})},
				{Kind: protocol.ItemC2C, To: indoor, Body: picture, IDEpoch: epoch - 1, IDNumber: protocol.FirstIDNumber + 3},
			}}}},
		{"push-marks", "indoor has read, and took a message back; door's other terminal has deleted one", protocol.Frame{Exp: millis + 30000, Push: &protocol.Push{
			Logs: []protocol.LogEntries{
				{Log: conversation, Entries: []protocol.Entry{
					{Seq: 43, Era: 5, Time: millis, Kind: protocol.EntryMark, From: indoor, Term: board, Body: body(protocol.Mark{Kind: protocol.MarkRead, Log: conversation, UpTo: 42})},
					{Seq: 44, Era: 5, Time: millis, Kind: protocol.EntryRevoke, From: indoor, Term: board, Body: body(protocol.Revoke{MsgID: msgID(41), Seq: 41, Sender: indoor})},
				}},
				{Log: own, Entries: []protocol.Entry{
					{Seq: 3, Era: 5, Time: millis, Kind: protocol.EntryMark, From: door, Term: "phone", Body: body(protocol.Mark{Kind: protocol.MarkDeleted, Log: group, Seqs: []uint64{7}})},
				}},
			}}}},
		{"pull-history", "the page before a seq", protocol.Frame{Boot: boot, Pull: &protocol.Pull{ID: 9, Log: conversation, Before: 43, Limit: 20}}},
		{"pull-message", "where is it?", protocol.Frame{Boot: boot, Pull: &protocol.Pull{ID: 10, Log: conversation, MsgID: msgID(41)}}},
		{"range-history", "the answer to pull-history; a message was taken back", protocol.Frame{Exp: millis + 30000, Range: &protocol.Range{
			ID: 9, Log: conversation, From: 1, Head: 44, Least: 1, Entries: []protocol.Entry{second, {
				Seq: 41, Era: 5, Time: millis, Kind: protocol.EntryMessage, From: door, MsgID: msgID(41), Term: board, RevokedBy: door,
			}},
		}}},
		{"range-truncated", "door was away for too long", protocol.Frame{Exp: millis + 30000, Range: &protocol.Range{
			ID: 7, Log: conversation, From: 100040, Head: 200040, Truncated: true,
		}}},
		{"survey", "door knows nothing of two logs yet", protocol.Frame{Boot: boot, Survey: &protocol.Survey{ID: 11, Items: []protocol.SurveyItem{
			{Log: conversation, Before: 41}, {Log: group},
		}}}},
		{"states", "the answer to survey", protocol.Frame{Exp: millis + 30000, States: &protocol.States{ID: 11, Items: []protocol.State{
			{Log: conversation, Head: 44, Read: 38, PeerRead: 42, Cleared: 12, Unread: 2, Last: &protocol.Entry{
				Seq: 40, Era: 5, Time: millis, Kind: protocol.EntryMessage, From: indoor, MsgID: msgID(40), Term: board, Body: text,
			}},
			{Log: group, Head: 8, Type: protocol.GroupMeeting, Name: "The family", RecvOpt: protocol.RecvQuiet},
		}}}},
		{"signal-online", "door's text in a conversation, for those who are online alone", protocol.Frame{Exp: millis + 5000, Signal: &protocol.Signal{
			From: door, Term: board, MsgID: msgID(47), Time: millis, Body: text, Online: true, Peer: indoor,
		}}},
		{"pull-fresh", "door has no cursor of the group yet", protocol.Frame{Boot: boot, Pull: &protocol.Pull{
			ID: 8, Log: group, Fresh: true,
		}}},
		{"range", "the answer to pull", protocol.Frame{Exp: millis + 30000, Range: &protocol.Range{
			ID: 7, Log: conversation, From: 40, Head: 42, Entries: []protocol.Entry{first, second},
		}}},
		{"range-refused", "door is no member", protocol.Frame{Exp: millis + 30000, Range: &protocol.Range{
			ID: 8, Log: group, Code: protocol.CodeSvrGroupPermissionDeny, Msg: "no permission for this group operation",
		}}},
		{"call", "im.createGroup", protocol.Frame{Exp: millis + 10000, Boot: boot, Call: &protocol.Call{
			ID: 12, Method: protocol.CreateGroup.Info().Name,
			Body: body(protocol.CreateGroupRequest{GroupType: protocol.GroupMeeting, GroupID: family, GroupName: "The family"}),
		}}},
		{"reply", "the answer to call", protocol.Frame{Exp: millis + 10000, Reply: &protocol.Reply{
			ID: 12, Body: body(protocol.CreateGroupResponse{GroupID: family}),
		}}},
		{"reply-refused", "the other answer", protocol.Frame{Exp: millis + 10000, Reply: &protocol.Reply{
			ID: 12, Code: protocol.CodeSvrGroupGroupIDInUsed, Msg: "the groupId is in use by another owner",
		}}},
		{"beat", "door lives; one cursor has moved", protocol.Frame{Boot: boot, Beat: &protocol.Beat{
			Digest: digest, Logs: 2, Moved: []protocol.Cursor{{Log: conversation, Seq: 40}},
		}}},
		{"heads", "the logs of door", protocol.Frame{Exp: millis + 30000, Heads: &protocol.Heads{Time: millis, More: true, Items: []protocol.Head{
			{Log: conversation, Seq: 42}, {Log: group, Seq: 8, Start: 6},
		}}}},
		{"heads-none", "nothing has moved", protocol.Frame{Exp: millis + 30000, Heads: &protocol.Heads{Time: millis}}},
		{"heads-rewound", "the hub's database came back from an older copy", protocol.Frame{Exp: millis + 30000, Heads: &protocol.Heads{
			Time: millis, Items: []protocol.Head{{Log: conversation, Seq: 39, Was: 37}, {Log: own, Seq: 2}},
		}}},
		{"signal", "a message in a live room", protocol.Frame{Exp: millis + 5000, Signal: &protocol.Signal{
			Group: lobby, From: door, Term: board, MsgID: msgID(45), Time: millis, Body: text,
		}}},
		{"signal-tip", "somebody has joined a live room", protocol.Frame{Exp: millis + 5000, Signal: &protocol.Signal{
			Group: lobby, From: door, Time: millis, Kind: protocol.EntryTip, Body: joined,
		}}},
		{"signal-rooms", "indoor listens to no live room any more", protocol.Frame{Exp: millis + 5000, Signal: &protocol.Signal{
			From: indoor, Time: millis, Rooms: &nobody,
		}}},
		{"signal-offer", "indoor offers door a connection for their call", protocol.Frame{Exp: millis + 5000, Signal: &protocol.Signal{
			From: indoor, Term: board, Time: millis, Body: offer, To: door, ToTerm: board,
		}}},
		{"bye", "the account logged in elsewhere", protocol.Frame{Bye: &protocol.Bye{
			Boot: boot, Code: protocol.CodeLoginKickedOffByOther, Msg: "the account logged in on another linux terminal",
		}}},
		{"bye-operator", "the operator ended the session", protocol.Frame{Bye: &protocol.Bye{
			Boot: boot, Code: protocol.CodeLoginKickedOffByOther, Msg: "the operator ended the session", Operator: true,
		}}},
		{"bye-will", "the will of a terminal: its connection is gone", protocol.Frame{Boot: boot, Bye: &protocol.Bye{Boot: boot}}},
	}
}
