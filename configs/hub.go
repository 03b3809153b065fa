package configs

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// HubPath is where herald-hub looks for its file when it is not told another.
const HubPath = "/etc/herald/hub.toml"

// Hub is the configuration of herald-hub.
type Hub struct {
	MQTT     MQTT     `toml:"mqtt"`
	HTTP     HTTP     `toml:"http"`
	Data     Data     `toml:"data"`
	DB       DB       `toml:"db"`
	Files    HubFiles `toml:"files"`
	Turn     Turn     `toml:"turn"`
	Accounts Accounts `toml:"accounts"`
	Limits   Limits   `toml:"limits"`
	Log      Log      `toml:"log"`
}

// MQTT is the hub's own broker.
type MQTT struct {
	// Listen is the address (HOST:PORT) that boards connect to; port 0 takes a
	// free one. See TLS for how they are spoken to.
	Listen string `toml:"listen"`
	// TLSCert and TLSKey are PEM files, both or neither. Neither: the certificate
	// that the hub made with its own CA, in the data directory.
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// Plain allows TCP without TLS on addresses that others can reach.
	Plain bool `toml:"plain"`
	// MaxConnections is how many may be open at a time. 1 to 1000000.
	MaxConnections int `toml:"max_connections"`
	// MaxConnectionsPerAddr is how many of them one address may have. A whole
	// building behind one router is one address. 1 to 1000000.
	MaxConnectionsPerAddr int `toml:"max_connections_per_addr"`
	// ConnectTimeout is from accepting a connection to its complete CONNECT. 1s
	// to 1m.
	ConnectTimeout Duration `toml:"connect_timeout"`
}

// HTTP is the hub's web server: /healthz, /metrics and the files of messages.
type HTTP struct {
	// Listen is its address, HOST:PORT; port 0 takes a free one.
	Listen string `toml:"listen"`
}

// Data is where the hub keeps its CA, its certificate and by default its
// database.
type Data struct {
	Dir string `toml:"dir"`
}

// DB is the hub's database.
type DB struct {
	// URL of a PostgreSQL: postgres://USER:PASSWORD@HOST:PORT/NAME. Empty: SQLite
	// in the data directory. It may hold a password, so it is never shown as it is.
	URL string `toml:"url"`
}

// HubFiles are the files of messages: pictures, sounds, videos and others.
type HubFiles struct {
	// Dir is where uploads gather, and where files are kept without S3Bucket. Empty:
	// "files" in the data directory.
	Dir string `toml:"dir"`
	// PublicURL is what boards are told to reach HTTP.Listen by, such as
	// https://hub.example: what they ask below its /files/ has to arrive below ours.
	// Empty: http, the host by which each reaches the hub, and the port of HTTP.Listen.
	PublicURL string `toml:"public_url"`
	// MaxBytes is what all files may have together; beyond it those go that were not
	// used for longest. 128MiB to 1024TiB.
	MaxBytes Size `toml:"max_bytes"`
	// MinFree is room on the disk that uploads leave free. 0B to 1TiB.
	MinFree Size `toml:"min_free"`
	// MaxAge is how long a file is kept since a message named it last; 0s is for ever.
	// 0s to 876000h.
	MaxAge Duration `toml:"max_age"`
	// UnusedFor is how long half an upload is kept, and a file that no message names.
	// 1h to 8760h.
	UnusedFor Duration `toml:"unused_for"`
	// URLFor is how long a URL is good that a board was given to fetch a file. 1m to
	// 24h.
	URLFor Duration `toml:"url_for"`
	// UploadFor is how long one is good that it was given to upload a file. 10m to
	// 168h.
	UploadFor Duration `toml:"upload_for"`
	// S3Endpoint is the URL of an S3 server: https://HOST or http://HOST:PORT.
	S3Endpoint string `toml:"s3_endpoint"`
	// S3Bucket is the bucket for complete files. Empty: they are kept in Dir.
	S3Bucket string `toml:"s3_bucket"`
	// S3Region is the bucket's region. Empty: as the server says.
	S3Region string `toml:"s3_region"`
	// S3AccessKey is the name that the hub uses there.
	S3AccessKey string `toml:"s3_access_key"`
	// S3SecretFile is the file with the secret of S3AccessKey.
	S3SecretFile string `toml:"s3_secret_file"`
}

