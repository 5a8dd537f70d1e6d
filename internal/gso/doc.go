// Package gso segments the TCP and UDP super-packets of a stack with segmentation
// offload into the packets that a network can carry, and joins packets to super-packets.
// It reads and writes the virtio header in which Linux describes them, and makes no
// system calls.
//
// The two directions are inverse: what a [Joiner] puts together, a [Splitter]
// takes apart into the same bytes. The one exception is the identification of
// IPv4 packets that must not be fragmented, which means nothing (RFC 6864 §4.1)
// and is counted up from the first packet's.
package gso

const (
	minIPv4Header = 20 // RFC 791 §3.1
	ipv6HeaderLen = 40 // RFC 8200 §3
	udpHeaderLen  = 8  // RFC 768
	minTCPHeader  = 20 // RFC 9293 §3.1
	maxTCPHeader  = 60 // RFC 9293 §3.1

	tcpChecksumAt = 16 // RFC 9293 §3.1
	udpChecksumAt = 6  // RFC 768

	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80
)
