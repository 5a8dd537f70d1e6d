package confine

import (
	"net"
	"net/netip"
)

// hasName reports whether an Endpoint has a name for a host.
func hasName(endpoint string) bool {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err != nil
}
