// Package candidate sets up what is compared: the wrappers of tstun and of
// Tailscale with the same rules, statistics and hooks, and nebula's firewall.
package candidate

import (
	"net/netip"

	"tstun/ipproto"
)

// Setup is what a candidate has to do with each packet.
type Setup struct {
	Host  netip.Addr // whose TUN it is
	Peer  netip.Addr // who sends and gets the packets
	First uint16     // first and last of the host's ports that Peer may reach
	Last  uint16

	// Rules is the number of rules. One lets Peer reach the ports by TCP,
	// UDP and ICMP; it stands in the middle of others, each of which lets
	// another address reach another port.
	Rules      int
	Statistics bool // count packets and bytes per connection
	Hook       bool // a function of the program's own sees every packet
}

// rule is one rule in no candidate's language.
type rule struct {
	src         netip.Prefix
	first, last uint16
}

var protocols = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}

// rules returns those that s asks for.
func (s Setup) rules() []rule {
	rules := make([]rule, max(1, s.Rules))
	for i := range rules {
		other := netip.AddrFrom4([4]byte{10, 1 + byte(i>>16), byte(i >> 8), byte(i)})
		port := uint16(10000 + i%50000)
		rules[i] = rule{netip.PrefixFrom(other, 32), port, port}
	}
	rules[len(rules)/2] = rule{netip.PrefixFrom(s.Peer, s.Peer.BitLen()), s.First, s.Last}
	return rules
}
