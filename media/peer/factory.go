package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"
)

// How connections behave. pion's defaults are made for the open internet and for patience; a door panel wants a picture.
const (
	// disconnectedAfter is how long nothing is heard before a connection counts as disconnected.
	disconnectedAfter = 2500 * time.Millisecond
	// failedAfter is added to it: then pion gives up. Who places calls decides sooner.
	failedAfter = 22500 * time.Millisecond
	// keepalive is how often the connection is looked at, also to notice that the far end is heard again.
	keepalive = 500 * time.Millisecond
	// acceptWait is how long a working pair of candidates is held back in hope of a better one. 0 would mean pion's default. A
	// path that answers sooner waits for the next round of checks, 200 ms later: on a wire a millisecond is long.
	acceptWait = time.Nanosecond
	// relayWait gives a direct path some time before a relay is taken: routers let the second round of checks through, 200 ms
	// after the first.
	relayWait = 350 * time.Millisecond
	// stunWait bounds the wait for a STUN server's answer.
	stunWait = 3 * time.Second
	// handshakeRetry is when DTLS first sends a lost flight again; it doubles from there.
	handshakeRetry = 150 * time.Millisecond
	// replayWindow in packets: a burst over Wi-Fi may arrive far out of order.
	replayWindow = 512
)

// ErrTooMany is returned when Config.MaxConnections are open.
var ErrTooMany = errors.New("peer: too many connections")

// Config of a Factory.
type Config struct {
	Port              int      // UDP port of all connections; 0 for any free one
	Interfaces        []string // patterns of the interfaces to use; empty for all that are not excluded
	ExcludeInterfaces []string // patterns of those not to use: nobody reaches a container's bridge, and each costs every call some checks
	IncludeLoopback   bool     // also offer 127.0.0.1 and ::1
	CertFile          string   // keeps the DTLS certificate and its key (PEM, 0600); "" for a new one in each process
	MaxConnections    int      // Peers and Viewers at once; 0 for 64
	// What each connection may take at least and at most for what is sent over it, in bit/s; 0 for 100,000 and 10,000,000.
	MinBitrate, MaxBitrate int
	Log                    *slog.Logger
}

// Factory makes the connections of a process.
type Factory struct {
	config     Config
	log        *slog.Logger
	interfaces interfaces
	api        func(*Peer) (*webrtc.API, error)
	socket     *socket
	mux        *mux
	wg         sync.WaitGroup // the certificate's maker, and events' goroutines of Peers

	certReady chan struct{} // closed when cert or certErr is there
	certMu    sync.Mutex
	cert      *webrtc.Certificate
	certErr   error

	mu     sync.Mutex
	closed bool
	peers  map[*Peer]struct{}
}

// New opens the port and begins to read or make the certificate.
func New(config Config) (*Factory, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.MaxConnections == 0 {
		config.MaxConnections = 64
	}
	if config.MinBitrate <= 0 {
		config.MinBitrate = 100_000
	}
	if config.MaxBitrate <= 0 {
		config.MaxBitrate = 10_000_000
	}
	config.MaxBitrate = max(config.MaxBitrate, config.MinBitrate)
	f := &Factory{
		config: config, log: config.Log, certReady: make(chan struct{}), peers: map[*Peer]struct{}{},
		interfaces: interfaces{allow: config.Interfaces, exclude: config.ExcludeInterfaces, loopback: config.IncludeLoopback},
	}
	if err := f.interfaces.check(); err != nil {
		return nil, err
	}
	if err := f.open(); err != nil {
		f.shut()
		return nil, err
	}
	f.wg.Go(func() {
		defer close(f.certReady)
		f.renewCertificate()
	})
	return f, nil
}

