package journal

import "github.com/herald-im/herald/protocol"

// Event is an occurrence at its place in the journal. Positions begin at 1 and
// rise by one; each event has its own for ever.
type Event struct {
	Pos uint64
	protocol.Occurrence
}
