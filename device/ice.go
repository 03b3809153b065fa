package device

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/herald-im/herald/protocol"
)

// AtHub fills in the host by which this board reaches the hub where the hub does
// not know it.
func (d *Device) AtHub(servers []protocol.ICEServer) []protocol.ICEServer {
	host, _, err := net.SplitHostPort(d.cfg.HubAddr)
	if err != nil {
		return servers
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	servers = slices.Clone(servers)
	for i, s := range servers {
		servers[i].URLs = slices.Clone(s.URLs)
		for k, u := range s.URLs {
			servers[i].URLs[k] = strings.Replace(u, protocol.IceHostHub, host, 1)
		}
	}
	return servers
}

// getICEServers asks the hub, and fills in its host for programs.
func (d *Device) getICEServers(ctx context.Context, _ protocol.Caller, r protocol.Empty) (res protocol.ICEServersResponse, err error) {
	if res, err = Ask(ctx, d, protocol.GetICEServers, r); err != nil {
		return res, err
	}
	res.ICEServers = d.AtHub(res.ICEServers)
	return res, nil
}
