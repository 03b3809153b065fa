package peer

import (
	"io"
	"sync/atomic"

	"github.com/pion/transport/v5/packetio"
)

const (
	// maxStreams is how many streams a far end may begin, and reports on streams, by their SSRCs. A call has ten.
	maxStreams = 32
	// maxUnread bounds what is kept of a stream that is not read as fast as it comes, in bytes: some seconds of video. More is
	// dropped.
	maxUnread = 512 << 10
)

// streams bounds what a far end can make pion keep: it takes any number of streams, reads none that was not negotiated, and
// keeps a megabyte of each.
type streams struct {
	begun   atomic.Int32
	tooMany func() // must not block
	one     func() // likewise: there is one; nil: nobody wants to know
}

// buffer is pion's: it makes what keeps a stream's packets until they are read.
func (s *streams) buffer(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	b := unread{packetio.NewBuffer()}
	b.SetLimitSize(maxUnread)
	if s.one != nil {
		s.one()
	}
	if s.begun.Add(1) > maxStreams {
		b.SetLimitSize(1)
		s.tooMany()
	}
	return b
}

// unread is a packetio.Buffer without the packets' attributes, which nobody here asks for.
type unread struct{ *packetio.Buffer }

func (u unread) Read(b []byte) (int, error) {
	n, _, err := u.Buffer.Read(b, nil)
	return n, err
}

func (u unread) Write(b []byte) (int, error) { return u.Buffer.Write(b, nil) }
