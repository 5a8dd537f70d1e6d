// Package policy reads the file in which people write what a filter is to
// allow, runs the tests in it, and says what a change of it changes.
//
// The file is HuJSON: JSON with comments and trailing commas.
//
//	{
//		// Names for addresses. A name begins with a letter.
//		"hosts": {
//			"web":    "100.64.0.10",
//			"laptop": ["100.64.0.20", "fd7a::20"],
//			"office": "192.0.2.0/24",
//			"pool":   "100.64.1.1-100.64.1.99",
//		},
//
//		// Names for several: hosts, addresses, and other groups.
//		"groups": {
//			"admins": ["laptop", "100.64.0.21"],
//		},
//
//		// The host's addresses. Packets to any other are dropped.
//		"local": ["web"],
//
//		// The rules. What none of them allows is refused.
//		"accept": [
//			{"src": "*", "proto": "tcp", "dst": "web:80,443"},
//			{"proto": "tcp", "src": ["admins", "office"], "dst": ["web:22", "web:8000-8999"]},
//			{"src": "admins", "proto": ["icmp", "gre"], "dst": "web"},
//		],
//
//		// What must hold of the rules.
//		"tests": [
//			{"src": "laptop", "accept": "web:22,443"},
//			{"src": "203.0.113.1", "accept": ["web:80"], "deny": ["web:22"]},
//			{"src": "office", "proto": "icmp", "deny": "web"},
//		],
//	}
//
// Wherever there can be several strings, one stands for a list of one. No list
// is empty. Only "local" must be there.
//
// # Addresses
//
// An address is 100.64.0.1 or fd7a::1. A prefix is 10.0.0.0/8 without bits
// behind its length. A range is 10.0.0.1-10.0.0.9, both ends included. "*" is
// every address of both IP versions. Hosts and groups share one set of names,
// which are made of letters, digits, "-", "_", "." and "@".
//
// # Destinations and protocols
//
// A destination of a rule or a test is HOST:PORTS. HOST is a name, an address
// or any other form of the above; if it has colons, it is in brackets, as in
// [fd7a::1]:80. PORTS is "*", or ports and ranges of ports: 80,443,8000-8999.
//
// "proto" is tcp, udp, sctp, icmp (which is icmpv4 and icmpv6), gre, igmp, or a
// number from 1 to 254. A rule without it allows tcp, udp and icmp. In tests it
// is tcp unless given. Where no protocol has ports, destinations need none.
// ICMP is allowed to a destination whatever its ports are.
//
// # Tests
//
// A test names sources and what must be accepted from them or denied to them.
// It holds if it does for every address and port that it covers, as judged by
// the filter itself. Sources and destinations of one IP version are paired.
//
// # Packet filters of Tailscale and headscale
//
// A file whose value is a list is a packet filter in the form that these hand
// to nodes: rules with SrcIPs ("*", addresses, prefixes, ranges), DstPorts and
// IPProto. Such a file does not say which addresses are local, so all are. Its
// rules for capabilities (CapGrant without DstPorts) let no packet through and
// are passed over.
//
// # Errors
//
// Parse reports all errors of a file at once, each with its place. A key that
// is unknown or stands there twice is an error, and so is a rule that could
// allow nothing.
package policy
