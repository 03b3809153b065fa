package calls

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// What the board says of a call to whoever watches over it.
func TestFigures(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	h.connect(door, indoor)
	above := map[string]float64{
		`herald_media_running{device="camera"}`: 0, `herald_media_running{device="microphone"}`: 0, `herald_media_running{device="speaker"}`: 0,
		"herald_media_camera_rate": 10, "herald_media_camera_frames_total": 10, `herald_media_stream_width{codec="H264"}`: 100, `herald_media_stream_frames_total{codec="H264"}`: 5,
		"herald_call_connections": 0, "herald_call_sent_bits_per_second": 10_000, "herald_call_received_bits_per_second": 10_000, "herald_call_target_bits_per_second": 50_000,
		"herald_call_round_trip_seconds": 0, "herald_call_buffer_seconds": 0.01, "herald_call_frames_sent": 5, "herald_call_frames_received": 5,
	}
	door.until("telling its figures", func() bool {
		got := door.figures()
		for name, least := range above {
			if v, ok := got[name]; !ok || v <= least {
				return false
			}
		}
		return true
	})
	got := door.figures()
	for _, name := range []string{"herald_call_loss_ratio", "herald_call_jitter_seconds", "herald_call_concealed_ratio", "herald_call_frames_dropped", "herald_media_echo_return_loss_db"} {
		if _, ok := got[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	h.hangup(door, indoor)
	door.until("without a connection", func() bool { return door.figures()["herald_call_connections"] == 0 })
}

// figures are those of the board's /metrics.
func (b *board) figures() map[string]float64 {
	return b.h.metrics("http://herald", &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.Socket)
	}})
}

// metrics are the figures at /metrics, by name and labels.
func (h *house) metrics(base string, way http.RoundTripper) map[string]float64 {
	h.t.Helper()
	c := http.Client{Transport: way}
	res, err := c.Get(base + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	out := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			out[name] = v
		}
	}
	return out
}
