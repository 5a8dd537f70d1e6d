package wgquick

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// parsePort reads a port in decimal digits, or the name of a UDP service in
// lower case.
func parsePort(text string) (port uint16, ok bool) {
	if isDigits(text) {
		n, err := strconv.ParseUint(text, 10, 16)
		return uint16(n), err == nil
	}
	if text != lower(text) || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		return 0, false
	}
	n, err := net.LookupPort("udp", text)
	return uint16(n), err == nil
}

func isDigits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || '9' < r })
}

// parseEndpoint reads host:port without spaces, and returns it with brackets
// around an IPv6 address, and the port as a number; or what is wrong with it.
func parseEndpoint(text string) (endpoint, wrong string) {
	host, service, ok := splitEndpoint(text)
	if !ok {
		return "", "want host:port, such as vpn.example.com:51820 or [2001:db8::1]:51820"
	}
	port, ok := parsePort(service)
	if !ok || port == 0 {
		return "", "want a port from 1 to 65535, or the name of a UDP service"
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && isZone(addr.Zone()):
		host = addr.String()
	case !isDomain(host):
		return "", "want an IP address or the name of a host in front of the port"
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), ""
}

// splitEndpoint cuts as wg does: behind a bracket that closes, if one opens, or
// else at the last colon.
func splitEndpoint(text string) (host, service string, ok bool) {
	if inside, opens := strings.CutPrefix(text, "["); opens {
		host, service, ok = strings.Cut(inside, "]")
		service, colon := strings.CutPrefix(service, ":")
		return host, service, ok && colon
	}
	last := strings.LastIndexByte(text, ':')
	if last < 0 {
		return "", "", false
	}
	return text[:last], text[last+1:], true
}

// isZone reports whether an IPv6 zone is the name of an interface, or empty.
func isZone(zone string) bool { return zone == "" || checkName(zone) == nil }

// isDomain reports whether a name is one of a host or domain, in at most 253
// bytes and labels of at most 63 (RFC 1035 §2.3.4). It may have underscores and
// a final dot. It is none if getaddrinfo(3) would read an IPv4 address in it.
func isDomain(name string) bool {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	last := lower(labels[len(labels)-1])
	return len(name) <= 253 && !isDigits(last) && !strings.HasPrefix(last, "0x")
}

// isSearchDomain reports whether a name is a domain, or one behind ~, which
// systemd-resolved takes for a domain whose names this tunnel's servers know; ~.
// stands for all.
func isSearchDomain(name string) bool {
	routed, ok := strings.CutPrefix(name, "~")
	return isDomain(routed) || ok && routed == "."
}

func isLabel(label string) bool {
	return label != "" && len(label) <= 63 && label[0] != '-' && !strings.ContainsFunc(label, func(r rune) bool {
		return !isBase64(r) && r != '-' && r != '_' || r == '+' || r == '/'
	})
}
