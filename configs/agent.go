package configs

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// AgentPath is where herald looks for its file when it is not told another.
const AgentPath = "/etc/herald/herald.toml"

// Agent is the configuration of herald, the daemon on the board.
type Agent struct {
	Hub     Link    `toml:"hub"`
	Account Account `toml:"account"`
	State   State   `toml:"state"`
	Outbox  Outbox  `toml:"outbox"`
	Journal Journal `toml:"journal"`
	Mirror  Mirror  `toml:"mirror"`
	Files   Files   `toml:"files"`
	API     API     `toml:"api"`
	Media   Media   `toml:"media"`
	Calls   Calls   `toml:"calls"`
	Log     Log     `toml:"log"`
	Health  Health  `toml:"health"`
}

// Link is how the board reaches its hub.
type Link struct {
	// URL of the broker: mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. The ports
	// are 1883 and 8883 when left out. Who logs in is not part of it.
	URL string `toml:"url"`
	// CAFile holds PEM certificates to trust for mqtts: the hub's own CA. Empty:
	// those of the system.
	CAFile string `toml:"ca_file"`
	// ConnectTimeout is for one attempt, from the name's resolution to the
	// broker's answer. 1s to 2m.
	ConnectTimeout Duration `toml:"connect_timeout"`
	// Keepalive is how long a silent link is believed alive before it is asked.
	// MQTT carries whole seconds. 1s to 10m.
	Keepalive Duration `toml:"keepalive"`
	// ReconnectMin is the first wait before another attempt; each further one
	// may be twice as long, and each is drawn at random between 0 and that (full
	// jitter), so that a fleet does not come back all at once. 10ms to 1m.
	ReconnectMin Duration `toml:"reconnect_min"`
	// ReconnectMax is the longest wait. Not less than ReconnectMin. 100ms to 10m.
	ReconnectMax Duration `toml:"reconnect_max"`
}

// Account is who the board is.
type Account struct {
	// User is the user id: 1 to 32 of A-Z a-z 0-9 _ -. Empty: wait for a
	// program to log in.
	User string `toml:"user"`
	// SigFile holds the UserSig. See SigPath for when it is empty.
	SigFile string `toml:"sig_file"`
	// Platform tells the account's terminals apart: of one platform the newest
	// login stays. 1 to 16 of a-z 0-9 _ -.
	Platform string `toml:"platform"`
}

// State is where the board keeps what must survive a restart.
type State struct {
	// Dir holds the outbox, the cursors and the journal.
	Dir string `toml:"dir"`
	// MinFree is how much room on that disk new messages may not use: it is kept
	// back so that what was accepted can still be delivered. 64KiB to 1GiB.
	MinFree Size `toml:"min_free"`
}

// Outbox bounds what waits to be sent, of all accounts together. A send beyond
// it is refused.
type Outbox struct {
	// MaxItems is how many messages may wait. 1 to 10000000.
	MaxItems int `toml:"max_items"`
	// MaxBytes is how much they may take together. 64KiB to 1GiB: 32-bit boards
	// cannot map more.
	MaxBytes Size `toml:"max_bytes"`
}

// Journal bounds the events kept for programs that are not listening. Beyond it
// the oldest go; a reader that comes too late is told of the gap.
type Journal struct {
	// MaxEvents is how many events are kept. 100 to 10000000.
	MaxEvents int `toml:"max_events"`
	// MaxBytes is how much they may take together. 64KiB to 1GiB.
	MaxBytes Size `toml:"max_bytes"`
}

// Mirror bounds the messages that the board keeps to be read without a link.
// Beyond it the oldest leave the board; the hub has them.
type Mirror struct {
	// MaxPerConversation is how many messages are kept of each conversation. 20 to
	// 10000000.
	MaxPerConversation int `toml:"max_per_conversation"`
	// MaxBytes is how much all of them may take together. 64KiB to 1GiB.
	MaxBytes Size `toml:"max_bytes"`
}

// Files are those of messages: the copies that wait to be sent, and what was
// received.
type Files struct {
	// Dir holds them. Empty: the folder "files" of State.Dir. See FilesDir.
	Dir string `toml:"dir"`
	// Cache is how much the files take that were sent or received; beyond it
	// those not used for the longest time go, and come from the hub when they are
	// asked for. 1MiB to 1TiB.
	Cache Size `toml:"cache"`
	// Spool is how much the files take that wait to be sent. A message beyond it
	// is refused. 1MiB to 1TiB.
	Spool Size `toml:"spool"`
	// AutoDownload is how long a file of an incoming message may be to be fetched
	// by itself. 0: none is. 0B to 100MiB.
	AutoDownload Size `toml:"auto_download"`
}

