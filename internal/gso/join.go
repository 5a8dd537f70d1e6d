package gso

import (
	"bytes"
	"encoding/binary"

	"tstun/ipproto"
	"tstun/packet"
)

const (
	// MaxHeader is the longest header of a joined packet: IPv6 and a TCP
	// header full of options.
	MaxHeader = ipv6HeaderLen + maxTCPHeader

	// maxUDPSegments is what older kernels take apart in one piece:
	// UDP_MAX_SEGMENTS of linux/udp.h.
	maxUDPSegments = 64

	// flowSlots is how many flows are joined side by side. Two that share a
	// slot drive each other out, which costs joining and nothing else.
	flowSlots = 256
)

// Kinds says which packets a Joiner may join. The zero value is none.
type Kinds struct {
	TCP, UDP bool
}

// Joiner puts the packets of one batch into groups, each of which can be
// written as one super-packet. It changes and copies no packet. Packets are
// joined only if cutting the result gives the same packets again: same flow,
// same headers, consecutive, all of one size but a shorter last one, with right
// checksums. Two packets of one flow never change places.
//
// The zero value is ready for use. It is not safe for concurrent use.
type Joiner struct {
	groups []group
	next   []int32 // next member of the same group, -1 for none; by packet
	slots  [flowSlots]slot
	epoch  uint32 // of the current plan: older slots are empty
}

// slot holds the group that the next packet of a flow may join.
type slot struct {
	epoch uint32
	group int32
}

// group is a number of packets that are written together, in their order.
type group struct {
	first, last int32 // packets
	n           int32
	segment
	total    int  // bytes of the super-packet so far
	verified bool // the first packet's checksums
	push     bool // the last packet has PSH
	closed   bool // takes no more
}

// segment is what Plan reads from one TCP or UDP packet.
type segment struct {
	proto     ipproto.Proto
	transport int32  // offset of the transport header
	header    int32  // length of all headers
	size      int    // payload bytes
	seq       uint32 // of what comes next; TCP
}

// class is what Plan makes of a packet at first sight.
type class uint8

const (
	alone    class = iota // joins nothing and has no order with others
	inOrder               // joins nothing, but what is behind it must not overtake it
	joinable              // may join others of its flow
	barrier               // may belong to any flow
)

// Plan groups the packets that are in pkts from offset on. Empty ones are in
// no group. Any other is in exactly one, and groups are in the order of their
// first packets.
func (j *Joiner) Plan(pkts [][]byte, offset int, kinds Kinds) {
	j.groups, j.next = j.groups[:0], j.next[:0]
	j.forget()
	for i, b := range pkts {
		j.next = append(j.next, -1)
		if len(b) <= offset {
			continue
		}
		j.add(pkts, offset, int32(i), kinds)
	}
}

// forget empties all slots.
func (j *Joiner) forget() {
	if j.epoch++; j.epoch == 0 {
		j.slots, j.epoch = [flowSlots]slot{}, 1
	}
}

func (j *Joiner) add(pkts [][]byte, offset int, i int32, kinds Kinds) {
	p := pkts[i][offset:]
	seg, class := classify(p, kinds)
	g := group{first: i, last: i, n: 1, segment: seg, total: len(p), closed: class != joinable}
	switch class {
	case alone:
		j.groups = append(j.groups, g)
		return
	case barrier:
		j.forget()
		j.groups = append(j.groups, g)
		return
	}
	s := &j.slots[flowHash(p, seg)]
	if class == joinable && s.epoch == j.epoch {
		into := &j.groups[s.group]
		if into.takes(pkts[into.first][offset:], p, seg) {
			j.next[into.last] = i
			into.take(p, i, seg)
			return
		}
	}
	*s = slot{j.epoch, int32(len(j.groups))}
	g.push = seg.proto == ipproto.TCP && class == joinable && p[seg.transport+13]&tcpPSH != 0
	g.closed = g.closed || g.push
	j.groups = append(j.groups, g)
}

// takes reports whether p may join g, whose first packet is first.
func (g *group) takes(first, p []byte, seg segment) bool {
	if g.closed || seg.header != g.header || seg.proto != g.proto ||
		seg.size > g.size || g.total+seg.size > maxPacket ||
		seg.proto == ipproto.UDP && g.n == maxUDPSegments {
		return false
	}
	if !sameHeaders(first, p, g) || !follows(first, p, g, seg) {
		return false
	}
	if !g.verified {
		if g.verified = checksumsHold(first, g.segment); !g.verified {
			g.closed = true
			return false
		}
	}
	return checksumsHold(p, seg)
}

// take adds p, the packet with index i.
func (g *group) take(p []byte, i int32, seg segment) {
	g.last, g.n, g.total, g.seq = i, g.n+1, g.total+seg.size, seg.seq
	if seg.proto == ipproto.TCP {
		g.push = p[seg.transport+13]&tcpPSH != 0
	}
	g.closed = g.push || seg.size < g.size
}

