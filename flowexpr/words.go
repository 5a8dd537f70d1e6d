package flowexpr

import (
	"maps"
	"slices"
	"strings"

	"tstun/ipproto"
)

// Numbers from the IANA registry "Assigned Internet Protocol Numbers".
const (
	ipip ipproto.Proto = 4
	ip6  ipproto.Proto = 41
	esp  ipproto.Proto = 50
	ah   ipproto.Proto = 51
	ospf ipproto.Proto = 89
	pim  ipproto.Proto = 103
	vrrp ipproto.Proto = 112
)

// protocols are the names behind proto. What /etc/protocols and ipproto call them is
// among these.
var protocols = map[string]ipproto.Proto{
	"icmp": ipproto.ICMPv4, "icmpv4": ipproto.ICMPv4, "icmp6": ipproto.ICMPv6, "icmpv6": ipproto.ICMPv6, "ipv6-icmp": ipproto.ICMPv6,
	"igmp": ipproto.IGMP, "tcp": ipproto.TCP, "udp": ipproto.UDP, "sctp": ipproto.SCTP, "gre": ipproto.GRE, "tsmp": ipproto.TSMP,
	"ipencap": ipip, "ipv6": ip6, "esp": esp, "ah": ah, "ospf": ospf, "pim": pim, "vrrp": vrrp,
}

// isExtension reports whether an IPv6 packet has another protocol behind a header of this
// number, as packet.Parsed.Decode walks them.
func isExtension(p ipproto.Proto) bool {
	switch p {
	case 0, 43, 44, ah, 60:
		return true
	}
	return false
}

// isProtocol reports whether a word is a protocol that may stand alone or before src, dst
// and a kind.
func isProtocol(word string) bool {
	_, ok := abbreviations[word]
	return ok || word == "ip" || word == "ip6"
}

// plainWords are the words of the grammar that are neither a protocol nor a kind. mask may
// not begin a test.
var plainWords = []string{"src", "dst", "in", "inbound", "out", "outbound", "dropped", "accepted", "less", "greater", "len"}

// isWord reports whether a test may begin with the word.
func isWord(word string) bool {
	return isProtocol(word) || kinds[word] != kindNone || slices.Contains(plainWords, word)
}

// allWords returns the words that a test may begin with.
func allWords() []string {
	return slices.Concat(keys(abbreviations), keys(kinds), plainWords, []string{"ip", "ip6"})
}

// Why tcpdump's other words are refused.
const (
	noLink      = "a tunnel's packets have no link layer: want ip, ip6, host or net"
	noTunnelled = "packets inside of packets are not looked at: want udp port"
	noFirewall  = "it is of the log of another firewall: want dropped, accepted or reason"
	noBytes     = "the bytes of a packet cannot be looked at: want words such as tcp, port or less"
)

// refusal returns why a word of pcap-filter(7) that this package does not have is refused,
// or "" for any other word.
func refusal(word string) string {
	switch word {
	case "ether", "fddi", "tr", "wlan", "link", "ppp", "slip", "radio", "llc", "type", "subtype", "addr1", "addr2", "addr3", "addr4", "ra", "ta",
		"arp", "rarp", "aarp", "atalk", "decnet", "lat", "moprc", "mopdl", "sca", "stp", "ipx", "netbeui", "iso", "clnp", "esis", "isis",
		"vlan", "mpls", "pppoed", "pppoes", "ifindex":
		return noLink
	case "geneve", "vxlan":
		return noTunnelled
	case "on", "ifname", "rnr", "rulenum", "srnr", "subrulenum", "rset", "ruleset", "action":
		return noFirewall
	case "icmptype", "icmpcode", "icmp6type", "icmp6code", "tcpflags":
		return noBytes
	case "gateway":
		return "a tunnel's packets have no link layer, by which a gateway would be known: want peer or host"
	case "broadcast":
		return "want dst host with the address, such as dst host 255.255.255.255"
	case "multicast":
		return "want dst net 224.0.0.0/4 or dst net ff00::/8"
	case "protochain":
		return "want proto, which is what stands behind the extension headers"
	case "ah":
		return "in IPv6 it is an extension header, which proto looks behind: want ip proto 51 for IPv4 alone"
	case "carp", "igrp":
		return "want the protocol's number behind proto"
	}
	return ""
}

// unexpected returns the error that t stands where want says that something else should.
// Where tcpdump has a meaning for t, the error tells why there is none here.
func unexpected(t token, want string) error {
	if t.kind == tokenBad {
		return wrong(t, "%s", t.text)
	}
	if why := refusal(t.text); why != "" && t.kind == tokenWord {
		return wrong(t, "%s", why)
	}
	return wrong(t, "%s", want)
}

// unknownWord returns the error that t begins no test.
func (p *parser) unknownWord(t token) error {
	first, _, _ := strings.Cut(t.text, "-")
	switch {
	case refusal(t.text) != "" && t.kind == tokenWord:
		return unexpected(t, "")
	case isNumeric(first) && !strings.Contains(t.text, "."):
		return wrong(t, "want a word in front of the number, such as port")
	case strings.ContainsAny(t.text, ".:/"):
		return wrong(t, "want a word in front of it, such as host, net or src")
	}
	if k := p.kindOfName(t.text); k != "" {
		return wrong(t, "want %s in front of it", k)
	}
	return wrong(t, "no such word: want a test, such as %s", suggest(t.text, allWords(), "host, net, port or tcp"))
}

// kindOfName returns the word of what a name is a name of, or "".
func (p *parser) kindOfName(name string) string {
	if _, ok := p.options.Peers[name]; ok {
		return "peer"
	}
	if _, ok := services[name]; ok {
		return "port"
	}
	if _, ok := protocols[name]; ok {
		return "proto"
	}
	if slices.Contains(reasonNames(), name) {
		return "reason"
	}
	return ""
}

// keys returns the keys of m, sorted.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