// TurnPort is the port of STUN and TURN (RFC 8656 §18).
const TurnPort = "3478"

// Turn is the hub's STUN and TURN server: it relays the media of calls where no
// path of their own leads between two boards.
type Turn struct {
	// Listen is its address (HOST:PORT) for UDP and TCP; port 0 takes a free one.
	// "auto": the host of mqtt.listen and TurnPort. "off": there is none.
	Listen string `toml:"listen"`
	// Public is what boards are told to reach it by, HOST or HOST:PORT. Empty: the
	// host by which each reaches the hub.
	Public string `toml:"public"`
	// RelayAddress is the IP of relayed sockets, as peers see it. Empty: the host of
	// Listen, or the machine's outbound address if that is all addresses.
	RelayAddress string `toml:"relay_address"`
	// MinPort is the first port of relayed sockets. 1024 to 65535.
	MinPort int `toml:"min_port"`
	// MaxPort is the last one. 1024 to 65535.
	MaxPort int `toml:"max_port"`
	// MaxAllocations is how many relayed sockets there may be. 1 to 65535.
	MaxAllocations int `toml:"max_allocations"`
	// MaxAllocationsPerUser is how many of them one account may have; a board takes
	// one or two for each connection of a call. 1 to 65535.
	MaxAllocationsPerUser int `toml:"max_allocations_per_user"`
	// CredentialsFor is how long a board may begin to relay with the password that it
	// was given. 10m to 24h.
	CredentialsFor Duration `toml:"credentials_for"`
}

// Accounts is who may log in, and how.
type Accounts struct {
	// CreateOnLogin makes an account for whoever comes with a good UserSig.
	CreateOnLogin bool `toml:"create_on_login"`
	// TerminalsPerPlatform is how many terminals of one platform an account may
	// have online; one more ends the oldest (6208). 1 to 64.
	TerminalsPerPlatform int `toml:"terminals_per_platform"`
	// SigMaxExpire is the longest time a UserSig may be made for. 1s to 876000h.
	SigMaxExpire Duration `toml:"sig_max_expire"`
	// ClockTolerance is how far in the future a UserSig may have been issued. 1s
	// to 24h.
	ClockTolerance Duration `toml:"clock_tolerance"`
	// LockAfterFailures is how many wrong UserSigs within a minute lock an
	// account for a minute to the address that they come from (70050). 1 to 1000.
	LockAfterFailures int `toml:"lock_after_failures"`
	// FriendsOnly has messages to an account, and invitations, go between friends
	// alone (20009, 20010, 20011).
	FriendsOnly bool `toml:"friends_only"`
}

