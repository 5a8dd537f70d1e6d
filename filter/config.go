package filter

import (
	"net/netip"
	"strconv"

	"tstun/ipproto"
	"tstun/logger"
)

// Config is what New makes a Filter of. The zero value lets no inbound packet
// in, since nothing is local, and no flow but what the host opens.
//
// No prefix may have bits behind its length: 10.1.2.3/8 is refused, since it may
// be meant as 10.0.0.0/8 or as 10.1.2.3/32.
type Config struct {
	// Matches are the rules. What none of them allows is refused. Their
	// order means nothing to the verdict.
	Matches []Match
	// Local are the host's addresses. Inbound packets to others are
	// dropped.
	Local []netip.Prefix
	// LogIPs: only packets with both addresses in these are logged. nil: all
	// are. Empty but not nil: none.
	LogIPs []netip.Prefix
	// Logf gets the log lines. nil: none are made.
	Logf logger.Logf
	// State is that of a previous filter, whose open flows live on. nil:
	// the filter starts with none.
	State *State
	// Keep, with State: flows that peers opened, or may have opened, live on
	// even if the rules do not allow them, but for those that a filter without
	// Keep, in between, did not allow. Otherwise they are cut.
	Keep bool
	// LooseTCP accepts every inbound TCP segment to Local that is not a
	// SYN, flow or no flow, so that a restarted program can take over
	// connections in mid-stream. Such a segment opens no flow. Jailed
	// peers, and flows that were revoked, do not profit; with ShieldsUp
	// nobody does.
	LooseTCP bool
	// ShieldsUp refuses all new inbound flows, whatever Matches says.
	ShieldsUp bool
	// Permit lets in and out what is dropped otherwise.
	Permit Permit
	// Limits bound memory and idle time.
	Limits Limits
}

// logIPs returns LogIPs, or every address if they are not set.
func (c *Config) logIPs() []netip.Prefix {
	if c.LogIPs == nil {
		return everywhere()
	}
	return c.LogIPs
}

// Permit names kinds of addresses that a Filter drops unless told otherwise.
// A permitted inbound packet still needs a rule or a flow.
type Permit struct {
	// Multicast: multicast destinations. They need not be in Local.
	Multicast bool
	// LinkLocal: 169.254.0.0/16 and fe80::/10.
	LinkLocal bool
	// Mapped: ::ffff:0:0/96, IPv4 addresses in IPv6 packets, which are then
	// judged as these IPv4 addresses.
	Mapped bool
	// Martian: 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4 with the broadcast
	// address, ::, ::1, and multicast sources.
	Martian bool
}

// Match is one rule: it allows new inbound flows from any of Srcs to any of
// Dsts with any of the protocols.
type Match struct {
	// IPProto are the protocols. None: TCP, UDP, ICMPv4 and ICMPv6.
	IPProto []ipproto.Proto
	// Srcs are the peers' addresses.
	Srcs []netip.Prefix
	// Dsts are the host's addresses and ports. For ICMP the ports are not
	// looked at. Other protocols without ports need AllPorts. Where a protocol
	// has ports, the zero PortRange is refused: port 0 alone is no service's
	// (RFC 6335 §6), but what a forgotten field says.
	Dsts []NetPortRange
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// AllPorts is every port, 0 included. It must not be changed.
var AllPorts = PortRange{First: 0, Last: 65535}

func (r PortRange) contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String returns "80", "8000-8999", or "*" for all ports.
func (r PortRange) String() string {
	switch {
	case r.First == 0 && r.Last == 65535:
		return "*"
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// NetPortRange is ports of the addresses in a prefix.
type NetPortRange struct {
	Net   netip.Prefix
	Ports PortRange
}

// String returns a form such as "100.64.0.0/10:80-443" or "[fd7a::/48]:*".
func (n NetPortRange) String() string {
	if n.Net.Addr().Is6() {
		return "[" + n.Net.String() + "]:" + n.Ports.String()
	}
	return n.Net.String() + ":" + n.Ports.String()
}
