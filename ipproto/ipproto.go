// Package ipproto holds the IP protocol numbers that tstun tells apart.
package ipproto

import (
	"fmt"
	"strconv"
	"strings"
)

// Proto is an IP protocol number: the Protocol field of an IPv4 header or
// the last Next Header value of an IPv6 header chain.
type Proto uint8

// Numbers from the IANA registry "Assigned Internet Protocol Numbers", but
// for the three that say otherwise.
const (
	// Unknown is the zero Proto: a packet that could not be parsed. On the
	// wire, number 0 is the IPv6 hop-by-hop header, never a transport.
	Unknown Proto = 0
	ICMPv4  Proto = 1
	IGMP    Proto = 2
	TCP     Proto = 6
	UDP     Proto = 17
	GRE     Proto = 47
	ICMPv6  Proto = 58
	// TSMP carries tstun's own control messages. IANA keeps 99 for "any
	// private encryption scheme".
	TSMP Proto = 99
	SCTP Proto = 132
	// Fragment marks a fragment other than the first, which has no
	// transport header. IANA reserves 255, so it cannot come from a wire.
	Fragment Proto = 255
)

var names = map[Proto]string{
	Unknown:  "unknown",
	ICMPv4:   "icmpv4",
	IGMP:     "igmp",
	TCP:      "tcp",
	UDP:      "udp",
	GRE:      "gre",
	ICMPv6:   "icmpv6",
	TSMP:     "tsmp",
	SCTP:     "sctp",
	Fragment: "fragment",
}

// String returns the protocol's lower-case name, or "proto-N" where tstun
// has no name for N.
func (p Proto) String() string {
	if n, ok := names[p]; ok {
		return n
	}
	return "proto-" + strconv.Itoa(int(p))
}

// HasPorts reports whether the protocol's header begins with a source and a
// destination port.
func (p Proto) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// IsICMP reports whether p is ICMPv4 or ICMPv6.
func (p Proto) IsICMP() bool { return p == ICMPv4 || p == ICMPv6 }

// MarshalText returns String's form.
func (p Proto) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what MarshalText returns, in any case, and plain
// decimal numbers.
func (p *Proto) UnmarshalText(text []byte) error {
	s := strings.ToLower(string(text))
	for proto, name := range names {
		if s == name {
			*p = proto
			return nil
		}
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "proto-"), 10, 8)
	if err != nil {
		return fmt.Errorf("ipproto: %q is neither a protocol's name nor a number from 0 to 255", text)
	}
	*p = Proto(n)
	return nil
}
