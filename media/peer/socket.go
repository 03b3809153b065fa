package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
	"golang.org/x/sys/unix"
)

// socketBuffer is asked of the kernel in both directions, in bytes: a key frame comes as one burst. The kernel may give less.
const socketBuffer = 1 << 20

// socket is the one UDP socket. pion's mux stops for good at the first read that fails, so failures that pass are kept
// from it.
type socket struct {
	*net.UDPConn
	closed    chan struct{}
	closeOnce sync.Once
}

// listen opens the socket on all addresses, of IPv6 too where the kernel has it. Port 0 takes any free one.
func listen(port int) (*socket, error) {
	config := net.ListenConfig{Control: mayNotBroadcast}
	conn, err := config.ListenPacket(context.Background(), "udp", fmt.Sprint(":", port))
	if err != nil {
		return nil, fmt.Errorf("opening UDP port %d for calls: %w", port, err)
	}
	udp := conn.(*net.UDPConn)
	_ = udp.SetReadBuffer(socketBuffer)
	_ = udp.SetWriteBuffer(socketBuffer)
	return &socket{UDPConn: udp, closed: make(chan struct{})}, nil
}

// mayNotBroadcast takes back what Go lets every UDP socket do: a remote candidate could name an address that means all of a
// network.
func mayNotBroadcast(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 0) })
	return errors.Join(err, set)
}

func (s *socket) port() int { return s.LocalAddr().(*net.UDPAddr).Port }

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := s.UDPConn.ReadFromUDPAddrPort(b)
		if err == nil || errors.Is(err, net.ErrClosed) {
			return n, from, err
		}
		select {
		case <-s.closed:
			return 0, netip.AddrPort{}, net.ErrClosed
		case <-time.After(10 * time.Millisecond): // for the case that the error stays
		}
	}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (s *socket) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return s.UDPConn.WriteToUDPAddrPort(b, to)
}

func (s *socket) Close() error {
	err := net.ErrClosed
	s.closeOnce.Do(func() {
		close(s.closed)
		err = s.UDPConn.Close()
	})
	return err
}

// mux shares the socket between connections. pion's own mux over an unbound socket would name the addresses of all
// interfaces as candidates; this one asks for the allowed ones, each time candidates are gathered.
type mux struct {
	*ice.UDPMuxDefault
	interfaces interfaces
	port       int
}

func (m *mux) GetListenAddresses() []net.Addr {
	addrs, err := m.interfaces.addresses()
	if err != nil {
		return nil // no candidates now; the next change of the network brings a restart
	}
	list := make([]net.Addr, len(addrs))
	for i, a := range addrs {
		list[i] = net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(m.port)))
	}
	return list
}

// network is pion's view of the system. stdnet reads the interfaces once; a call outlives networks.
type network struct{ *stdnet.Net }

func (network) Interfaces() ([]*transport.Interface, error) {
	fresh, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return fresh.Interfaces()
}
