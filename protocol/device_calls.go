package protocol

// IceHostHub stands in the URL of a server for the host by which the board
// reaches the hub; device.getIceServers gives the board's programs that host.
const IceHostHub = "hub.invalid"

// ICEServer is a STUN or TURN server, as browsers take it (RTCIceServer).
type ICEServer struct {
	// URLs of the server (RFC 7064, RFC 7065).
	URLs []string `json:"urls"`
	// Username for TURN.
	Username string `json:"username,omitempty"`
	// Credential is the password that goes with it.
	Credential string `json:"credential,omitempty"`
}

// ICEServersResponse is the response of device.getIceServers.
type ICEServersResponse struct {
	// ICEServers of the hub; none where it runs none.
	ICEServers []ICEServer `json:"iceServers"`
	// TTLSeconds is how long the credentials are good for.
	TTLSeconds int64 `json:"ttlSeconds"`
}

// Invitation is an invitation that is open at the hub.
type Invitation struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// GroupID of the group it is in, empty between two accounts.
	GroupID string `json:"groupId"`
	// Inviter is the userId of whoever invited.
	Inviter string `json:"inviter"`
	// Terminal of the inviter that invited.
	Terminal string `json:"terminal"`
	// InviteeList are the userIds of all who were invited.
	InviteeList []string `json:"inviteeList"`
	// Accepted are the userIds of those who have accepted.
	Accepted []string `json:"accepted"`
	// Data as the inviter gave it.
	Data string `json:"data"`
	// CreatedAt is when it was made, in Unix milliseconds.
	CreatedAt int64 `json:"createdAt"`
	// EndsAt is when it times out, in Unix milliseconds; 0: never.
	EndsAt int64 `json:"endsAt"`
}

// InvitationsResponse is the response of device.getInvitations.
type InvitationsResponse struct {
	// Invitations that are open, the newest first, at most 100.
	Invitations []Invitation `json:"invitations"`
	// Time is the hub's, in Unix milliseconds.
	Time int64 `json:"time"`
}

// What the board asks of the hub for its calls.
var (
	GetICEServers = Declare[Empty, ICEServersResponse](Info{
		Name: "device.getIceServers", Doc: "gives the STUN and TURN servers of the hub, with credentials for some hours", Source: "Herald", Scope: Write, Route: Hub,
		Codes: hubCodes(),
	})
	GetInvitations = Declare[Empty, InvitationsResponse](Info{
		Name: "device.getInvitations", Doc: "lists the open invitations of this account, and to it as far as it has not answered them", Source: "Herald", Scope: Read, Route: Hub,
		Codes: hubCodes(),
	})
)
