package localapi

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Pictures are what the board's cameras see, and those of others in its call.
type Pictures interface {
	// View shows a picture to a viewer that made an SDP offer: the board's own with
	// user "", else that of somebody in the call.
	View(ctx context.Context, user, offer string) (id, answer string, err error)
	// EndView ends it; false: there is none.
	EndView(user, id string) bool
	// Snapshot is one picture of the board's as a JPEG.
	Snapshot(ctx context.Context) ([]byte, error)
}

const (
	selfPath   = "/v1/whep/self"
	remotePath = "/v1/whep/remote/"
	sdpType    = "application/sdp"
	// pictureTime is how long a camera may take to open.
	pictureTime = 8 * time.Second
)

// whep serves WHEP (draft-ietf-wish-whep): an offer is POSTed to a picture, and the
// view's own URL, in Location, is DELETEd. There is no PATCH: the answer has all
// candidates. false: the path is none of it.
func (d *door) whep(w http.ResponseWriter, r *http.Request) bool {
	rest, own := strings.CutPrefix(r.URL.EscapedPath(), selfPath)
	if !own {
		var remote bool
		if rest, remote = strings.CutPrefix(r.URL.EscapedPath(), remotePath); !remote {
			return false
		}
	}
	user, id := "", strings.TrimPrefix(rest, "/")
	if !own {
		user, id, _ = strings.Cut(rest, "/")
	}
	name, err := url.PathUnescape(user)
	switch {
	case err != nil, !own && !protocol.ValidUserID(name), own && rest != "" && rest[0] != '/', len(id) > 64, strings.Contains(id, "/"):
		d.refuseAndClose(w, http.StatusNotFound, protocol.Errorf(protocol.CodeInvalidParameters, "path: there is no %q", protocol.Clip(r.URL.Path)))
	case id != "" && r.Method == http.MethodDelete:
		d.endView(w, name, id)
	case id != "":
		d.wrongMethod(w, r, http.MethodDelete)
	case r.Method != http.MethodPost:
		d.wrongMethod(w, r, http.MethodPost)
	default:
		d.view(w, r, name)
	}
	return true
}

func (d *door) view(w http.ResponseWriter, r *http.Request, user string) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != sdpType {
		d.refuseAndClose(w, http.StatusUnsupportedMediaType, protocol.Errorf(protocol.CodeInvalidParameters, "the body must be an SDP offer, of type %s", sdpType))
		return
	}
	body, release, err := d.readBody(w, r)
	if err != nil {
		d.refuseBody(w, r.URL.Path, err)
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(r.Context(), pictureTime)
	defer cancel()
	id, answer, err := d.Pictures.View(ctx, user, string(body))
	if err != nil {
		d.pictureFailed(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", sdpType)
	h.Set("Cache-Control", "no-store")
	h.Set("Location", strings.TrimSuffix(r.URL.EscapedPath(), "/")+"/"+id)
	h.Set("Access-Control-Expose-Headers", "Location")
	d.allowWrite(w)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(answer)) // a viewer that has gone is noticed by its silence
}

func (d *door) endView(w http.ResponseWriter, user, id string) {
	if !d.Pictures.EndView(user, id) {
		d.refuse(w, http.StatusNotFound, protocol.Errorf(protocol.CodeInvalidParameters, "there is no such view: it has ended"))
		return
	}
	d.answer(w, http.StatusOK, []byte(`{"status":true}`))
}

// snapshot answers with a JPEG of what the camera sees.
func (d *door) snapshot(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), pictureTime)
	defer cancel()
	b, err := d.Pictures.Snapshot(ctx)
	if err != nil {
		d.pictureFailed(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Cache-Control", "no-store")
	d.allowWrite(w)
	_, _ = w.Write(b) // who asked has gone
}

func (d *door) pictureFailed(w http.ResponseWriter, r *http.Request, err error) {
	e := protocol.AsError(err)
	if errors.Is(err, context.DeadlineExceeded) {
		e = protocol.Errorf(protocol.CodeRequestTimeout, "%s: the camera gave no picture in %v", r.URL.Path, pictureTime)
	}
	if e.Code == protocol.CodeInternalError && r.Context().Err() == nil { // else who asked has gone, which is no fault
		d.log.Error("a picture could not be shown", "path", r.URL.Path, "err", err)
	}
	d.refuse(w, 0, e)
}
