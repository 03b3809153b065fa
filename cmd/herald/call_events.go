package main

import (
	"fmt"
	"strings"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// callKind names a call for a sentence.
func callKind(t protocol.CallType) string {
	if t == protocol.CallTypeVideo {
		return "video call"
	}
	return "voice call"
}

// describeCall says the events of calls.
func describeCall(e client.Event) (at int64, says string, err error) {
	user := func(format string) (int64, string, error) {
		return describe(e, func(d protocol.CallUserEvent) (int64, string) { return 0, fmt.Sprintf(format, d.UserID) })
	}
	switch e.Name {
	case protocol.OnInvited.Info().Name:
		return describe(e, func(d protocol.InvitedEvent) (int64, string) {
			says := fmt.Sprintf("call: %s rings: %s", d.UserID, callKind(d.Type))
			if d.GroupID != "" {
				says += " in the group " + d.GroupID
			}
			if len(d.UserIDList) > 1 {
				says += " to " + strings.Join(d.UserIDList, ", ")
			}
			return 0, says
		})
	case protocol.OnCallingCancel.Info().Name:
		return user("call: rings no more: %s took it back or was faster")
	case protocol.OnCallingTimeOut.Info().Name:
		return 0, "call: rings no more: not answered in time", nil
	case protocol.OnReject.Info().Name:
		return user("call: %s rejects")
	case protocol.OnNoResp.Info().Name:
		return user("call: %s does not answer")
	case protocol.OnLineBusy.Info().Name:
		return user("call: %s is busy")
	case protocol.OnGroupCallInviteeListUpdate.Info().Name:
		return describe(e, func(d protocol.InviteeListEvent) (int64, string) {
			if len(d.UserIDList) == 0 {
				return 0, "call: nobody rings any more"
			}
			return 0, "call: still ringing: " + strings.Join(d.UserIDList, ", ")
		})
	case protocol.OnUserEnter.Info().Name:
		return user("call: %s is connected")
	case protocol.OnUserLeave.Info().Name:
		return user("call: %s has left")
	case protocol.OnUserAudioAvailable.Info().Name:
		return describe(e, func(d protocol.AudioAvailableEvent) (int64, string) {
			return 0, sends(d.UserID, d.IsAudioAvailable, "sound")
		})
	case protocol.OnUserVideoAvailable.Info().Name:
		return describe(e, func(d protocol.VideoAvailableEvent) (int64, string) {
			return 0, sends(d.UserID, d.IsVideoAvailable, "a picture")
		})
	case protocol.OnUserVoiceVolume.Info().Name:
		return describe(e, func(d protocol.VoiceVolumeEvent) (int64, string) {
			return 0, fmt.Sprintf("call: volume of %s %d", d.UserID, d.Volume)
		})
	case protocol.OnCallEnd.Info().Name:
		return describe(e, func(d protocol.CallEndEvent) (int64, string) {
			return 0, fmt.Sprintf("call: ended (%s) after %d s", d.Reason, d.Seconds)
		})
	case protocol.OnCallingError.Info().Name:
		return describe(e, func(d protocol.Error) (int64, string) { return 0, "call: trouble: " + d.Error() })
	}
	return describeGroup(e)
}

func sends(user string, yes bool, what string) string {
	if yes {
		return fmt.Sprintf("call: %s sends %s", user, what)
	}
	return fmt.Sprintf("call: %s sends no %s any more", user, strings.TrimPrefix(what, "a "))
}
