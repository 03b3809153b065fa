package localapi

import (
	"bytes"
	"net/http"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/web"
)

// scripts are the files of the JavaScript client, by path.
var scripts = func() map[string]web.File {
	m := make(map[string]web.File, len(web.Files))
	for _, f := range web.Files {
		m["/"+f.Name] = f
	}
	return m
}()

// script serves the JavaScript client. It is for everybody who may reach the API at
// all: a script element shows no token, and there is no secret in it. false: the
// path is another.
func (d *door) script(w http.ResponseWriter, r *http.Request) bool {
	f, ok := scripts[r.URL.Path]
	if !ok {
		return false
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		d.wrongMethod(w, r, "GET, HEAD")
		return true
	case r.ContentLength != 0:
		d.refuseAndClose(w, http.StatusBadRequest, protocol.Errorf(protocol.CodeInvalidParameters, "%s takes no body", r.URL.Path))
		return true
	}
	h := w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("ETag", f.ETag)
	h.Set("Cache-Control", "no-cache") // it is asked for each time, and sent if it has changed
	h.Set("X-Content-Type-Options", "nosniff")
	d.allowWrite(w)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.Body))
	return true
}
