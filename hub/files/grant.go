package files

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Path is what all paths of files begin with. A download is at Path and the hash,
// an upload at uploadPath and the hash.
const (
	Path       = "/files/"
	uploadPath = Path + "up/"
)

// verb is what a URL is for.
type verb string

const (
	up   verb = "up"   // HEAD, POST, PATCH, DELETE
	down verb = "down" // GET, HEAD
)

// grant is what a URL says: who may do what with which file, until when.
type grant struct {
	verb    verb
	user    string
	hash    string
	size    int64 // of the whole file
	expires int64 // Unix seconds
}

// sign is the grant's proof. The parts have no line feed in them.
func (g grant) sign(secret []byte, app protocol.AppID) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s\n%d\n%s\n%s\n%d\n%d\n", g.verb, app, g.user, g.hash, g.size, g.expires)
	return mac.Sum(nil)
}

// target is the path and query of the grant's URL.
func (g grant) target(proof []byte) string {
	path := Path
	if g.verb == up {
		path = uploadPath
	}
	return path + g.hash + "?u=" + g.user + "&n=" + strconv.FormatInt(g.size, 10) + "&e=" + strconv.FormatInt(g.expires, 10) + "&s=" + hex.EncodeToString(proof)
}

// maxQuery bounds the query of a URL, in bytes; what target makes is shorter.
const maxQuery = 256

// parseGrant takes apart what target makes, but for the order of the query.
func parseGrant(path, query string) (g grant, proof []byte, ok bool) {
	rest, ok := strings.CutPrefix(path, Path)
	if !ok || len(query) > maxQuery {
		return g, nil, false
	}
	g.verb = down
	if hash, is := strings.CutPrefix(path, uploadPath); is {
		g.verb, rest = up, hash
	}
	if g.hash = rest; !protocol.ValidHash(g.hash) {
		return g, nil, false
	}
	q, err := url.ParseQuery(query)
	if err != nil || len(q) != 4 {
		return g, nil, false
	}
	for _, name := range [...]string{"u", "n", "e", "s"} {
		if len(q[name]) != 1 {
			return g, nil, false
		}
	}
	g.user = q.Get("u")
	var fine [2]bool
	g.size, fine[0] = canonical(q.Get("n"))
	g.expires, fine[1] = canonical(q.Get("e"))
	proof, err = hex.DecodeString(q.Get("s"))
	if !protocol.ValidUserID(g.user) || !fine[0] || !fine[1] || g.size > protocol.MaxFile || err != nil || len(proof) != sha256.Size {
		return g, nil, false
	}
	return g, proof, true
}

// canonical reads a number above zero that is written in one way only.
func canonical(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}

// id names the upload of an account's file: always the same, so that a terminal
// finds it again.
func (g grant) id(app protocol.AppID) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s", app, g.user, g.hash))
	return hex.EncodeToString(sum[:16])
}

// errNoKey says that the app has no key in force: nobody gets anything.
var errNoKey = errors.New("the app has no key in force")

// signer is what URLs are signed with.
type signer struct {
	key    string // id of the app's key that it is derived from
	secret []byte
}

// signers derives them from the app's keys in force, the newest last. So a URL
// outlives the hub that gave it, and ends with the key, as a UserSig does.
func signers(ctx context.Context, v store.View, app protocol.AppID) (out []signer, err error) {
	keys, err := v.Keys(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, k := range keys { // oldest first
		if k.Removed {
			continue
		}
		secret, err := hkdf.Key(sha256.New, []byte(k.Secret), nil, "herald-hub files 1", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive a secret: %w", err)
		}
		out = append(out, signer{k.ID, secret})
	}
	return out, nil
}

// URL is where something is, until when.
type URL struct {
	URL     string
	Expires int64 // Unix seconds
}

// Upload makes the URL at which an account may upload a file.
func (s *Server) Upload(ctx context.Context, v store.View, at, user, hash string, size int64) (URL, error) {
	return s.url(ctx, v, at, grant{verb: up, user: user, hash: hash, size: size}, s.cfg.UploadFor)
}

// Download makes the URL at which an account may fetch a file.
func (s *Server) Download(ctx context.Context, v store.View, at, user, hash string, size int64) (URL, error) {
	return s.url(ctx, v, at, grant{verb: down, user: user, hash: hash, size: size}, s.cfg.URLFor)
}

// url signs a grant. at is the hub's own base URL, for where none is configured.
func (s *Server) url(ctx context.Context, v store.View, at string, g grant, d time.Duration) (URL, error) {
	all, err := signers(ctx, v, s.cfg.App)
	switch {
	case err != nil:
		return URL{}, err
	case len(all) == 0:
		return URL{}, errNoKey
	}
	g.expires = s.cfg.Now().Add(d).Unix()
	if s.cfg.PublicURL != "" {
		at = s.cfg.PublicURL
	}
	return URL{at + g.target(g.sign(all[len(all)-1].secret, s.cfg.App)), g.expires}, nil
}

// Why a request is refused.
var (
	errSignature = errors.New("the URL is not one that this hub has given")
	errExpired   = errors.New("the URL is over its time: ask for another one")
	errBlocked   = errors.New("the account is blocked")
)

// prove checks a URL's signature and time, and gives the id of the key that it is
// signed with. It asks the database each time: a key that was removed shall not be
// good for a moment longer.
func (s *Server) prove(ctx context.Context, g grant, proof []byte) (key string, err error) {
	ctx, cancel := s.cfg.Store.ReadContext(ctx)
	defer cancel()
	all, err := signers(ctx, s.cfg.Store.View, s.cfg.App)
	if err != nil {
		return "", err
	}
	err = errSignature
	for _, k := range all {
		if hmac.Equal(g.sign(k.secret, s.cfg.App), proof) {
			key, err = k.key, nil
		}
	}
	if err == nil && s.cfg.Now().Unix() >= g.expires {
		err = errExpired
	}
	return key, err
}

// verify is prove, and that the account is not blocked.
func (s *Server) verify(ctx context.Context, g grant, proof []byte) error {
	if _, err := s.prove(ctx, g, proof); err != nil {
		return err
	}
	ctx, cancel := s.cfg.Store.ReadContext(ctx)
	defer cancel()
	u, err := s.cfg.Store.User(ctx, s.cfg.App, g.user)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && u.Blocked:
		return errBlocked
	}
	return err
}
