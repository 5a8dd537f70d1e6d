package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// States of sockets: linux/tcp_states.h. A UDP socket that is not connected has the
// second.
const (
	stateListen = 10
	stateClose  = 7
)

// diagV6Only is INET_DIAG_SKV6ONLY: linux/inet_diag.h.
const diagV6Only = 11

// diagRequest is struct inet_diag_req_v2 for all sockets of a port in a state:
// linux/inet_diag.h.
type diagRequest struct {
	family, protocol, state uint8
	port                    uint16
}

const diagIDLen = 48 // struct inet_diag_sockid

func (diagRequest) Len() int { return 8 + diagIDLen }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0], b[1] = r.family, r.protocol
	nl.NativeEndian().PutUint32(b[4:], 1<<r.state)
	binary.BigEndian.PutUint16(b[8:], r.port)
	return b
}

func (h *host) listeners(network string, port uint16) (all []netip.Addr, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal == nil {
		return nil, os.ErrClosed
	}
	link, err := h.nl.LinkByName(h.name)
	if err != nil {
		return nil, err
	}
	r := diagRequest{protocol: unix.IPPROTO_TCP, state: stateListen, port: port}
	if network == "udp" {
		r.protocol, r.state = unix.IPPROTO_UDP, stateClose
	}
	for _, family := range families {
		r.family = uint8(family)
		found, err := dump(func() ([][]byte, error) {
			req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
			req.AddData(r)
			return req.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
		})
		if err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
		for _, m := range found {
			addrs, err := diagAddrs(m, port, uint32(link.Attrs().Index))
			if err != nil {
				return nil, err
			}
			all = append(all, addrs...)
		}
	}
	return all, nil
}

// diagAddrs returns the addresses of a socket, which struct inet_diag_msg and its attributes
// tell of, if it is of the port and takes what comes by the interface.
func diagAddrs(m []byte, port uint16, device uint32) ([]netip.Addr, error) {
	const idAt, deviceAt, attrsAt = 4, 4 + 36, 4 + diagIDLen + 20
	if len(m) < attrsAt {
		return nil, errors.New("sock_diag: an answer is cut short")
	}
	if binary.BigEndian.Uint16(m[idAt:]) != port {
		return nil, nil
	}
	if bound := nl.NativeEndian().Uint32(m[deviceAt:]); bound != 0 && bound != device {
		return nil, nil
	}
	if m[0] == unix.AF_INET {
		return []netip.Addr{netip.AddrFrom4([4]byte(m[idAt+4:]))}, nil
	}
	a := netip.AddrFrom16([16]byte(m[idAt+4:]))
	if !a.IsUnspecified() {
		return []netip.Addr{a.Unmap()}, nil
	}
	attrs, err := nl.ParseRouteAttr(m[attrsAt:])
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	for _, attr := range attrs {
		if attr.Attr.Type == diagV6Only && len(attr.Value) > 0 && attr.Value[0] != 0 {
			return []netip.Addr{a}, nil
		}
	}
	return []netip.Addr{a, netip.IPv4Unspecified()}, nil
}

var _ nl.NetlinkRequestData = diagRequest{}
