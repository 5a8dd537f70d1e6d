// Package packet reads and writes IP packets as a TUN device carries them:
// without a link-layer header, IPv4 or IPv6 by the first four bits.
//
// [Parsed.Decode] decodes a packet. It does not allocate, panics on no input, and says
// which [Problem] a packet has that it does not accept:
//
//	bytes → version, lengths → extension headers, fragments → transport header
//	        Malformed          Options, ExtensionHeaders,     Truncated,
//	                           Malformed                      TinyFragment
//
// A Parsed keeps offsets into the caller's buffer, so it is valid as long as
// that buffer is unchanged. [Parsed.SetSrcAddr] and [Parsed.SetDstAddr]
// rewrite addresses in place, and every checksum that was right stays right.
//
// [Generate] makes a packet of a [Header]. [Parsed.EchoReply], [Parsed.TCPReset] and
// [Parsed.AdminProhibited] make the replies to a packet.
//
// # TSMP
//
// TSMP is a control protocol between two ends of a tunnel, IP protocol 99,
// in IPv4 or IPv6. Its first byte is its type:
//
//	'p' data[8]                                        ping
//	'o' data[8] port[2]                                pong; older ends send no port
//	'!' proto reason srcport[2] dstport[2] flags       a flow was refused; flags may be absent
package packet
