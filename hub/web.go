package hub

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/herald-im/herald/hub/files"
)

// server is the hub's web server.
func (h *Hub) server() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.serveHealth)
	mux.HandleFunc("GET /metrics", h.serveMetrics)
	if h.files != nil {
		mux.Handle(files.Path, h.files) // it has times of its own
	}
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
}

// Health says in an error why the hub cannot do its work: its database cannot be
// read or written, or the writer does not get on.
func (h *Hub) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := h.failing.Load(); err != nil {
		return fmt.Errorf("the database cannot be written: %w", *err)
	}
	if err := h.store.Ping(ctx); err != nil {
		return err
	}
	return h.Alive(ctx)
}

func (h *Hub) serveHealth(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := h.Health(r.Context()); err != nil {
		h.log.Warn("not healthy", "err", err)
		// The cause may name paths and hosts: it is in the log.
		http.Error(w, "the hub cannot do its work at present: its log says why", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // who asked has gone
}

func (h *Hub) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	h.metrics.set.WritePrometheus(w)
	h.writeBrokerMetrics(w)
}
