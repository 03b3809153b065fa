package protocol

// Limits of profiles (Tencent's).
const MaxProfileValue = 500 // bytes of a nickname, a picture's URL or a signature

// Gender of an account.
type Gender uint8

const (
	GenderUnknown Gender = 0
	GenderMale    Gender = 1
	GenderFemale  Gender = 2
)

// AllowType is what an account does with requests to be its friend.
type AllowType uint8

const (
	AllowAny     AllowType = 0 // it has everybody as a friend at once
	DenyAny      AllowType = 1
	AllowConfirm AllowType = 2 // it decides
)

// UserFullInfo is the document's userFullInfo.
type UserFullInfo struct {
	UserInfo
	// SelfSignature is what the account says of itself.
	SelfSignature string `json:"selfSignature"`
	// Gender is 0 unknown, 1 male, 2 female.
	Gender Gender `json:"gender"`
	// AllowType is 0 everybody may add the account as a friend, 1 nobody, 2 it decides.
	AllowType AllowType `json:"allowType"`
}

// UsersResponse is the response of im.getUsersInfo.
type UsersResponse struct {
	// InfoList are those of the request that there are, in its order.
	InfoList []UserFullInfo `json:"infoList"`
}

// SelfInfoRequest is the request of im.setSelfInfo. What is missing stays.
type SelfInfoRequest struct {
	// SelfSignature is what the account says of itself, at most 500 bytes of UTF-8.
	SelfSignature *string `json:"selfSignature,omitempty"`
	// Gender is 0 unknown, 1 male, 2 female.
	Gender *Gender `json:"gender,omitempty"`
	// AllowType is 0 everybody may add the account as a friend, 1 nobody, 2 it decides.
	AllowType *AllowType `json:"allowType,omitempty"`
	// NickName of the account, at most 500 bytes of UTF-8.
	NickName *string `json:"nickName,omitempty"`
	// FaceURL of the account's picture, at most 500 bytes.
	FaceURL *string `json:"faceUrl,omitempty"`
}

func (r *SelfInfoRequest) Validate() error {
	switch {
	case *r == SelfInfoRequest{}:
		return invalid("there is nothing to change")
	case r.Gender != nil && *r.Gender > GenderFemale:
		return invalid("gender: %d is not 0 to 2", *r.Gender)
	case r.AllowType != nil && *r.AllowType > AllowConfirm:
		return invalid("allowType: %d is not 0 to 2", *r.AllowType)
	}
	for _, x := range [...]struct {
		field string
		text  *string
	}{{"selfSignature", r.SelfSignature}, {"nickName", r.NickName}, {"faceUrl", r.FaceURL}} {
		if err := checkWords(x.field, deref(x.text), MaxProfileValue, CodeInvalidParameters); err != nil {
			return err
		}
	}
	return nil
}

// SelfInfoEvent is the data of im.onSelfInfoUpdated.
type SelfInfoEvent struct {
	// Info is the account's profile as it is now.
	Info UserFullInfo `json:"info"`
}

// The family of profiles.
var (
	GetUsersInfo = Declare[UserListRequest, UsersResponse](Info{
		Name: "im.getUsersInfo", Doc: "tells of accounts", Source: "getUsersInfo", Scope: Read, Route: Hub, Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	SetSelfInfo = Declare[SelfInfoRequest, Empty](Info{
		Name: "im.setSelfInfo", Doc: "changes the account's profile", Source: "setSelfInfo", Scope: Write, Route: Hub, Codes: hubCodes(),
	})

	OnSelfInfoUpdated = DeclareEvent[SelfInfoEvent](EventInfo{
		Name: "im.onSelfInfoUpdated", Doc: "the account's profile has changed; its terminals are told", Listen: []string{"sdk"}, FromHub: true,
	})
)
