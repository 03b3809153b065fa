package localapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// TestTurnedAway: who comes when all connections are taken is told so each time, also
// one who is slow to ask, and nothing is left of him.
func TestTurnedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l := newCountedListener(ln, 1, func() {})
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	defer dial().Close() // the one that there is room for
	asks := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		c := dial()
		time.Sleep(time.Millisecond) // the listener comes first
		return c, nil
	}}}
	for range 200 {
		res, err := asks.Get("http://herald/v1/im/getVersion")
		if err != nil {
			t.Fatal(err)
		}
		var e protocol.Error
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil || res.StatusCode != http.StatusServiceUnavailable || e.Code != protocol.CodeNetReqCountLimit {
			t.Fatalf("%s, %+v, %v", res.Status, e, err)
		}
		_ = res.Body.Close()
	}
	var silent []net.Conn // as many as it takes on at a time, and more
	for range 2 * maxAway {
		silent = append(silent, dial())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-served
	for _, c := range silent {
		_ = c.Close()
	}
	if n := len(l.away); n != maxAway {
		t.Errorf("%d of %d places were given back", n, maxAway)
	}
	_ = l.Close() // once more, as a server does
}
