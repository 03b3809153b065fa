package localapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/protocol"
)

// route sends an admitted request to what answers it.
func (d *door) route(w http.ResponseWriter, r *http.Request) {
	var get func(http.ResponseWriter, *http.Request)
	switch r.URL.Path {
	case "/v1/events":
		get = d.events
	case "/v1/status":
		get = d.status
	case "/metrics":
		get = d.metrics
	case "/v1/snapshot.jpg":
		get = d.snapshot
	default:
		if !d.whep(w, r) && !d.file(w, r) {
			d.routeMethod(w, r)
		}
		return
	}
	if r.Method != http.MethodGet {
		d.wrongMethod(w, r, http.MethodGet)
		return
	}
	if r.ContentLength != 0 {
		d.refuseAndClose(w, http.StatusBadRequest, protocol.Errorf(protocol.CodeInvalidParameters, "%s takes no body", r.URL.Path))
		return
	}
	get(w, r)
}

func (d *door) routeMethod(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	module, method, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		d.refuseAndClose(w, http.StatusNotFound, protocol.Errorf(protocol.CodeInvalidParameters, "path: there is no %q", protocol.Clip(r.URL.Path)))
		return
	}
	name := module + "." + method
	if protocol.Lookup(name) == nil {
		d.refuseAndClose(w, http.StatusNotFound, protocol.Errorf(protocol.CodeInvalidParameters, "method: there is no %q", protocol.Clip(name)))
		return
	}
	if r.Method != http.MethodPost {
		d.wrongMethod(w, r, http.MethodPost)
		return
	}
	if ct := r.Header["Content-Type"]; !d.takes(ct) || len(r.Header["Content-Encoding"]) > 0 {
		d.refuseAndClose(w, http.StatusUnsupportedMediaType,
			protocol.Errorf(protocol.CodeInvalidParameters, "the body must be application/json, not encoded"))
		return
	}
	body, release, err := d.readBody(w, r)
	if err != nil {
		d.refuseBody(w, name, err)
		return
	}
	defer release()
	d.call(w, r, name, body)
}

// takes tells whether a Content-Type is accepted. Over TCP the forms of web
// pages, which a browser sends without asking, end here; no browser can open
// the socket, and there curl -d says that it sends a form whatever it sends.
func (d *door) takes(values []string) bool {
	return isJSON(values) || !d.guard.tcp && len(values) == 1 && values[0] == "application/x-www-form-urlencoded"
}

// isJSON tells whether the Content-Type is JSON or not given.
func isJSON(values []string) bool {
	switch len(values) {
	case 0:
		return true
	case 1:
		t, _, err := mime.ParseMediaType(values[0])
		return err == nil && t == "application/json"
	}
	return false
}

// readBody reads at most MaxBody within the body's time. The caller releases
// the body when it is done with it.
func (d *door) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	release = func() {}
	if r.ContentLength == 0 {
		return nil, release, nil
	}
	if r.ContentLength > MaxBody {
		return nil, release, errBodyTooLarge
	}
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		wait := time.NewTimer(d.timing.body)
		defer wait.Stop()
		select {
		case d.big <- struct{}{}:
		case <-r.Context().Done():
			return nil, release, r.Context().Err()
		case <-wait.C:
			return nil, release, protocol.Errorf(protocol.CodeNetReqCountLimit, "too many large requests at once")
		}
		release = func() { <-d.big }
		defer func() {
			if err != nil {
				release()
			}
		}()
		d.allowRead(w, d.timing.body) // anew, as it may have waited
	}
	if r.ContentLength > 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	}
	// The call itself may take longer, and the server notices through a read
	// that the caller went away.
	d.allowRead(w, 0)
	return body, release, err
}

var errBodyTooLarge = protocol.Errorf(protocol.CodeNetPkgSizeLimit, "the body is over the limit of %d bytes", MaxBody)

func (d *door) refuseBody(w http.ResponseWriter, name string, err error) {
	var tooLarge *http.MaxBytesError
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		d.refuseAndClose(w, 0, e)
	case errors.As(err, &tooLarge):
		d.refuseAndClose(w, 0, errBodyTooLarge)
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.refuseAndClose(w, http.StatusRequestTimeout,
			protocol.Errorf(protocol.CodeRequestTimeout, "%s: the body did not come within %v", name, d.timing.body))
	default:
		d.refuseAndClose(w, http.StatusBadRequest, protocol.Errorf(protocol.CodeInvalidParameters, "%s: the body could not be read", name))
	}
}

// call runs a method and answers with what it returns.
func (d *door) call(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	d.counts.calls.Inc()
	began, caller := time.Now(), callerOf(r.Context())
	out, err := d.Table.CallJSON(r.Context(), caller, name, body)
	if err == nil {
		d.log.Debug("call", "method", name, "who", caller.Who, "took", time.Since(began))
		d.answer(w, http.StatusOK, out)
		return
	}
	d.counts.failed.Inc()
	status := 0
	if errors.Is(err, protocol.ErrUnknownMethod) {
		status = http.StatusNotFound
	}
	e := protocol.AsError(err)
	switch {
	case r.Context().Err() != nil:
		e = protocol.Errorf(protocol.CodeInterrupt, "%s: interrupted", name)
	case e.Code == protocol.CodeInternalError:
		d.log.Error("call failed", "method", name, "who", caller.Who, "err", err)
	default:
		d.log.Debug("call refused", "method", name, "who", caller.Who, "took", time.Since(began), "err", err)
	}
	d.refuse(w, status, e)
}

func (d *door) status(w http.ResponseWriter, r *http.Request) {
	d.call(w, r, protocol.GetStatus.Info().Name, nil)
}

// health answers those who watch the daemon from outside. Without a token it
// says well or not, and no more.
func (d *door) health(w http.ResponseWriter, r *http.Request, known bool) {
	if r.Method != http.MethodGet {
		d.wrongMethod(w, r, http.MethodGet)
		return
	}
	err := d.Health()
	switch {
	case err == nil:
		d.answer(w, http.StatusOK, []byte(`{"status":true}`))
	case known:
		d.refuse(w, http.StatusServiceUnavailable, protocol.Errorf(protocol.CodeInternalError, "%v", err))
	default:
		d.refuse(w, http.StatusServiceUnavailable, protocol.Errorf(protocol.CodeInternalError, "not well"))
	}
}

func (d *door) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	d.allowWrite(w)
	d.Metrics.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}
