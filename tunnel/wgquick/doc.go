// Package wgquick reads and writes the files that wg-quick(8) starts tunnels
// from: its own keys of [Interface], and those that it hands to wg(8).
//
// A file means what wg-quick and wg of wireguard-tools 1.0.20210914 make of it:
// sections and keys in upper or lower case, spaces anywhere in a line of wg's,
// comments from # on, hexadecimal FwMark, names of services for ports, a
// second [Interface], CRLF. Parse reports all that is wrong at once, with line
// and column. No error and no warning shows a key.
//
// # What is refused on purpose
//
// wg or wg-quick takes these, and mostly not as they were meant:
//
//   - a key twice in a section: the last one counts. Address, DNS, AllowedIPs
//     and hooks may come often;
//   - a PublicKey in two sections: the later AllowedIPs replace the earlier;
//   - the same prefix in AllowedIPs of two peers: the later peer has it;
//   - the tunnel's own PublicKey as a peer: the peer is passed over silently;
//   - a key of 32 zeros, which stands for none. It may be a PresharedKey;
//   - a file without [Interface], and spaces inside the brackets of a section;
//   - a port with a + or above 65535, of which the lower 16 bits count, and
//     port 0 of an Endpoint;
//   - the host of an Endpoint that is neither an address nor the name of a
//     host, such as 10.1;
//   - an Address that ip(8) makes up or cannot add: 10.1, 10.0.0.1/255.255.255.0,
//     0.0.0.0, a multicast address, an IPv4 address in IPv6 form, one twice;
//   - in DNS, what is neither an address nor a domain, which may stand behind ~;
//   - an MTU that is not a decimal number from 68 to 65535;
//   - a Table that is not off, auto, main, default, local or a number above 0;
//   - a key of wg-quick's without a =, which it takes for its own value;
//   - a NUL byte, which wg-quick leaves out;
//   - hooks, unless Options allows them or passes over them.
package wgquick
