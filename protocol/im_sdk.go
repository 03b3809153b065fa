package protocol

// Empty is the request or response of a method that has no fields of its own.
type Empty struct{}

// InitRequest is the request of im.init.
type InitRequest struct {
	// SDKAppID pins the app: a later login with the UserSig of another app is
	// refused. A number or a string of digits.
	SDKAppID AppID `json:"sdkAppId"`
	// LogLevel sets how much the daemon logs: 0 nothing, 1 debug, 2 info,
	// 3 warnings, 4 errors. Missing: as configured.
	LogLevel *int `json:"logLevel,omitempty"`
}

func (r *InitRequest) Validate() error {
	if r.SDKAppID == 0 {
		return invalid("sdkAppId: missing")
	}
	if r.LogLevel != nil && (*r.LogLevel < 0 || *r.LogLevel > 4) {
		return invalid("logLevel: %d is not 0 to 4", *r.LogLevel)
	}
	return nil
}

// ListenRequest is the request of the methods that set and remove listeners.
type ListenRequest struct {
	// Stream names the event stream (GET /v1/events?stream=NAME) whose
	// listeners change, 1 to 64 of A-Z a-z 0-9 _ -. Missing: "default".
	Stream string `json:"stream,omitempty"`
}

// DefaultStream is the event stream of a program that names none.
const DefaultStream = "default"

func (r *ListenRequest) Validate() error {
	if r.Stream == "" {
		r.Stream = DefaultStream
	}
	if !validWord(r.Stream, 64) {
		return invalid("stream: %q is not 1 to 64 of A-Z a-z 0-9 _ -", Clip(r.Stream))
	}
	return nil
}

// VersionResponse is the response of im.getVersion.
type VersionResponse struct {
	// Version of this build of Herald.
	Version string `json:"version"`
}

// ServerTimeResponse is the response of im.getServerTime.
type ServerTimeResponse struct {
	// ServerTime is the hub's clock in Unix seconds, as it was told at the
	// last contact plus the time since then.
	ServerTime int64 `json:"serverTime"`
}

// LoginRequest is the request of im.login.
type LoginRequest struct {
	// UserID is the account, 1 to 32 bytes of A-Z a-z 0-9 _ -.
	UserID string `json:"userId"`
	// UserSig is the account's ticket, made by the operator.
	UserSig string `json:"userSig"`
}

// MaxUserSig is the longest UserSig that is looked at, in bytes.
const MaxUserSig = 8 << 10

func (r *LoginRequest) Validate() error {
	if err := CheckUserID("userId", r.UserID); err != nil {
		return err
	}
	switch {
	case r.UserSig == "":
		return Errorf(CodeSvrAccountUserSigEmpty, "userSig: missing")
	case len(r.UserSig) > MaxUserSig:
		return Errorf(CodeSvrAccountUserSigCheckFailed, "userSig: %d bytes are over the limit of %d", len(r.UserSig), MaxUserSig)
	}
	return nil
}

// LoginUserResponse is the response of im.getLoginUser.
type LoginUserResponse struct {
	// UserID is the account that is logged in or logging in; empty if none is.
	UserID string `json:"userId"`
}

// LoginStatus is the session's state as programs see it.
type LoginStatus int

const (
	LoggedIn  LoginStatus = 0 // logged in, also while the link is being restored
	LoggingIn LoginStatus = 1
	LoggedOut LoginStatus = 2
)

// LoginStatusResponse is the response of im.getLoginStatus.
type LoginStatusResponse struct {
	// LoginStatus is 0 logged in, 1 logging in, 2 logged out.
	LoginStatus LoginStatus `json:"loginStatus"`
}

// loginCodes are the reasons for which a login is refused.
var loginCodes = []Code{
	CodeInvalidIdentifier, CodeUserSigExpired, CodeSvrAccountUserSigEmpty, CodeSvrAccountUserSigCheckFailed, CodeSvrAccountUserSigMismatchPublicKey,
	CodeSvrAccountUserSigMismatchID, CodeSvrAccountUserSigMismatchSDKAppID, CodeSvrAccountSDKAppIDNotFound, CodeSvrAccountFreqLimit,
	CodeSvrAccountBlacklist, CodeSvrAccountInvalidUserSig, CodeSvrAccountNotFound, CodeLoginAuthFailed,
	CodeAccountLoginInProcess, CodeLoggedOutBeforeLoginFinished, CodeNotInitialized,
	CodeNetDisconnect, CodeRequestTimeout,
}

// The SDK and login family.
var (
	Init = Declare[InitRequest, Empty](Info{
		Name: "im.init", Doc: "makes the SDK ready; the daemon starts ready, so this is needed after im.destroy only",
		Source: "init", Scope: Write, Route: Local,
	})
	SetSDKListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setSDKListener", Doc: "has a program's event stream carry the events of the connection and the login",
		Source: "setSDKListener", Scope: Read, Route: Local,
	})
	RemoveSDKListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeSDKListener", Doc: "ends what im.setSDKListener began",
		Source: "removeSDKListener", Scope: Read, Route: Local,
	})
	Destroy = Declare[Empty, Empty](Info{
		Name: "im.destroy", Doc: "logs out and refuses everything until im.init; what is queued stays on disk",
		Source: "destroy", Scope: Write, Route: Local,
	})
	GetVersion = Declare[Empty, VersionResponse](Info{
		Name: "im.getVersion", Doc: "returns the version of Herald", Source: "getVersion", Scope: Read, Route: Local,
	})
	GetServerTime = Declare[Empty, ServerTimeResponse](Info{
		Name: "im.getServerTime", Doc: "returns the hub's time", Source: "getServerTime", Scope: Read, Route: Local,
		Codes: []Code{CodeNotInitialized, CodeNetDisconnect},
	})
	Login = Declare[LoginRequest, Empty](Info{
		Name: "im.login", Doc: "logs an account in and keeps it logged in", Source: "login", Scope: Write, Route: Local,
		Codes: loginCodes,
	})
	Logout = Declare[Empty, Empty](Info{
		Name: "im.logout", Doc: "ends the login; what is queued is sent after the next login of the account",
		Source: "logout", Scope: Write, Route: Local, Codes: []Code{CodeNotInitialized},
	})
	GetLoginUser = Declare[Empty, LoginUserResponse](Info{
		Name: "im.getLoginUser", Doc: "returns the account of the login", Source: "getLoginUser", Scope: Read, Route: Local,
		Codes: []Code{CodeNotInitialized},
	})
	GetLoginStatus = Declare[Empty, LoginStatusResponse](Info{
		Name: "im.getLoginStatus", Doc: "returns the state of the login", Source: "getLoginStatus", Scope: Read, Route: Local,
		Codes: []Code{CodeNotInitialized},
	})
)
