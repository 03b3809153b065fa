package localapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// fakePictures shows what it was asked for.
type fakePictures struct {
	ended   []string
	waiting chan struct{}
}

func (p *fakePictures) View(ctx context.Context, user, offer string) (id, answer string, err error) {
	switch {
	case offer == "bad":
		return "", "", protocol.Errorf(protocol.CodeCallInvalidParameter, "no such codec")
	case offer == "waits":
		p.waiting <- struct{}{}
		<-ctx.Done()
		return "", "", fmt.Errorf("making a view: %w", ctx.Err())
	case offer == "broken":
		return "", "", fmt.Errorf("a secret of the inside")
	}
	return "view1", "answer to " + offer + " of " + user, nil
}

func (p *fakePictures) EndView(user, id string) bool {
	p.ended = append(p.ended, user+"/"+id)
	return id == "view1"
}

func (p *fakePictures) Snapshot(context.Context) ([]byte, error) { return []byte("\xff\xd8jpeg"), nil }

func TestPictures(t *testing.T) {
	g := start(t, nil)
	pictures := new(fakePictures)
	g.server.Pictures = pictures
	c := g.client()
	send := func(method, path, contentType, body string) (*http.Response, string) {
		t.Helper()
		r := request(t, method, "http://localhost"+path, body)
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		return whole(t, c, r)
	}
	for path, want := range map[string]string{"/v1/whep/self": "answer to offer of ", "/v1/whep/remote/indoor": "answer to offer of indoor"} {
		res, body := send(http.MethodPost, path, "application/sdp", "offer")
		if res.StatusCode != http.StatusCreated || body != want || res.Header.Get("Content-Type") != "application/sdp" {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
		if l := res.Header.Get("Location"); l != path+"/view1" {
			t.Errorf("%s: Location %s", path, l)
		} else if res, _ := send(http.MethodDelete, l, "", ""); res.StatusCode != http.StatusOK {
			t.Errorf("DELETE %s: %d", l, res.StatusCode)
		}
	}
	if got := strings.Join(pictures.ended, " "); got != "/view1 indoor/view1" && got != "indoor/view1 /view1" {
		t.Error(got)
	}
	if res, body := send(http.MethodGet, "/v1/snapshot.jpg", "", ""); res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "image/jpeg" || body != "\xff\xd8jpeg" {
		t.Errorf("snapshot: %d %q", res.StatusCode, body)
	}
	for _, x := range []struct {
		method, path, contentType, body string
		status                          int
	}{
		{http.MethodGet, "/v1/whep/self", "", "", http.StatusMethodNotAllowed},
		{http.MethodPatch, "/v1/whep/self/view1", "", "", http.StatusMethodNotAllowed},
		{http.MethodPost, "/v1/whep/self", "application/json", "{}", http.StatusUnsupportedMediaType},
		{http.MethodPost, "/v1/whep/self", "", "offer", http.StatusUnsupportedMediaType},
		{http.MethodPost, "/v1/whep/self", "application/sdp", "bad", http.StatusBadRequest},
		{http.MethodPost, "/v1/whep/self", "application/sdp", "broken", http.StatusInternalServerError},
		{http.MethodDelete, "/v1/whep/self/other", "", "", http.StatusNotFound},
		{http.MethodPost, "/v1/whep/selfie", "application/sdp", "offer", http.StatusNotFound},
		{http.MethodPost, "/v1/whep/remote/", "application/sdp", "offer", http.StatusNotFound},
		{http.MethodPost, "/v1/whep/remote/in%2Fdoor", "application/sdp", "offer", http.StatusNotFound},
		{http.MethodDelete, "/v1/whep/remote/indoor/a/b", "", "", http.StatusNotFound},
		{http.MethodPost, "/v1/snapshot.jpg", "", "", http.StatusMethodNotAllowed},
	} {
		res, body := send(x.method, x.path, x.contentType, x.body)
		if res.StatusCode != x.status || !strings.Contains(body, `"code"`) {
			t.Errorf("%s %s %q: %d %s", x.method, x.path, x.body, res.StatusCode, body)
		}
	}
}

// A page that goes away while its view is made is no fault of the daemon's, and not logged as one.
func TestPageGoesAway(t *testing.T) {
	g := start(t, nil)
	var logged strings.Builder
	g.server.log = slog.New(slog.NewTextHandler(&logged, nil))
	pictures := &fakePictures{waiting: make(chan struct{})}
	g.server.Pictures = pictures
	ctx, leave := context.WithCancel(t.Context())
	r := request(t, http.MethodPost, "http://localhost/v1/whep/self", "waits").WithContext(ctx)
	r.Header.Set("Content-Type", sdpType)
	go func() {
		<-pictures.waiting
		leave()
	}()
	if _, err := g.client().Do(r); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	g.end() // waits for all that is under way
	if strings.Contains(logged.String(), "level=ERROR") {
		t.Error(logged.String())
	}
}