// API is the local API's doors.
type API struct {
	// Socket is the unix socket's path, at most 107 bytes.
	Socket string `toml:"socket"`
	// SocketGroup is the group whose members may use the socket (0660). Empty:
	// the daemon's own group.
	SocketGroup string `toml:"socket_group"`
	// HTTP is an address (HOST:PORT) for TCP besides. Empty: none.
	HTTP string `toml:"http"`
	// TokenFile holds the bearer token of TCP clients. Required with HTTP.
	TokenFile string `toml:"token_file"`
	// AllowHosts lists names under which TCP clients may call the board besides
	// localhost and its addresses, separated by commas: "door.local". A page of
	// somebody else's, whose name his DNS points at the board, has none of them.
	// See Hosts.
	AllowHosts string `toml:"allow_hosts"`
	// AllowOrigins lists the web origins that may call over HTTP, separated by
	// commas: "https://panel.example, http://localhost:3000". See Origins.
	AllowOrigins string `toml:"allow_origins"`
	// MaxStreams is how many event streams may be open at a time. 1 to 1024.
	MaxStreams int `toml:"max_streams"`
}

// Media is the board's cameras, microphone and speakers, and how they connect.
type Media struct {
	// FrontCamera is a V4L2 device (/dev/video0), "auto" for the first that is found,
	// "fake" for a test picture, "fake:FILE" for H264 of a file, or empty for none.
	FrontCamera string `toml:"front_camera"`
	// BackCamera likewise.
	BackCamera string `toml:"back_camera"`
	// Width of the picture in pixels; the nearest that the camera has. 160 to 1920.
	Width int `toml:"width"`
	// Height of the picture. 120 to 1080.
	Height int `toml:"height"`
	// FrameRate in pictures a second. 1 to 60.
	FrameRate int `toml:"frame_rate"`
	// Bitrate of the picture in kbit/s. 50 to 10000.
	Bitrate int `toml:"bitrate"`
	// MinBitrate in kbit/s is what a picture is worth: who can be sent less gets sound
	// alone. 50 to 10000, and no more than Bitrate.
	MinBitrate int `toml:"min_bitrate"`
	// Controls of the cameras by name: "brightness=120, power_line_frequency=1".
	Controls string `toml:"controls"`
	// Microphone is an ALSA device or the start of its name, "default", "fake" for a
	// test tone, or empty for none.
	Microphone string `toml:"microphone"`
	// Speaker likewise; "fake" plays into nothing, "fake:FILE" into a file.
	Speaker string `toml:"speaker"`
	// HandsFree is the speaker that calling.setHandsFree chooses. Empty: the same.
	HandsFree string `toml:"hands_free"`
	// Echo is what is done about the echo of the speaker in the microphone: "cancel",
	// "duck" (the microphone is lowered while the others speak), "off", or "auto" for
	// cancel where the program was built with it and duck elsewhere.
	Echo string `toml:"echo"`
	// Port is the one UDP port of all connections. 0: a free one. 0 to 65535.
	Port int `toml:"port"`
	// Interfaces lists the network interfaces to use, separated by commas; "eth*" is
	// all that begin so. Empty: all but those of ExcludeInterfaces. See InterfaceList.
	Interfaces string `toml:"interfaces"`
	// ExcludeInterfaces lists those not to use.
	ExcludeInterfaces string `toml:"exclude_interfaces"`
}

// Calls is what happens to calls without anybody's doing.
type Calls struct {
	// Ring is how long a call rings that names no time. 5s to 1h, whole seconds.
	Ring Duration `toml:"ring"`
	// AutoAnswer lists the users whose calls are accepted at once, separated by
	// commas; "*" is everybody. Empty: nobody's. See AutoAnswerUsers.
	AutoAnswer string `toml:"auto_answer"`
	// AutoAnswerCamera shows the camera in a video call that is accepted so.
	AutoAnswerCamera bool `toml:"auto_answer_camera"`
	// Deny lists the users whose calls are rejected at once. "*" is everybody. See
	// DeniedUsers.
	Deny string `toml:"deny"`
	// RelayOnly connects by the hub's relay alone, so that the other side does not
	// learn the board's addresses.
	RelayOnly bool `toml:"relay_only"`
}

// Log is what goes to the log.
type Log struct {
	// Level is the lowest that is written: debug, info, warn or error.
	Level string `toml:"level"`
}

// Health is the board's heartbeat.
type Health struct {
	// Beat is how often the board tells the hub how far it has read and is told
	// what it missed. 5s to 1h; the hub may ask for less often.
	Beat Duration `toml:"beat"`
}

