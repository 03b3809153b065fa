package configs

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rule is one check of one key, already made.
type rule struct {
	key   string
	value string // as text, safe to show
	ok    bool
	want  string // what the value must be, to follow the value in a sentence
}

// failed is the list of the rules that do not hold, of each key the first.
func failed(rules []rule) Problems {
	var ps Problems
	told := map[string]bool{}
	for _, r := range rules {
		if r.ok || told[r.key] {
			continue
		}
		told[r.key] = true
		ps = append(ps, Problem{Key: r.key, Text: quote(r.value) + " " + r.want})
	}
	return ps
}

// check makes a rule of a function that says what is wrong, "" for nothing.
func check(key, value, wrong string) rule { return rule{key, value, wrong == "", wrong} }

func span(key string, d Duration, low, high time.Duration) rule {
	return rule{key, d.String(), d.D() >= low && d.D() <= high,
		"must be " + Duration(low).String() + " to " + Duration(high).String()}
}

func wholeSeconds(key string, d Duration) rule {
	return rule{key, d.String(), d.D()%time.Second == 0, "must be in whole seconds"}
}

func size(key string, s, low, high Size) rule {
	return rule{key, s.String(), s >= low && s <= high, "must be " + low.String() + " to " + high.String()}
}

func count(key string, n, low, high int) rule {
	return rule{key, strconv.Itoa(n), n >= low && n <= high, "must be " + strconv.Itoa(low) + " to " + strconv.Itoa(high)}
}

func level(key, text string) rule { return oneOf(key, text, "debug", "info", "warn", "error") }

func oneOf(key, text string, words ...string) rule {
	last := len(words) - 1
	return rule{key, text, slices.Contains(words, text), "must be " + strings.Join(words[:last], ", ") + " or " + words[last]}
}

const control = `\s*[a-z0-9_]+\s*=\s*-?[0-9]{1,18}\s*`

// controls are a list of them.
var controls = regexp.MustCompile(`^\s*(` + control + `(,` + control + `)*)?$`)

func cameraControls(key, text string) rule {
	return rule{key, text, len(text) <= 1000 && controls.MatchString(text), "must be like brightness=120, power_line_frequency=1"}
}

// presence says whether a text may be empty.
type presence bool

const (
	optional presence = false
	required presence = true
)

// maxPath is the kernel's PATH_MAX without the NUL.
const maxPath = 4095

func filePath(key, text string, p presence) rule {
	switch {
	case text == "" && p == required:
		return rule{key, text, false, "must be a path, not empty"}
	case len(text) > maxPath:
		return rule{key, text, false, "must be at most " + strconv.Itoa(maxPath) + " bytes long"}
	case strings.ContainsRune(text, 0):
		return rule{key, text, false, "must not have a NUL byte in it"}
	}
	return rule{key, text, true, ""}
}

// socketPath is for unix sockets: the kernel's sun_path has 108 bytes with the
// NUL. Go takes a leading @ for the abstract namespace, which knows no file
// permissions, so every process on the board could call.
func socketPath(text string) string {
	const most = 107
	switch {
	case text == "":
		return "must be a path, not empty"
	case len(text) > most:
		return "must be at most " + strconv.Itoa(most) + " bytes long: the kernel allows no more for a socket"
	case strings.ContainsRune(text, 0):
		return "must not have a NUL byte in it"
	case text[0] == '@':
		return "must be a path in the file system, not an abstract socket"
	}
	return ""
}

// spelled tells whether text is 1 to most bytes out of set, which has the two
// ends of each range of letters or digits and then single characters.
func spelled(text string, most int, set string) bool {
	if text == "" || len(text) > most {
		return false
	}
	for i := range len(text) {
		if !inSet(text[i], set) {
			return false
		}
	}
	return true
}

func inSet(c byte, set string) bool {
	for len(set) >= 2 && set[0] != '_' {
		if c >= set[0] && c <= set[1] {
			return true
		}
		set = set[2:]
	}
	return strings.IndexByte(set, c) >= 0
}

// interfaces says what is wrong with a list of network interfaces. A name has at
// most 15 bytes (IFNAMSIZ), and may end with *.
func interfaces(text string) string {
	for _, name := range listed(text) {
		name = strings.TrimSuffix(name, "*")
		if name != "" && !spelled(name, 15, "AZaz09_-.:@") || name == "" && strings.TrimSpace(text) != "*" {
			return `must be names of network interfaces, separated by commas, such as "eth0, wlan*"`
		}
	}
	return ""
}

