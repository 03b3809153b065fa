package hub

import (
	"github.com/herald-im/herald/protocol"
)

// appendJob is a batch of a terminal's producer, its items checked as far as
// that goes without the database.
type appendJob struct {
	s           *session
	boot        uint64
	epoch       uint32
	base, first uint64
	items       []item
	bytes       int
	superseded  bool // by a newer batch, see queue
	again       bool // its transaction failed before, which it may not have
}

func (j *appendJob) cost() int          { return j.bytes }
func (j *appendJob) producer() producer { return producer{j.s.user, j.s.terminal} }

// item is an item with the answer it has already, if it is refused for its form.
type item struct {
	protocol.Item
	refusal *protocol.Error
	files   []protocol.File // that the message names
}

// append takes a batch. It is answered by the emitter, after the commit.
func (h *Hub) append(s *session, in *protocol.Append) error {
	j := &appendJob{s: s, boot: s.boot, epoch: in.Epoch, base: in.Base, first: in.First, items: make([]item, len(in.Items))}
	j.bytes = 256 + len(in.Items)*64
	bodies := 0
	for i, it := range in.Items {
		bodies += len(it.Body)
		j.items[i].Item = it
		j.items[i].files, j.items[i].refusal = h.checkItem(&it)
	}
	j.bytes += bodies
	return h.queue.push(j)
}

// messageHead is what a message may have beside its text or custom data, in bytes.
const messageHead = 256

// fileHead is what a file of it may add: its hash, its name and some numbers.
const fileHead = 128 + protocol.MaxFileName

// checkItem refuses what is wrong whatever the database says. It gives the files
// that a message names.
func (h *Hub) checkItem(it *protocol.Item) ([]protocol.File, *protocol.Error) {
	switch it.Kind {
	case protocol.ItemVoid, protocol.ItemMark, protocol.ItemRevoke: // the planner reads what is in them
		return nil, nil
	case protocol.ItemC2C:
		if !protocol.ValidUserID(it.To) {
			return nil, protocol.Errorf(protocol.CodeSvrMsgToAccountNotFound, "the receiver is not a valid userId")
		}
	case protocol.ItemGroup:
		if !protocol.ValidGroupID(it.To) {
			return nil, protocol.Errorf(protocol.CodeSvrGroupNotFound, "the groupId is not valid")
		}
		if it.Priority > protocol.MaxPriority {
			return nil, protocol.Errorf(protocol.CodeInvalidParameters, "priority: %d is not 0 to %d", it.Priority, protocol.MaxPriority)
		}
	default:
		return nil, protocol.Errorf(protocol.CodeInvalidParameters, "this hub does not know items of kind %d: update it", it.Kind)
	}
	if it.IDNumber != 0 && !validIDNumber(it.IDNumber) {
		return nil, protocol.Errorf(protocol.CodeInvalidParameters, "idNumber: %d could be the number of an item", it.IDNumber)
	}
	m, err := protocol.DecodeMessage(it.Body)
	if err != nil {
		return nil, protocol.AsError(err)
	}
	// All of it counts, also what this hub does not know.
	most := h.cfg.MessageBytes + messageHead + len(m.Files)*fileHead
	if len(m.Text) > h.cfg.MessageBytes || len(m.Custom) > h.cfg.MessageBytes || len(it.Body) > most {
		return nil, protocol.Errorf(protocol.CodeSvrBodySizeLimit, "the message is over this hub's limit of %d bytes", h.cfg.MessageBytes)
	}
	return m.Files, nil
}

// validIDNumber tells whether n is for ids of messages alone.
func validIDNumber(n uint64) bool { return n >= protocol.FirstIDNumber }

// record is what a producer's row keeps of the answers to its last batch. An
// answer repeats what its neighbours say but for the seq, so runs are short.
type record struct {
	First uint64   `cbor:"1,keyasint"` // number of the item that the runs begin with
	Runs  []ackRun `cbor:"2,keyasint"`
}

// ackRun is the answer to N consecutive items. With a Log, their seqs follow each
// other from Seq.
type ackRun struct {
	N    uint32        `cbor:"1,keyasint"`
	Code protocol.Code `cbor:"2,keyasint,omitempty"`
	Msg  string        `cbor:"3,keyasint,omitempty"`
	Log  string        `cbor:"4,keyasint,omitempty"`
	Seq  uint64        `cbor:"5,keyasint,omitempty"`
	Time int64         `cbor:"6,keyasint,omitempty"`
}

func newRecord(first uint64, acks []protocol.Ack) record {
	r := record{First: first}
	for _, a := range acks {
		if n := len(r.Runs); n > 0 {
			last := &r.Runs[n-1]
			if last.Code == a.Code && last.Msg == a.Msg && last.Log == a.Log && last.Time == a.Time &&
				(a.Log == "" || a.Seq == last.Seq+uint64(last.N)) {
				last.N++
				continue
			}
		}
		r.Runs = append(r.Runs, ackRun{1, a.Code, a.Msg, a.Log, a.Seq, a.Time})
	}
	return r
}

// acks is the answers one by one.
func (r record) acks() []protocol.Ack {
	var out []protocol.Ack
	for _, run := range r.Runs {
		for i := range min(run.N, protocol.MaxBatchItems) {
			a := protocol.Ack{Code: run.Code, Msg: run.Msg, Log: run.Log, Time: run.Time}
			if run.Log != "" {
				a.Seq = run.Seq + uint64(i)
			}
			out = append(out, a)
		}
	}
	return out
}
