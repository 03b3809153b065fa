package localapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/herald-im/herald/protocol"
)

// answer sends one JSON object and the newline behind it.
func (s *Server) answer(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	s.allowWrite(w)
	w.WriteHeader(status)
	// A caller that went away is told nothing; the connection ends with it.
	if _, err := w.Write(append(body, '\n')); err != nil {
		s.log.Debug("answer not taken", "err", err)
	}
}

// refuse answers with an error. The status is the table's unless another says
// more of what is wrong on the level of HTTP.
func (s *Server) refuse(w http.ResponseWriter, status int, e *protocol.Error) {
	if status == 0 {
		status = e.Code.HTTPStatus()
	}
	if status < 400 {
		status = http.StatusInternalServerError
	}
	body, err := json.Marshal(e)
	if err != nil { // cannot be: a number and a string
		body = []byte(`{"code":7012,"msg":"internal error"}`)
	}
	s.answer(w, status, body)
}

// refuseAndClose is for callers whose body is not read: what they still send
// must not be taken for the next request. The short while lets a caller that
// is still sending see the answer.
func (s *Server) refuseAndClose(w http.ResponseWriter, status int, e *protocol.Error) {
	w.Header().Set("Connection", "close")
	s.allowRead(w, s.timing.linger)
	s.refuse(w, status, e)
}

// wrongMethod answers a request whose path takes another HTTP method.
func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	s.refuseAndClose(w, http.StatusMethodNotAllowed,
		protocol.Errorf(protocol.CodeInvalidParameters, "%s takes %s, not %s", protocol.Clip(r.URL.Path), allow, protocol.Clip(r.Method)))
}