// users says what is wrong with a list of users.
func users(text string) string {
	for _, user := range listed(text) {
		if user != "*" && !spelled(user, 32, "AZaz09_-") {
			return `must be user ids, separated by commas, such as "door, gate", or "*" for everybody`
		}
	}
	return ""
}

// address says what is wrong with HOST:PORT to listen on. An empty host is all
// of the machine's addresses.
func address(text string, p presence) string {
	const form = `must be HOST:PORT, such as "127.0.0.1:1883", "[::1]:1883" or ":1883"`
	if text == "" {
		if p == required {
			return form
		}
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || !validHost(host) && host != "" {
		return form
	}
	if !validPort(port) {
		return form + ", with a port from 0 to 65535"
	}
	return ""
}

func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == text
}

// validHost takes IP addresses and names as DNS and hosts files have them.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if len(host) == 0 || len(host) > 253 || host[0] == '-' || host[0] == '.' {
		return false
	}
	return spelled(strings.ReplaceAll(host, ".", "-"), 253, "AZaz09_-")
}

// publicHost says what is wrong with HOST or HOST:PORT that others are told.
func publicHost(text string) string {
	if text == "" || validHost(text) {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || !validHost(host) || !validPort(port) || port == "0" {
		return `must be HOST or HOST:PORT, such as "turn.example", "203.0.113.7:3478" or "[2001:db8::7]:3478", or empty`
	}
	return ""
}

func relayAddress(text string) string {
	if text == "" {
		return ""
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return `must be the IP address of one host, such as "203.0.113.7", or empty`
	}
	return ""
}

// loopback tells whether only this machine can reach a listen address.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func brokerURL(text string) string {
	_, wrong := parseBrokerURL(text)
	return wrong
}

func parseBrokerURL(text string) (u *url.URL, wrong string) {
	const form = `must be mqtt://HOST:PORT or mqtts://HOST:PORT`
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Opaque != "" || !validHost(u.Hostname()) {
		return nil, form
	}
	if u.User != nil {
		return nil, form + ", without a user: that is account.user"
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#") {
		return nil, form + ", with nothing after the port"
	}
	if p := u.Port(); p == "0" || strings.HasSuffix(u.Host, ":") || p != "" && !validPort(p) {
		return nil, form + ", with a port from 1 to 65535"
	}
	return u, ""
}

// webURL says what is wrong with the URL of a web server to which paths are added.
func webURL(text, example string) string {
	if text == "" {
		return ""
	}
	form := "must be http://HOST:PORT or https://HOST, such as " + strconv.Quote(example) + ", or empty"
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || !validHost(u.Hostname()) {
		return form
	}
	if p := u.Port(); p == "0" || strings.HasSuffix(u.Host, ":") || p != "" && !validPort(p) {
		return form + ", with a port from 1 to 65535"
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#") || strings.HasSuffix(text, "/") {
		return form + ", without a user, a query or a slash at the end"
	}
	return ""
}

func databaseURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return "must be postgres://USER:PASSWORD@HOST:PORT/NAME, or empty for SQLite"
	}
	return ""
}

// redacted shows a URL without what may be a secret in it: the password, and
// parameters, of which one may be a password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Scheme == "" {
		if text == "" {
			return ""
		}
		return "(hidden: it may hold a password)"
	}
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.Redacted()
}

// withoutUser is redacted for a URL that should have no secret in it, and is
// hidden only where it has one all the same.
func withoutUser(text string) string {
	if strings.Contains(text, "@") {
		return redacted(text)
	}
	return text
}

// hosts says what is wrong with a list of names for the Host header.
func hosts(a API) string {
	for _, h := range a.Hosts() {
		name, port, err := net.SplitHostPort(h)
		if err != nil {
			name, port = strings.Trim(h, "[]"), "80"
		}
		if !validHost(name) || !validPort(port) {
			return `must be names of the board separated by commas, each with or without a port, such as "door.local, panel.example:8443"`
		}
	}
	return ""
}

// origins says what is wrong with a list of web origins, as RFC 6454 §6.2
// writes them.
func origins(a API) string {
	const form = `must be web origins separated by commas, such as "https://panel.example, http://localhost:3000"`
	for _, o := range a.Origins() {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !validHost(u.Hostname()) || u.User != nil {
			return form
		}
		// Browsers send exactly scheme://host[:port] in lower case: what is written
		// otherwise would never match.
		if o != u.Scheme+"://"+strings.ToLower(u.Host) || u.Port() != "" && !validPort(u.Port()) || strings.HasSuffix(o, ":") {
			return form + ", in lower case and with nothing after the port"
		}
	}
	return ""
}
