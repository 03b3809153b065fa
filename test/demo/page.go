package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/herald-im/herald/test/rig"
	"github.com/herald-im/herald/web"
)

//go:embed page.html
var pageHTML []byte

// page serves a page that shows what each board gets. The boards' local API is on
// sockets, which a browser cannot open: the page reaches it through this server,
// and of it no more than pictures.
type page struct {
	server *http.Server
	ln     net.Listener
	done   chan error
}

func servePage(boards []*rig.Board) (*page, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(pageHTML) // a browser that has gone
	})
	for _, f := range web.Files {
		mux.HandleFunc("GET /"+f.Name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", f.Type)
			_, _ = w.Write(f.Body) // as above
		})
	}
	for _, b := range boards {
		mux.Handle("/"+b.User+"/", http.StripPrefix("/"+b.User, pictures(b)))
	}
	p := &page{server: &http.Server{Handler: own(ln.Addr().String(), mux), ReadHeaderTimeout: 5 * time.Second}, ln: ln, done: make(chan error, 1)}
	go func() { p.done <- p.server.Serve(ln) }()
	return p, nil
}

func (p *page) url() string { return fmt.Sprintf("http://%s/", p.ln.Addr()) }

func (p *page) close() error {
	err := p.server.Close()
	if served := <-p.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// own lets only this server's own page in: not one of somebody else's that the same
// browser shows.
func own(addr string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o := r.Header.Get("Origin"); r.Host != addr || o != "" && o != "http://"+addr {
			http.Error(w, "open the address as it is printed", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// pictures hands requests for pictures on to a board's socket.
func pictures(b *rig.Board) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "localhost"})
			r.Out.Host = "localhost"
			r.Out.Header.Del("Origin")
		},
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.Socket)
		}},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/whep/") {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