// Limits are what users may not exceed; the defaults are Tencent's.
type Limits struct {
	// MessageBytes is the longest text or custom message. 256B to 8KiB: boards
	// refuse a longer one by themselves.
	MessageBytes Size `toml:"message_bytes"`
	// GroupWorkMembers is the most members of a Work group. 2 to 100000.
	GroupWorkMembers int `toml:"group_work_members"`
	// GroupPublicMembers is the most members of a Public group. 2 to 100000.
	GroupPublicMembers int `toml:"group_public_members"`
	// GroupMeetingMembers is the most members of a Meeting group. 2 to 100000.
	GroupMeetingMembers int `toml:"group_meeting_members"`
	// GroupsPerUser is how many groups one may be a member of. 1 to 4000: the
	// live ones of them are listed in one frame.
	GroupsPerUser int `toml:"groups_per_user"`
	// GroupNameBytes is the longest name of a group, in bytes of UTF-8. 1 to 30.
	GroupNameBytes int `toml:"group_name_bytes"`
	// GroupRate is how many messages a second a group takes; of low priority three
	// quarters of that, of high priority a quarter more. 0 to 100000; 0: any number.
	GroupRate int `toml:"group_rate"`
	// Friends is how many friends one may have. 1 to 4000: the
	// list of them is one answer.
	Friends int `toml:"friends"`
	// FriendApplications is how many one may have sent, or received, and not decided
	// yet. 1 to 1000.
	FriendApplications int `toml:"friend_applications"`
	// FriendGroups is how many friend groups one may have. 1 to 32.
	FriendGroups int `toml:"friend_groups"`
	// Blacklist is how many accounts one may have in the blacklist. 1 to 4000:
	// the list of them is one answer.
	Blacklist int `toml:"blacklist"`
	// PullEntries is how many entries of a log a terminal gets at a time. 1 to
	// 512.
	PullEntries int `toml:"pull_entries"`
	// SyncEntries is how many entries of a log a terminal gets that was away; what
	// is older it finds in the history. 1000 to 10000000.
	SyncEntries int `toml:"sync_entries"`
	// RevokeWindow is how long a sender may take a message back. 1s to 168h.
	RevokeWindow Duration `toml:"revoke_window"`
}

// DefaultHub is the configuration of a hub without a file.
func DefaultHub() Hub {
	return Hub{
		MQTT: MQTT{
			Listen:                "127.0.0.1:1883",
			MaxConnections:        20_000,
			MaxConnectionsPerAddr: 10_000,
			ConnectTimeout:        Duration(10 * time.Second),
		},
		HTTP: HTTP{Listen: "127.0.0.1:8080"},
		Data: Data{Dir: "/var/lib/herald-hub"},
		Files: HubFiles{
			MaxBytes:  10 * GiB,
			MinFree:   256 * MiB,
			MaxAge:    Duration(8760 * time.Hour),
			UnusedFor: Duration(24 * time.Hour),
			URLFor:    Duration(10 * time.Minute),
			UploadFor: Duration(24 * time.Hour),
		},
		Turn: Turn{
			Listen:                "auto",
			MinPort:               49152,
			MaxPort:               65535,
			MaxAllocations:        1000,
			MaxAllocationsPerUser: 12,
			CredentialsFor:        Duration(6 * time.Hour),
		},
		Accounts: Accounts{
			CreateOnLogin:        true,
			TerminalsPerPlatform: 1,
			SigMaxExpire:         Duration(87600 * time.Hour),
			ClockTolerance:       Duration(10 * time.Minute),
			LockAfterFailures:    10,
		},
		Limits: Limits{
			MessageBytes:        8 * KiB,
			GroupWorkMembers:    200,
			GroupPublicMembers:  2000,
			GroupMeetingMembers: 6000,
			GroupsPerUser:       1000,
			GroupNameBytes:      30,
			GroupRate:           40,
			Friends:             3000,
			FriendApplications:  100,
			FriendGroups:        32,
			Blacklist:           1000,
			PullEntries:         256,
			SyncEntries:         100_000,
			RevokeWindow:        Duration(2 * time.Minute),
		},
		Log: Log{Level: "info"},
	}
}

// LoadHub reads the file at path over DefaultHub and validates the whole. Path
// "" is HubPath; a file that is missing there leaves the defaults, one that is
// missing elsewhere is an error. The error is Problems.
func LoadHub(path string) (Hub, error) {
	h := DefaultHub()
	if err := load(path, HubPath, &h, func() []rule { return h.rules() }); err != nil {
		return Hub{}, err
	}
	return h, nil
}

// Validate checks every value, also against each other. The error is Problems
// and names each key, its value and what is allowed.
func (h Hub) Validate() error { return failed(h.rules()).orNil() }