func (f *Factory) open() error {
	pion := pionLog{f.log}
	media, err := engine()
	if err != nil {
		return err
	}
	if f.socket, err = listen(f.config.Port); err != nil {
		return err
	}
	std, err := stdnet.NewNet()
	if err != nil {
		return fmt.Errorf("reading the network interfaces: %w", err)
	}
	f.mux = &mux{
		UDPMuxDefault: ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: f.socket, Net: std, Logger: pion.NewLogger("mux")}),
		interfaces:    f.interfaces, port: f.socket.port(),
	}

	var s webrtc.SettingEngine
	s.LoggerFactory = pion
	s.SetICEUDPMux(f.mux)
	s.SetNet(network{std})
	// TCP is in the list for relays that are reached over it. We never connect to a remote candidate over TCP.
	s.SetNetworkTypes([]webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	})
	s.DisableActiveTCP(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" || f.interfaces.allowed(name) })
	s.SetIncludeLoopbackCandidate(f.config.IncludeLoopback)
	s.SetRemoteIPFilter(f.interfaces.worthTrying)
	// Names ending in .local are not resolved: a browser that hides its address so reaches ours, and pion takes the address
	// that its checks come from.
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepalive)
	s.SetHostAcceptanceMinWait(acceptWait)
	s.SetSrflxAcceptanceMinWait(acceptWait)
	s.SetPrflxAcceptanceMinWait(acceptWait)
	s.SetRelayAcceptanceMinWait(relayWait)
	s.SetSTUNGatherTimeout(stunWait)
	s.SetDTLSRetransmissionInterval(handshakeRetry)
	// The cookie exchange guards against forged addresses, which ICE has checked already; it costs a round trip.
	s.SetDTLSInsecureSkipHelloVerify(true)
	s.SetSRTPReplayProtectionWindow(replayWindow)
	s.SetSRTCPReplayProtectionWindow(replayWindow)
	f.api = func(p *Peer) (*webrtc.API, error) {
		s := s
		s.BufferFactory = p.streams.buffer
		r, err := interceptors(p.wire, pion)
		if err != nil {
			return nil, err
		}
		return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)), nil
	}
	return nil
}

// Port gives the UDP port.
func (f *Factory) Port() int { return f.socket.port() }

// renewCertificate reads or makes the certificate.
func (f *Factory) renewCertificate() {
	begun := time.Now()
	cert, made, err := loadCertificate(f.config.CertFile, begun)
	if made != "" && cert != nil {
		f.log.Info("made a DTLS certificate", "because", made, "took", time.Since(begun).Round(time.Millisecond))
	}
	if cert != nil && err != nil {
		f.log.Warn("the next start has to make a DTLS certificate again", "err", err)
		err = nil
	}
	f.certMu.Lock()
	defer f.certMu.Unlock()
	f.cert, f.certErr = cert, err
}

// certificate waits for the certificate, and replaces one that a long life of the process has brought near its end.
func (f *Factory) certificate(ctx context.Context) (webrtc.Certificate, error) {
	select {
	case <-f.certReady:
	case <-ctx.Done():
		return webrtc.Certificate{}, fmt.Errorf("waiting for the DTLS certificate: %w", ctx.Err())
	}
	f.certMu.Lock()
	again := f.certErr != nil || !usable(f.cert.Expires(), time.Now())
	f.certMu.Unlock()
	if again {
		f.renewCertificate()
	}
	f.certMu.Lock()
	defer f.certMu.Unlock()
	if f.certErr != nil {
		return webrtc.Certificate{}, f.certErr
	}
	return *f.cert, nil
}

// add counts a connection in.
func (f *Factory) add(p *Peer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return ErrClosed
	case len(f.peers) >= f.config.MaxConnections:
		return fmt.Errorf("%w: %d are open", ErrTooMany, len(f.peers))
	}
	f.peers[p] = struct{}{}
	f.wg.Add(1) // for the goroutine of its events
	return nil
}

func (f *Factory) remove(p *Peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.peers, p)
}

// Close closes all connections and the port, and waits for all goroutines, also for callbacks that are under way: it must
// not be called from one.
func (f *Factory) Close() {
	f.mu.Lock()
	f.closed = true
	var open []*Peer
	for p := range f.peers {
		open = append(open, p)
	}
	f.mu.Unlock()
	var closing sync.WaitGroup
	for _, p := range open {
		closing.Go(p.Close)
	}
	closing.Wait()
	f.shut()
	f.wg.Wait()
}

func (f *Factory) shut() {
	if f.mux != nil {
		_ = f.mux.Close()
	}
	if f.socket != nil {
		_ = f.socket.Close()
	}
}

// ICEServer is a STUN or TURN server.
type ICEServer struct {
	URLs               []string // such as "stun:host:3478", "turn:host:3478?transport=udp", "turns:host:5349"
	Username, Password string   // for TURN
}

func pionServers(servers []ICEServer) []webrtc.ICEServer {
	list := make([]webrtc.ICEServer, len(servers))
	for i, s := range servers {
		list[i] = webrtc.ICEServer{URLs: slices.Clone(s.URLs), Username: s.Username, Credential: s.Password}
	}
	return list
}
