// Package craft builds packets for tests, and checks their checksums. It knows
// neither Wrapper nor filter, so that tests of every package above packet can
// use it. Only tests import it.
package craft

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// The addresses of the host and of its peer in most tests.
var (
	Host4 = netip.MustParseAddr("100.64.0.1")
	Host6 = netip.MustParseAddr("fd7a::1")
	Peer4 = netip.MustParseAddr("100.64.0.2")
	Peer6 = netip.MustParseAddr("fd7a::2")
)

// UDP returns a UDP packet.
func UDP(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, payload string) []byte {
	return packet.Generate(packet.UDPHeader{Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport)}, []byte(payload))
}

// TCP returns a TCP segment.
func TCP(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, flags packet.TCPFlag, payload string) []byte {
	return packet.Generate(packet.TCPHeader{
		Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport), Flags: flags, Seq: 1000, Window: 500,
	}, []byte(payload))
}

// Echo returns an echo request or reply of the version of IP that src has.
func Echo(src, dst netip.Addr, id uint16, reply bool) []byte {
	typ4, typ6 := uint8(8), uint8(128)
	if reply {
		typ4, typ6 = 0, 129
	}
	return ICMP(src, dst, typ4, typ6, 0, [4]byte{byte(id >> 8), byte(id)}, []byte("ping"))
}

// ICMP returns a message of the version of ICMP that src has, whose types are typ4
// and typ6.
func ICMP(src, dst netip.Addr, typ4, typ6, code uint8, rest [4]byte, payload []byte) []byte {
	h := packet.ICMPHeader{Src: src, Dst: dst, Type: typ4, Code: code, Rest: rest}
	if src.Is6() {
		h.Type = typ6
	}
	return packet.Generate(h, payload)
}

// SCTP returns a bare SCTP common header (RFC 9260 §3.1).
func SCTP(src, dst netip.AddrPort) []byte {
	h := make([]byte, 12)
	binary.BigEndian.PutUint16(h, src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	return packet.Generate(packet.IPHeader{Src: src.Addr(), Dst: dst.Addr(), Proto: ipproto.SCTP}, h)
}

// TSMPPing returns a ping of TSMP.
func TSMPPing(src, dst netip.Addr) []byte {
	return packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: src, Dst: dst}, Data: [8]byte{1}}, nil)
}

// Datagram returns a UDP packet with n zeros of payload.
func Datagram(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, n int) []byte {
	return UDP(src, sport, dst, dport, string(make([]byte, n)))
}

// Total returns how many bytes the packets have.
func Total(pkts [][]byte) (n uint64) {
	for _, p := range pkts {
		n += uint64(len(p))
	}
	return n
}

// RandomAddr returns an address that is random in all bits but the few that keep
// it off the martians.
func RandomAddr(v6 bool) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] = 0x20 + b[0]&0x1f // 32/3, 2000::/3
	if !v6 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}
