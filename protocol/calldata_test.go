package protocol

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type callExample struct {
	Name string
	Data string
	Is   *CallData
}

func callExamples(t testing.TB, file string) (out []callExample) {
	b, err := os.ReadFile(filepath.Join("testdata", "calldata", file))
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil || len(out) == 0 {
		t.Fatalf("%s: %d examples, %v", file, len(out), err)
	}
	return out
}

func TestCallDataAsOthersWriteIt(t *testing.T) {
	for _, x := range callExamples(t, "read.json") {
		d, ok := DecodeCallData(x.Data)
		if ok != (x.Is != nil) || ok && !reflect.DeepEqual(d, *x.Is) {
			t.Errorf("%s: %+v %v", x.Name, d, ok)
		}
	}
	if _, ok := DecodeCallData(`{"businessID":"av_call","data":{"cmd":"audioCall","message":"` + strings.Repeat("x", MaxTextBytes) + `"}}`); ok {
		t.Error("longer than a message can be")
	}
}

func TestCallDataAsWeWriteIt(t *testing.T) {
	for _, x := range callExamples(t, "written.json") {
		if got := x.Is.Encode(); got != x.Data {
			t.Errorf("%s:\n%s, not\n%s", x.Name, got, x.Data)
		}
		if back, ok := DecodeCallData(x.Data); !ok || !reflect.DeepEqual(back, *x.Is) {
			t.Errorf("%s: read back as %+v %v", x.Name, back, ok)
		}
	}
}

func FuzzCallData(f *testing.F) {
	for _, x := range append(callExamples(f, "read.json"), callExamples(f, "written.json")...) {
		f.Add(x.Data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		d, ok := DecodeCallData(data)
		if !ok {
			return
		}
		if d.Room > maxRoom || len(d.UserIDs) > MaxInvitees || d.Seconds < 0 {
			t.Fatalf("%+v", d)
		}
		if d.Command == "" {
			return
		}
		// What we understand we can say, and understand again.
		again, ok := DecodeCallData(d.Encode())
		if len(d.Encode()) > MaxTextBytes {
			return
		}
		if d.Command == CommandHangup != (d.Seconds > 0) {
			again.Seconds = d.Seconds
		}
		if !ok || !reflect.DeepEqual(again, d) {
			t.Fatalf("%+v, said again %+v", d, again)
		}
	})
}

func FuzzPeering(f *testing.F) {
	for _, p := range []Peering{
		{Kind: PeeringJoin, Inviter: "door", Room: 7},
		{Kind: PeeringOffer, Inviter: "door", Room: 7, Session: 1, Round: 1, SDP: "v=0\r\n", Candidates: []string{"candidate:1 1 udp 1 192.0.2.1 9 typ host"}, Audio: true},
		{Kind: PeeringLeave, Inviter: "door", Room: 7, Reason: "hung up"},
	} {
		b, err := Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePeering(b)
		if err != nil {
			return
		}
		out, err := Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodePeering(out); err != nil && len(out) <= len(b) || err == nil && !reflect.DeepEqual(back, p) {
			t.Fatalf("%+v, again %+v, %v", p, back, err)
		}
	})
}
