package pair

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// DefaultEndpoint is an endpoint for two ends on one machine. WireGuard's
// documentation uses this port; IANA has given it to nobody.
const DefaultEndpoint = "127.0.0.1:51820"

// endpoint is an Endpoint in its parts.
type endpoint struct {
	host string
	addr netip.Addr // of host, or the zero value if that is a name
	port uint16
}

func parseEndpoint(text string) (endpoint, error) {
	host, service, err := net.SplitHostPort(text)
	port, bad := strconv.ParseUint(service, 10, 16)
	if err != nil || bad != nil || port == 0 || host == "" {
		return endpoint{}, fmt.Errorf("endpoint %q: want host:port, such as vpn.example.com:51820 or [2001:db8::1]:51820", text)
	}
	e := endpoint{host: host, port: uint16(port)}
	if a, err := netip.ParseAddr(host); err == nil {
		e.addr = a.Unmap()
		if a.IsUnspecified() || a.IsMulticast() {
			return endpoint{}, fmt.Errorf("endpoint %q: want the address of a host", text)
		}
	}
	return e, nil
}

// isLoopback reports whether the endpoint is on this machine.
func (e endpoint) isLoopback() bool {
	return e.addr.IsLoopback() || strings.EqualFold(e.host, "localhost")
}

// checkOutside returns an error if packets of WireGuard's would go through the
// tunnel that they are to make.
func (e endpoint) checkOutside(subnets []netip.Prefix) error {
	for _, s := range subnets {
		if s.Contains(e.addr) {
			return fmt.Errorf("endpoint %s is in the tunnel's own subnet %v: want the address that the host has without the tunnel", e.host, s)
		}
	}
	return nil
}