func (h Hub) rules() []rule {
	return []rule{
		check("mqtt.listen", h.MQTT.Listen, address(h.MQTT.Listen, required)),
		filePath("mqtt.tls_cert", h.MQTT.TLSCert, optional),
		filePath("mqtt.tls_key", h.MQTT.TLSKey, optional),
		{"mqtt.tls_cert", h.MQTT.TLSCert, h.MQTT.TLSCert != "" || h.MQTT.TLSKey == "", "is required with mqtt.tls_key"},
		{"mqtt.tls_key", h.MQTT.TLSKey, h.MQTT.TLSKey != "" || h.MQTT.TLSCert == "", "is required with mqtt.tls_cert"},
		{"mqtt.plain", "true", !h.MQTT.Plain || h.MQTT.TLSCert == "", "contradicts mqtt.tls_cert: take out one of the two"},
		count("mqtt.max_connections", h.MQTT.MaxConnections, 1, 1_000_000),
		count("mqtt.max_connections_per_addr", h.MQTT.MaxConnectionsPerAddr, 1, 1_000_000),
		span("mqtt.connect_timeout", h.MQTT.ConnectTimeout, time.Second, time.Minute),
		check("http.listen", h.HTTP.Listen, address(h.HTTP.Listen, required)),
		filePath("data.dir", h.Data.Dir, required),
		check("db.url", redacted(h.DB.URL), databaseURL(h.DB.URL)),
		filePath("files.dir", h.Files.Dir, optional),
		check("files.public_url", withoutUser(h.Files.PublicURL), webURL(h.Files.PublicURL, "https://hub.example")),
		size("files.max_bytes", h.Files.MaxBytes, 128*MiB, 1024*TiB),
		size("files.min_free", h.Files.MinFree, 0, TiB),
		span("files.max_age", h.Files.MaxAge, 0, 876000*time.Hour),
		span("files.unused_for", h.Files.UnusedFor, time.Hour, 8760*time.Hour),
		span("files.url_for", h.Files.URLFor, time.Minute, 24*time.Hour),
		span("files.upload_for", h.Files.UploadFor, 10*time.Minute, 168*time.Hour),
		check("files.s3_endpoint", withoutUser(h.Files.S3Endpoint), webURL(h.Files.S3Endpoint, "https://s3.example")),
		h.Files.withBucket("files.s3_endpoint", h.Files.S3Endpoint),
		{"files.s3_bucket", h.Files.S3Bucket, h.Files.S3Bucket == "" || len(h.Files.S3Bucket) >= 3 && spelled(h.Files.S3Bucket, 63, "az09_-."),
			"must be 3 to 63 of a-z 0-9 _ - ., or empty"},
		{"files.s3_region", h.Files.S3Region, h.Files.S3Region == "" || spelled(h.Files.S3Region, 64, "AZaz09_-."), "must be a name such as eu-central-1, or empty"},
		{"files.s3_access_key", h.Files.S3AccessKey, h.Files.S3AccessKey == "" || spelled(h.Files.S3AccessKey, 128, "!~"), "must be at most 128 printable characters without spaces"},
		h.Files.withBucket("files.s3_access_key", h.Files.S3AccessKey),
		filePath("files.s3_secret_file", h.Files.S3SecretFile, optional),
		h.Files.withBucket("files.s3_secret_file", h.Files.S3SecretFile),
		check("turn.listen", h.Turn.Listen, h.Turn.listenWrong()),
		check("turn.public", h.Turn.Public, publicHost(h.Turn.Public)),
		check("turn.relay_address", h.Turn.RelayAddress, relayAddress(h.Turn.RelayAddress)),
		count("turn.min_port", h.Turn.MinPort, 1024, 65535),
		count("turn.max_port", h.Turn.MaxPort, 1024, 65535),
		{"turn.max_port", strconv.Itoa(h.Turn.MaxPort), h.Turn.MaxPort >= h.Turn.MinPort, "must not be less than turn.min_port, which is " + strconv.Itoa(h.Turn.MinPort)},
		count("turn.max_allocations", h.Turn.MaxAllocations, 1, 65535),
		count("turn.max_allocations_per_user", h.Turn.MaxAllocationsPerUser, 1, 65535),
		span("turn.credentials_for", h.Turn.CredentialsFor, 10*time.Minute, 24*time.Hour),
		count("accounts.terminals_per_platform", h.Accounts.TerminalsPerPlatform, 1, 64),
		span("accounts.sig_max_expire", h.Accounts.SigMaxExpire, time.Second, 876000*time.Hour),
		span("accounts.clock_tolerance", h.Accounts.ClockTolerance, time.Second, 24*time.Hour),
		count("accounts.lock_after_failures", h.Accounts.LockAfterFailures, 1, 1000),
		size("limits.message_bytes", h.Limits.MessageBytes, 256, 8*KiB),
		count("limits.group_work_members", h.Limits.GroupWorkMembers, 2, 100_000),
		count("limits.group_public_members", h.Limits.GroupPublicMembers, 2, 100_000),
		count("limits.group_meeting_members", h.Limits.GroupMeetingMembers, 2, 100_000),
		count("limits.groups_per_user", h.Limits.GroupsPerUser, 1, 4000),
		count("limits.group_name_bytes", h.Limits.GroupNameBytes, 1, 30),
		count("limits.group_rate", h.Limits.GroupRate, 0, 100_000),
		count("limits.friends", h.Limits.Friends, 1, 4000),
		count("limits.friend_applications", h.Limits.FriendApplications, 1, 1000),
		count("limits.friend_groups", h.Limits.FriendGroups, 1, 32),
		count("limits.blacklist", h.Limits.Blacklist, 1, 4000),
		count("limits.pull_entries", h.Limits.PullEntries, 1, 512),
		count("limits.sync_entries", h.Limits.SyncEntries, 1000, 10_000_000),
		span("limits.revoke_window", h.Limits.RevokeWindow, time.Second, 168*time.Hour),
		level("log.level", h.Log.Level),
	}
}

