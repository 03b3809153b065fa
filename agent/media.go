package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/herald-im/herald/agent/calling"
	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
	"github.com/herald-im/herald/protocol"
)

// mediaConfig is the file's configuration as the room media wants it.
func mediaConfig(c configs.Agent) media.Config {
	m := c.Media
	hub, _ := c.Hub.Broker()
	controls, _ := video.ParseSettings(m.Controls) // the configuration was checked
	return media.Config{
		FrontCamera: m.FrontCamera, BackCamera: m.BackCamera, Bitrate: m.Bitrate * 1000, MinBitrate: m.MinBitrate * 1000,
		Controls:   controls,
		Echo:       sound.EchoOptions{Mode: m.Echo},
		Format:     video.Format{Width: m.Width, Height: m.Height, Rate: float64(m.FrameRate)},
		Microphone: m.Microphone, Speaker: m.Speaker, HandsFree: m.HandsFree,
		Port: m.Port, Interfaces: m.InterfaceList(), ExcludeInterfaces: m.ExcludedInterfaces(),
		// A hub on the board itself, and pages on it, may be all that there is.
		Loopback: c.API.HTTP != "" || onBoard(hub), StateDir: c.State.Dir,
	}
}

func onBoard(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func callingConfig(c configs.Calls) calling.Config {
	return calling.Config{
		Deny: c.DeniedUsers(), AutoAnswer: c.AutoAnswerUsers(), AutoCamera: c.AutoAnswerCamera, Ring: c.Ring.D(), RelayOnly: c.RelayOnly,
	}
}

// callMedia gives the state machine of calls the room media.
type callMedia struct{ engine *media.Engine }

func (m callMedia) Begin(ctx context.Context, camera bool) error { return m.engine.Begin(ctx, camera) }
func (m callMedia) End()                                         { m.engine.End() }
func (m callMedia) SetCamera(front, on bool) error               { return m.engine.SetCamera(front, on) }
func (m callMedia) SetMute(muted bool)                           { m.engine.SetMute(muted) }
func (m callMedia) SetHandsFree(on bool)                         { m.engine.SetHandsFree(on) }
func (m callMedia) Level() int                                   { return m.engine.Level() }
func (m callMedia) NetworkChanged(f func())                      { m.engine.NetworkChanged(f) }

// Figures of the camera in use and of the sound.
func (m callMedia) Figures() (*protocol.CallCamera, *protocol.CallSound) {
	camera, heard := m.engine.Figures()
	var c *protocol.CallCamera
	if camera != nil {
		f := camera.Figures
		c = &protocol.CallCamera{
			Device: camera.Name, State: string(f.State), Warning: f.Short(), FramesPerSecond: f.Rate, FramesCaptured: f.Frames, FramesDropped: f.Dropped,
			Passthrough: f.Passthrough, Streams: []protocol.CallStream{},
		}
		for _, codec := range []video.Codec{video.H264, video.VP8} {
			if s, sent := camera.Streams[codec]; sent && s.Width > 0 { // else nothing was encoded yet, or the camera does it
				c.Streams = append(c.Streams, protocol.CallStream{
					Codec: string(codec), Width: s.Width, Height: s.Height, FramesPerSecond: s.Rate, Bitrate: s.Bitrate, FramesEncoded: s.Encoded,
				})
			}
		}
		if f.Err != nil {
			c.Error = f.Err.Error()
		}
		if f.PixelFormat != "" {
			c.Format = fmt.Sprintf("%s %d×%d", f.PixelFormat, f.Granted.Width, f.Granted.Height)
		}
	}
	s := &protocol.CallSound{
		Microphone: string(heard.Microphone), Speaker: string(heard.Speaker), Xruns: heard.Captured.Xruns + heard.Played.Xruns,
		Echo: heard.Echo.Mode, EchoReturnLossDb: heard.Echo.ReturnLoss, EchoRemovedDb: heard.Echo.Enhancement,
	}
	if heard.MicrophoneErr != nil {
		s.MicrophoneError = heard.MicrophoneErr.Error()
	}
	if heard.SpeakerErr != nil {
		s.SpeakerError = heard.SpeakerErr.Error()
	}
	return c, s
}

// ViewSelf shows the board's own picture.
func (m callMedia) ViewSelf(ctx context.Context, offer string) (calling.View, error) {
	answer, v, err := m.engine.View(ctx, offer)
	if err != nil {
		return nil, viewError(err)
	}
	return view{v, answer}, nil
}

func (m callMedia) Connect(c calling.Connecting) (calling.Peer, error) {
	l, err := m.engine.Connect(media.Linking{
		Video: c.Video, RelayOnly: c.RelayOnly, Candidate: c.Candidate,
		State: func(s peer.State) {
			switch s {
			case peer.StateConnected:
				c.State(calling.PeerConnected)
			case peer.StateDisconnected:
				c.State(calling.PeerDisconnected)
			case peer.StateFailed:
				c.State(calling.PeerFailed)
			case peer.StateClosed:
				c.State(calling.PeerClosed)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return link{l}, nil
}

func iceServers(list []protocol.ICEServer) []peer.ICEServer {
	servers := make([]peer.ICEServer, 0, len(list))
	for _, s := range list {
		servers = append(servers, peer.ICEServer{URLs: s.URLs, Username: s.Username, Password: s.Credential})
	}
	return servers
}

// link is a media.Link as calls want it.
type link struct{ *media.Link }

func (l link) SetServers(servers []protocol.ICEServer) error {
	return l.Link.SetServers(iceServers(servers))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (l link) Stats() calling.PeerStats {
	s := l.Link.Stats()
	out := calling.PeerStats{
		FramesPerSecond: s.FramesPerSecond, RoundTripMs: ms(s.RoundTrip), Level: s.Level,
		VideoCodec: string(s.Received[peer.Video].Codec),
	}
	for _, r := range s.Received {
		out.PacketsLost += int64(r.Lost)
		out.ReceivedBitrate += r.Bitrate
	}
	for _, sent := range s.Sent {
		out.SentBitrate += sent.Bitrate
	}
	picture := s.Sent[peer.Video]
	out.TargetBitrate, out.LossPercent, out.JitterMs = s.Target, 100*s.Loss, ms(s.Received[peer.Audio].Jitter)
	out.FramesSent, out.FramesDropped, out.SoundOnly = picture.Pictures, picture.Missed, picture.Paused
	out.BufferMs = ms(s.Voice.Level)
	if s.Voice.Total > 0 {
		out.ConcealedPercent = 100 * float64(s.Voice.Concealed) / float64(s.Voice.Total)
	}
	if s.Path != nil {
		out.Path = s.Path.LocalType + "/" + s.Path.RemoteType
	}
	return out
}

func (l link) View(ctx context.Context, offer string) (calling.View, error) {
	answer, v, err := l.Link.View(ctx, offer)
	if err != nil {
		return nil, viewError(err)
	}
	return view{v, answer}, nil
}

// view is a picture shown in a page.
type view struct {
	*peer.Viewer
	answer string
}

func (v view) Answer() string { return v.answer }

// viewError gives what a page did wrong, or the board lacks, its code.
func viewError(err error) error {
	switch {
	case errors.Is(err, peer.ErrBadSDP), errors.Is(err, peer.ErrNoCodec):
		return protocol.Errorf(protocol.CodeCallInvalidParameter, "%v", err)
	case errors.Is(err, peer.ErrTooMany):
		return protocol.Errorf(protocol.CodeNetReqCountLimit, "%v", err)
	case errors.Is(err, peer.ErrState), errors.Is(err, peer.ErrClosed), errors.Is(err, video.ErrNoCamera): // closed: the call has ended meanwhile
		return protocol.Errorf(protocol.CodeCallWrongState, "%v", err)
	}
	return err
}

// getMediaDevices lists cameras, microphones and speakers.
func (a *Agent) getMediaDevices(context.Context, protocol.Caller, protocol.Empty) (protocol.MediaDevicesResponse, error) {
	found, err := a.media.Devices()
	if err != nil {
		a.log.Debug("not all devices could be looked for", "err", err)
	}
	res := protocol.MediaDevicesResponse{List: make([]protocol.MediaDevice, 0, len(found))}
	for _, d := range found {
		x := protocol.MediaDevice{Kind: d.Kind, Device: d.Device, Name: d.Name, Use: d.Use, State: d.State, Formats: slices.Clip(d.Formats)}
		if x.Formats == nil {
			x.Formats = []string{}
		}
		if d.Err != nil {
			x.Error = d.Err.Error()
		}
		for _, c := range d.Controls {
			y := protocol.CameraControl{Name: c.Name, Min: c.Min, Max: c.Max, Step: c.Step, Default: c.Default, Value: c.Value}
			for _, m := range c.Menu {
				y.Menu = append(y.Menu, protocol.ControlChoice{Value: m.Value, Name: m.Name})
			}
			x.Controls = append(x.Controls, y)
		}
		res.List = append(res.List, x)
	}
	return res, nil
}

// Snapshot is one picture of the chosen camera as a JPEG.
func (a *Agent) snapshot(ctx context.Context) ([]byte, error) {
	b, err := a.media.Snapshot(ctx)
	return b, snapshotError(err)
}

func snapshotError(err error) error {
	switch {
	case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled): // whoever asks knows what these mean
		return err
	case errors.Is(err, video.ErrNoCamera):
		return protocol.Errorf(protocol.CodeCallWrongState, "%v: set media.front_camera or media.back_camera", err)
	}
	return protocol.Errorf(protocol.CodeIOOperationFailed, "%v", err)
}

// openMedia opens what calls need of the board.
func openMedia(cfg configs.Agent, log *slog.Logger) (*media.Engine, error) {
	e, err := media.New(mediaConfig(cfg), log)
	if err != nil {
		return nil, fmt.Errorf("calls cannot be made ready: %w", err)
	}
	return e, nil
}