// DefaultAgent is the configuration of a board without a file.
func DefaultAgent() Agent {
	return Agent{
		Hub: Link{
			URL:            "mqtt://127.0.0.1:1883",
			ConnectTimeout: Duration(10 * time.Second),
			Keepalive:      Duration(10 * time.Second),
			ReconnectMin:   Duration(500 * time.Millisecond),
			ReconnectMax:   Duration(30 * time.Second),
		},
		Account: Account{Platform: "linux"},
		State:   State{Dir: "/var/lib/herald", MinFree: 4 * MiB},
		Outbox:  Outbox{MaxItems: 100_000, MaxBytes: 64 * MiB},
		Journal: Journal{MaxEvents: 50_000, MaxBytes: 32 * MiB},
		Mirror:  Mirror{MaxPerConversation: 5_000, MaxBytes: 64 * MiB},
		Files:   Files{Cache: 256 * MiB, Spool: 512 * MiB, AutoDownload: MiB},
		API:     API{Socket: "/run/herald/herald.sock", SocketGroup: "herald", MaxStreams: 32},
		Media: Media{
			FrontCamera: "auto", Width: 640, Height: 480, FrameRate: 30, Bitrate: 1000, MinBitrate: 100, Echo: "auto",
			Microphone: "default", Speaker: "default",
			ExcludeInterfaces: "docker*, veth*, br-*, virbr*, cni*, flannel*",
		},
		Calls:  Calls{Ring: Duration(30 * time.Second)},
		Log:    Log{Level: "info"},
		Health: Health{Beat: Duration(30 * time.Second)},
	}
}

// LoadAgent reads the file at path over DefaultAgent and validates the whole.
// Path "" is AgentPath; a file that is missing there leaves the defaults, one
// that is missing elsewhere is an error. The error is Problems.
func LoadAgent(path string) (Agent, error) {
	a := DefaultAgent()
	if err := load(path, AgentPath, &a, func() []rule { return a.rules() }); err != nil {
		return Agent{}, err
	}
	return a, nil
}

// Validate checks every value, also against each other. The error is Problems
// and names each key, its value and what is allowed.
func (a Agent) Validate() error { return failed(a.rules()).orNil() }

