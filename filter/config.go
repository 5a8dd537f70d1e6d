package filter

import (
	"math"
	"net/netip"
	"strconv"

	"tstun/ipproto"
	"tstun/logger"
)

// Config configures a Filter. The zero value drops every inbound packet, since no
// address is local.
//
// No prefix may have host bits: New refuses 10.1.2.3/8, since it may be meant as
// 10.0.0.0/8 or as 10.1.2.3/32.
type Config struct {
	// Matches are the rules. Inbound flows that none of them allows are refused.
	// Their order does not change any verdict.
	Matches []Match
	// Local are the host's addresses. Inbound packets to others are
	// dropped.
	Local []netip.Prefix
	// LogIPs limits the log to packets with both addresses in these prefixes.
	// nil: all packets. Empty but not nil: none.
	LogIPs []netip.Prefix
	// Logf gets the log lines: one for each packet that is dropped, and for each flow
	// that begins. A Wrapper that keeps flow records has one for each flow that is
	// refused, instead. nil: there is no log.
	Logf logger.Logf
	// State is that of a previous filter, whose open flows stay open. nil:
	// the filter starts with no flows.
	State *State
	// Keep, with State: flows that peers opened, or may have opened, stay open
	// even if the rules do not allow them, except those that a filter without
	// Keep, in between, did not allow. Without Keep the new rules cut them.
	Keep bool
	// LooseTCP accepts every inbound TCP segment to Local that is not a SYN,
	// also without a flow, so that a restarted program can pick up connections
	// in mid-stream. Such a segment opens no flow. LooseTCP does not apply to
	// jailed peers, to revoked flows, or with ShieldsUp.
	LooseTCP bool
	// ShieldsUp refuses all new inbound flows, whatever Matches says.
	ShieldsUp bool
	// Permit lets packets in and out that are dropped otherwise.
	Permit Permit
	// Limits bound the State's size and the idle time of flows.
	Limits Limits
}

// logIPs returns LogIPs, or every address if they are not set.
func (c *Config) logIPs() []netip.Prefix {
	if c.LogIPs == nil {
		return everywhere()
	}
	return c.LogIPs
}

// Permit says of kinds of addresses whether packets from and to them may pass. The
// zero value permits none. A permitted inbound packet still needs a rule or a flow.
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
	// Dsts are the host's addresses and ports. For ICMP the ports do not count.
	// Other protocols without ports need AllPorts. Where a protocol has ports,
	// New refuses the zero PortRange: port 0 alone is no service's (RFC 6335
	// §6), but the value of a field that was not set.
	Dsts []NetPortRange
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// maxPort is the highest port number: RFC 768, RFC 9293 §3.1.
const maxPort = math.MaxUint16

// AllPorts is every port, 0 included. It must not be changed.
var AllPorts = PortRange{First: 0, Last: maxPort}

func (r PortRange) isAll() bool { return r.First == 0 && r.Last == maxPort }

func (r PortRange) contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String returns "80", "8000-8999", or "*" for all ports.
func (r PortRange) String() string {
	switch {
	case r.isAll():
		return "*"
	case r.First == r.Last:
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// NetPortRange is a range of ports of the addresses in a prefix.
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