// sameHeaders compares everything that a joined packet says once: addresses,
// ports, traffic class, hop limit, flow label, and for TCP acknowledgement,
// window, flags and options.
func sameHeaders(a, b []byte, g *group) bool {
	if g.transport == minIPv4Header {
		if binary.NativeEndian.Uint16(a) != binary.NativeEndian.Uint16(b) ||
			binary.NativeEndian.Uint32(a[6:]) != binary.NativeEndian.Uint32(b[6:]) ||
			binary.NativeEndian.Uint64(a[12:]) != binary.NativeEndian.Uint64(b[12:]) {
			return false
		}
	} else if binary.NativeEndian.Uint32(a) != binary.NativeEndian.Uint32(b) ||
		!bytes.Equal(a[6:ipv6HeaderLen], b[6:ipv6HeaderLen]) {
		return false
	}
	a, b = a[g.transport:g.header], b[g.transport:g.header]
	if binary.NativeEndian.Uint32(a) != binary.NativeEndian.Uint32(b) {
		return false
	}
	if g.proto == ipproto.UDP {
		return true
	}
	return binary.NativeEndian.Uint32(a[8:]) == binary.NativeEndian.Uint32(b[8:]) &&
		a[12] == b[12] && (a[13]^b[13])&^tcpPSH == 0 &&
		binary.NativeEndian.Uint16(a[14:]) == binary.NativeEndian.Uint16(b[14:]) &&
		bytes.Equal(a[18:], b[18:])
}

// follows reports whether p is what comes after the group's last packet: by
// its sequence number, and by its IPv4 identification where that counts.
func follows(first, p []byte, g *group, seg segment) bool {
	if seg.proto == ipproto.TCP && binary.BigEndian.Uint32(p[seg.transport+4:]) != g.seq {
		return false
	}
	const dontFragment = 0x40
	if g.transport != minIPv4Header || first[6]&dontFragment != 0 {
		return true
	}
	return binary.BigEndian.Uint16(p[4:]) == binary.BigEndian.Uint16(first[4:])+uint16(g.n)
}

// checksumsHold verifies the checksums of a packet. The kernel will not do so
// for a joined one. A 0 written as 0xffff holds too, but would not come back
// as it was, but with UDP, where it has to be written so.
func checksumsHold(p []byte, seg segment) bool {
	addresses := p[8:seg.transport]
	if seg.transport == minIPv4Header {
		addresses = p[12:minIPv4Header]
		if packet.Checksum(p[:minIPv4Header], 0) != 0xffff || binary.NativeEndian.Uint16(p[10:]) == 0xffff {
			return false
		}
	}
	transport := p[seg.transport:]
	if seg.proto == ipproto.TCP && binary.NativeEndian.Uint16(transport[tcpChecksumAt:]) == 0xffff {
		return false
	}
	pseudo := fold(uint64(packet.Checksum(addresses, uint16(seg.proto))) + uint64(len(transport)))
	return packet.Checksum(transport, pseudo) == 0xffff
}

// classify looks at one packet, which is not empty.
func classify(p []byte, kinds Kinds) (segment, class) {
	var seg segment
	switch p[0] >> 4 {
	case 4:
		if len(p) < minIPv4Header || p[0] != 0x45 || int(binary.BigEndian.Uint16(p[2:])) != len(p) ||
			p[6]&^0x40 != 0 || p[7] != 0 { // a fragment, or the reserved bit
			return seg, barrier
		}
		seg.proto, seg.transport = ipproto.Proto(p[9]), minIPv4Header
	case 6:
		if len(p) < ipv6HeaderLen || int(binary.BigEndian.Uint16(p[4:]))+ipv6HeaderLen != len(p) {
			return seg, barrier
		}
		seg.proto, seg.transport = ipproto.Proto(p[6]), ipv6HeaderLen
	default:
		return seg, barrier
	}
	transport := p[seg.transport:]
	switch {
	case seg.proto == ipproto.TCP:
		return seg.classifyTCP(transport, kinds)
	case seg.proto == ipproto.UDP:
		return seg.classifyUDP(transport, kinds)
	case seg.transport == minIPv4Header || seg.proto == ipproto.ICMPv6:
		return seg, alone
	}
	return seg, barrier // an extension header, and what is behind it
}

func (seg segment) classifyTCP(b []byte, kinds Kinds) (segment, class) {
	if !kinds.TCP {
		return seg, alone
	}
	if len(b) < minTCPHeader {
		return seg, barrier
	}
	length := int(b[12]>>4) * 4
	seg.header = seg.transport + int32(length)
	seg.size = len(b) - length
	if length < minTCPHeader || seg.size <= 0 || b[13]&^tcpPSH != tcpACK || b[12]&0x0f != 0 {
		return seg, inOrder
	}
	seg.seq = binary.BigEndian.Uint32(b[4:]) + uint32(seg.size)
	return seg, joinable
}

func (seg segment) classifyUDP(b []byte, kinds Kinds) (segment, class) {
	if !kinds.UDP {
		return seg, alone
	}
	if len(b) < udpHeaderLen {
		return seg, barrier
	}
	seg.header = seg.transport + udpHeaderLen
	seg.size = len(b) - udpHeaderLen
	if seg.size == 0 || int(binary.BigEndian.Uint16(b[4:])) != len(b) || binary.BigEndian.Uint16(b[udpChecksumAt:]) == 0 {
		return seg, inOrder
	}
	return seg, joinable
}

// flowHash maps addresses, protocol and ports to a slot. Packets of one flow have the
// same.
func flowHash(p []byte, seg segment) int {
	h := (uint64(binary.NativeEndian.Uint32(p[seg.transport:])) + uint64(seg.proto)<<32) * 0x9e3779b97f4a7c15
	if seg.transport == minIPv4Header {
		h ^= binary.NativeEndian.Uint64(p[12:])
	} else {
		h ^= binary.NativeEndian.Uint64(p[8:]) ^ binary.NativeEndian.Uint64(p[16:])*3 ^
			binary.NativeEndian.Uint64(p[24:])*5 ^ binary.NativeEndian.Uint64(p[32:])*7
	}
	return int(h * 0xff51afd7ed558ccd >> 56)
}
