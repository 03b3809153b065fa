package peer

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxAddresses bounds the host candidates of a connection: IPv6 privacy addresses can pile up.
const maxAddresses = 16

// interfaces says which network interfaces may be used.
type interfaces struct {
	allow, exclude []string // patterns as of path.Match
	loopback       bool
}

func (i interfaces) check() error {
	for _, pattern := range slices.Concat(i.allow, i.exclude) {
		if _, err := path.Match(pattern, "x"); err != nil {
			return fmt.Errorf("interface pattern %q: %w", pattern, err)
		}
	}
	return nil
}

// allowed tells by name. An interface named in allow is used even where a pattern excludes it.
func (i interfaces) allowed(name string) bool {
	match := func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	}
	if len(i.allow) > 0 {
		return slices.ContainsFunc(i.allow, match)
	}
	return !slices.ContainsFunc(i.exclude, match)
}

// worthTrying refuses remote candidates that make us send to many, or to programs on this machine. A network's own broadcast
// address looks like any other; the socket may not send there.
func (i interfaces) worthTrying(ip net.IP) bool {
	return !ip.IsUnspecified() && !ip.IsMulticast() && (i.loopback || !ip.IsLoopback())
}

// usableLinks gives the names of the allowed interfaces that are up and have a carrier, by index.
func (i interfaces) usableLinks() (map[int]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing network interfaces: %w", err)
	}
	links := make(map[int]string, len(all))
	for _, ifc := range all {
		up := ifc.Flags&net.FlagUp != 0 && ifc.Flags&net.FlagRunning != 0
		if !up || ifc.Flags&net.FlagLoopback != 0 && !i.loopback {
			continue
		}
		if ifc.Flags&net.FlagLoopback != 0 || i.allowed(ifc.Name) {
			links[ifc.Index] = ifc.Name
		}
	}
	return links, nil
}

// addresses gives the addresses on which we may be reached now, sorted. Link-local ones are left out (RFC 8445 §5.1.1.1), and
// so are those that the kernel still probes for duplicates or no longer wants used.
func (i interfaces) addresses() ([]netip.Addr, error) {
	links, err := i.usableLinks()
	if err != nil {
		return nil, err
	}
	messages, err := rib(syscall.RTM_GETADDR)
	if err != nil {
		return nil, fmt.Errorf("listing network addresses: %w", err)
	}
	const unwanted = unix.IFA_F_TENTATIVE | unix.IFA_F_DEPRECATED | unix.IFA_F_DADFAILED
	var found []netip.Addr
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		// struct ifaddrmsg: family, prefixlen, flags, scope (a byte each), index (4 bytes).
		flags := uint32(m.Data[2])
		if _, ok := links[int(binary.NativeEndian.Uint32(m.Data[4:8]))]; !ok {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		var addr netip.Addr
		for _, a := range attrs {
			switch {
			case a.Attr.Type == unix.IFA_LOCAL, a.Attr.Type == unix.IFA_ADDRESS && !addr.IsValid():
				// On a point-to-point link IFA_ADDRESS is the far end's and IFA_LOCAL ours.
				if ip, ok := netip.AddrFromSlice(a.Value); ok {
					addr = ip
				}
			case a.Attr.Type == unix.IFA_FLAGS && len(a.Value) == 4:
				flags = binary.NativeEndian.Uint32(a.Value)
			}
		}
		if !addr.IsValid() || flags&unwanted != 0 || addr.IsLinkLocalUnicast() && addr.Is6() || addr.IsMulticast() {
			continue
		}
		found = append(found, addr)
	}
	// IPv4 first: where the bound cuts, privacy addresses go.
	slices.SortFunc(found, func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b))
	})
	found = slices.Compact(found)
	return found[:min(len(found), maxAddresses)], nil
}

// defaultRoutes gives the default routes through allowed interfaces, as text that only says whether they are the same.
func (i interfaces) defaultRoutes() ([]string, error) {
	links, err := i.usableLinks()
	if err != nil {
		return nil, err
	}
	messages, err := rib(syscall.RTM_GETROUTE)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var found []string
	for _, m := range messages {
		// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type (a byte each), flags.
		if m.Header.Type != syscall.RTM_NEWROUTE || len(m.Data) < unix.SizeofRtMsg || m.Data[1] != 0 || m.Data[7] != unix.RTN_UNICAST {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		var gateway netip.Addr
		var link string
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.RTA_GATEWAY:
				gateway, _ = netip.AddrFromSlice(a.Value)
			case unix.RTA_OIF:
				if len(a.Value) == 4 {
					link = links[int(binary.NativeEndian.Uint32(a.Value))]
				}
			}
		}
		if link != "" {
			found = append(found, link+" "+gateway.String())
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func rib(what int) ([]syscall.NetlinkMessage, error) {
	data, err := syscall.NetlinkRIB(what, syscall.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	return syscall.ParseNetlinkMessage(data)
}
