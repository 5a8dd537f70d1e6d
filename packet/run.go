package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// Run matches packets of the same flow as one that was decoded: whole, without options or
// extension headers, with the same protocol, addresses and ports; of TCP only segments with
// no other control bits than ACK and PSH. It compares neither traffic class nor TTL nor
// payload. The zero Run matches none. A Run
// does not keep the packet.
type Run struct {
	addrs     [4]uint64 // as they are in memory; the last two for IPv6 only
	ports     uint32    // likewise
	proto     ipproto.Proto
	transport uint8 // offset of the transport header; 0: the zero Run
}

// Run returns the Run that matches p. ok is false if none does.
func (p *Parsed) Run() (r Run, ok bool) {
	switch p.IPProto {
	case ipproto.UDP:
	case ipproto.TCP:
		if p.TCPFlags&^TCPPsh != TCPAck {
			return Run{}, false
		}
	default:
		return Run{}, false
	}
	le := binary.LittleEndian
	switch {
	case p.kind != 0:
		return Run{}, false
	case p.IPVersion == 4 && p.transOff == ip4Len:
		r.addrs[0] = le.Uint64(p.b[12:])
	case p.IPVersion == 6 && p.transOff == ip6Len:
		r.addrs = [4]uint64{le.Uint64(p.b[8:]), le.Uint64(p.b[16:]), le.Uint64(p.b[24:]), le.Uint64(p.b[32:])}
	default:
		return Run{}, false
	}
	r.ports = le.Uint32(p.b[p.transOff:])
	r.proto, r.transport = p.IPProto, uint8(p.transOff)
	return r, true
}

// Match returns the length of the packet at the front of b, or 0 if r does not match it.
// It is much quicker than Decode.
func (r *Run) Match(b []byte) int {
	total := 0
	switch r.transport {
	case ip4Len:
		total = r.match4(b)
	case ip6Len:
		total = r.match6(b)
	}
	if total == 0 {
		return 0
	}
	t := b[r.transport:total:total]
	if len(t) < udpLen || binary.LittleEndian.Uint32(t) != r.ports {
		return 0
	}
	if r.proto == ipproto.UDP {
		if n := int(binary.BigEndian.Uint16(t[4:])); n < udpLen || n > len(t) {
			return 0
		}
		return total
	}
	if len(t) < tcpLen || TCPFlag(t[13])&^TCPPsh != TCPAck {
		return 0
	}
	if size := int(t[12]>>4) * 4; size < tcpLen || size > len(t) {
		return 0
	}
	return total
}

// match4 returns the packet's length, or 0 if its IPv4 header does not match.
func (r *Run) match4(b []byte) int {
	const unfragmented = 0xff3f // big-endian 0x3fff: offset and "more fragments", RFC 791 §3.1
	le := binary.LittleEndian
	if len(b) < ip4Len || b[0] != 0x45 || b[9] != byte(r.proto) ||
		le.Uint16(b[6:])&unfragmented != 0 || le.Uint64(b[12:]) != r.addrs[0] {
		return 0
	}
	if total := int(binary.BigEndian.Uint16(b[2:])); total >= ip4Len && total <= len(b) {
		return total
	}
	return 0
}

// match6 returns the packet's length, or 0 if its IPv6 header does not match.
func (r *Run) match6(b []byte) int {
	le := binary.LittleEndian
	if len(b) < ip6Len || b[0]>>4 != 6 || b[6] != byte(r.proto) {
		return 0
	}
	if (le.Uint64(b[8:])^r.addrs[0])|(le.Uint64(b[16:])^r.addrs[1])|
		(le.Uint64(b[24:])^r.addrs[2])|(le.Uint64(b[32:])^r.addrs[3]) != 0 {
		return 0
	}
	if total := ip6Len + int(binary.BigEndian.Uint16(b[4:])); total <= len(b) {
		return total
	}
	return 0
}