// TLS tells whether the broker speaks TLS: with a certificate of the
// operator's always; else on addresses that others can reach, unless Plain
// allows them to be without.
func (m MQTT) TLS() bool {
	if m.TLSCert != "" {
		return true
	}
	return !m.Plain && !loopback(m.Listen)
}

// Exposed tells whether others can reach the broker and what it says can be read
// on the way.
func (m MQTT) Exposed() bool { return !m.TLS() && !loopback(m.Listen) }

// FilesHidden tells whether others can reach the broker but not the files.
func (h Hub) FilesHidden() bool {
	return h.Files.PublicURL == "" && loopback(h.HTTP.Listen) && !loopback(h.MQTT.Listen)
}

// TurnListen is where the TURN server listens, "" for nowhere. mayLack says that
// nobody chose this address, so that the hub does without where another program has
// it: a hub without a relay is better than none.
func (h Hub) TurnListen() (address string, mayLack bool) {
	switch h.Turn.Listen {
	case "off":
		return "", false
	case "auto":
		host, _, err := net.SplitHostPort(h.MQTT.Listen)
		if err != nil {
			return "", false // not valid, and Validate has said so
		}
		return net.JoinHostPort(host, TurnPort), true
	}
	return h.Turn.Listen, false
}

// RelayIP is RelayAddress, or the zero value.
func (t Turn) RelayIP() netip.Addr {
	ip, _ := netip.ParseAddr(t.RelayAddress) // Validate has seen to it
	return ip
}

// withBucket is the rule of a key that goes with the bucket's.
func (f HubFiles) withBucket(key, value string) rule {
	if f.S3Bucket == "" {
		return rule{key, value, value == "", "makes no sense without files.s3_bucket"}
	}
	return rule{key, value, value != "", "is required with files.s3_bucket"}
}

func (t Turn) listenWrong() string {
	if t.Listen == "auto" || t.Listen == "off" {
		return ""
	}
	if wrong := address(t.Listen, required); wrong != "" {
		return `must be "auto", "off" or HOST:PORT, such as "127.0.0.1:3478" or ":3478"`
	}
	return ""
}