func (a Agent) rules() []rule {
	return []rule{
		check("hub.url", withoutUser(a.Hub.URL), brokerURL(a.Hub.URL)),
		filePath("hub.ca_file", a.Hub.CAFile, optional),
		span("hub.connect_timeout", a.Hub.ConnectTimeout, time.Second, 2*time.Minute),
		span("hub.keepalive", a.Hub.Keepalive, time.Second, 10*time.Minute),
		wholeSeconds("hub.keepalive", a.Hub.Keepalive),
		span("hub.reconnect_min", a.Hub.ReconnectMin, 10*time.Millisecond, time.Minute),
		span("hub.reconnect_max", a.Hub.ReconnectMax, 100*time.Millisecond, 10*time.Minute),
		{"hub.reconnect_max", a.Hub.ReconnectMax.String(), a.Hub.ReconnectMax >= a.Hub.ReconnectMin,
			"must not be less than hub.reconnect_min, which is " + a.Hub.ReconnectMin.String()},
		{"account.user", a.Account.User, a.Account.User == "" || spelled(a.Account.User, 32, "AZaz09_-"),
			"must be 1 to 32 of A-Z a-z 0-9 _ -, or empty"},
		filePath("account.sig_file", a.Account.SigFile, optional),
		{"account.platform", a.Account.Platform, spelled(a.Account.Platform, 16, "az09_-"),
			"must be 1 to 16 of a-z 0-9 _ -"},
		filePath("state.dir", a.State.Dir, required),
		size("state.min_free", a.State.MinFree, 64*KiB, GiB),
		count("outbox.max_items", a.Outbox.MaxItems, 1, 10_000_000),
		size("outbox.max_bytes", a.Outbox.MaxBytes, 64*KiB, GiB),
		count("journal.max_events", a.Journal.MaxEvents, 100, 10_000_000),
		size("journal.max_bytes", a.Journal.MaxBytes, 64*KiB, GiB),
		count("mirror.max_per_conversation", a.Mirror.MaxPerConversation, 20, 10_000_000),
		size("mirror.max_bytes", a.Mirror.MaxBytes, 64*KiB, GiB),
		filePath("files.dir", a.Files.Dir, optional),
		size("files.cache", a.Files.Cache, MiB, TiB),
		size("files.spool", a.Files.Spool, MiB, TiB),
		size("files.auto_download", a.Files.AutoDownload, 0, 100*MiB),
		check("api.socket", a.API.Socket, socketPath(a.API.Socket)),
		{"api.socket_group", a.API.SocketGroup, a.API.SocketGroup == "" || spelled(a.API.SocketGroup, 32, "AZaz09_-"),
			"must be the name or number of a group, or empty"},
		check("api.http", a.API.HTTP, address(a.API.HTTP, optional)),
		filePath("api.token_file", a.API.TokenFile, optional),
		{"api.token_file", a.API.TokenFile, a.API.HTTP == "" || a.API.TokenFile != "",
			"is required when api.http is set, which is " + quote(a.API.HTTP)},
		check("api.allow_hosts", a.API.AllowHosts, hosts(a.API)),
		check("api.allow_origins", a.API.AllowOrigins, origins(a.API)),
		count("api.max_streams", a.API.MaxStreams, 1, 1024),
		filePath("media.front_camera", a.Media.FrontCamera, optional),
		filePath("media.back_camera", a.Media.BackCamera, optional),
		count("media.width", a.Media.Width, 160, 1920),
		count("media.height", a.Media.Height, 120, 1080),
		count("media.frame_rate", a.Media.FrameRate, 1, 60),
		count("media.bitrate", a.Media.Bitrate, 50, 10_000),
		count("media.min_bitrate", a.Media.MinBitrate, 50, 10_000),
		rule{"media.min_bitrate", strconv.Itoa(a.Media.MinBitrate), a.Media.MinBitrate <= a.Media.Bitrate, "must not be above media.bitrate"},
		cameraControls("media.controls", a.Media.Controls),
		oneOf("media.echo", a.Media.Echo, "auto", "cancel", "duck", "off"),
		filePath("media.microphone", a.Media.Microphone, optional),
		filePath("media.speaker", a.Media.Speaker, optional),
		filePath("media.hands_free", a.Media.HandsFree, optional),
		count("media.port", a.Media.Port, 0, 65535),
		check("media.interfaces", a.Media.Interfaces, interfaces(a.Media.Interfaces)),
		check("media.exclude_interfaces", a.Media.ExcludeInterfaces, interfaces(a.Media.ExcludeInterfaces)),
		span("calls.ring", a.Calls.Ring, 5*time.Second, time.Hour),
		wholeSeconds("calls.ring", a.Calls.Ring),
		check("calls.auto_answer", a.Calls.AutoAnswer, users(a.Calls.AutoAnswer)),
		check("calls.deny", a.Calls.Deny, users(a.Calls.Deny)),
		level("log.level", a.Log.Level),
		span("health.beat", a.Health.Beat, 5*time.Second, time.Hour),
	}
}

// Broker is where URL points: HOST:PORT to dial, and whether to speak TLS
// there. It relies on Validate.
func (l Link) Broker() (addr string, tls bool) {
	u, wrong := parseBrokerURL(l.URL)
	if wrong != "" {
		return "", false
	}
	tls = u.Scheme == "mqtts"
	port := u.Port()
	switch {
	case port == "" && tls:
		port = "8883"
	case port == "":
		port = "1883"
	}
	return net.JoinHostPort(u.Hostname(), port), tls
}

// SigPath is the file with the board's UserSig: SigFile, or else the systemd
// credential "herald.sig" ($CREDENTIALS_DIRECTORY) when the unit was given one,
// or else "", which means that there is none.
func (a Account) SigPath() string {
	if a.SigFile != "" {
		return a.SigFile
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return ""
	}
	file := filepath.Join(dir, "herald.sig")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// FilesDir is where the files of messages are.
func (a Agent) FilesDir() string {
	if a.Files.Dir != "" {
		return a.Files.Dir
	}
	return filepath.Join(a.State.Dir, "files")
}

// Hosts is AllowHosts as a list; nil when it is empty.
func (a API) Hosts() []string { return listed(a.AllowHosts) }

// Origins is AllowOrigins as a list; nil when it is empty.
func (a API) Origins() []string { return listed(a.AllowOrigins) }

// InterfaceList is Interfaces as a list; nil when it is empty.
func (m Media) InterfaceList() []string { return listed(m.Interfaces) }

// ExcludedInterfaces is ExcludeInterfaces as a list; nil when it is empty.
func (m Media) ExcludedInterfaces() []string { return listed(m.ExcludeInterfaces) }

// AutoAnswerUsers is AutoAnswer as a list; nil when it is empty.
func (c Calls) AutoAnswerUsers() []string { return listed(c.AutoAnswer) }

// DeniedUsers is Deny as a list; nil when it is empty.
func (c Calls) DeniedUsers() []string { return listed(c.Deny) }

func listed(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}
