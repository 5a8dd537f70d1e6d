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

	// maxUDPSegments is the greatest number of segments that older kernels make
	// of one packet: UDP_MAX_SEGMENTS of linux/udp.h.
	maxUDPSegments = 64

	// maxMembers is the greatest number of packets in a group. With the virtio
	// header and the group's own header, one writev takes no more buffers
	// (UIO_MAXIOV of linux/uio.h).
	maxMembers = 1024 - 2

	// flowSlots is the number of flows that are joined at once. Two flows in
	// one slot evict each other: then their packets are joined less, and that is
	// all.
	flowSlots = 256
)

// Kinds says which packets a Joiner may join. The zero value is none.
type Kinds struct {
	TCP, UDP bool
}

// Joiner puts the packets of one batch into groups, each of which can be written as one
// super-packet. It neither changes nor copies packets. It joins packets only if segmenting
// the result gives the same packets again: they are of one flow, with the same headers,
// consecutive, all of one size but a shorter last one, with right checksums. Only datagrams
// over IPv4 that have no checksum, as VXLAN's, come back with one. Packets of one flow stay
// in order.
//
// The zero value is ready for use. It is not safe for concurrent use.
type Joiner struct {
	groups []group
	next   []int32 // next member of the same group, -1 for none; by packet
	slots  [flowSlots]slot
	epoch  uint32 // of the current plan; slots with another one are empty
	recent int32  // group of the packet before, -1 for none
}

// slot holds the group that the next packet of a flow may join.
type slot struct {
	epoch uint32
	group int32
}

// group describes packets that are written together, in their order.
type group struct {
	first, last int32 // packets
	n           int32
	segment
	total    int32 // bytes of the super-packet so far
	sums     sums  // of the first packet, if verified
	verified bool  // the first packet's checksums hold
	push     bool  // the last packet has PSH
	closed   bool  // no packet may join
}

// sums holds the sums of the header fields that all packets of a group share.
type sums struct {
	ip     uint32 // IPv4 header but length, identification and checksum
	pseudo uint32 // addresses and protocol
}

// Plan groups the packets that are in pkts from offset on. Each is in one group, but for
// empty ones, which are in none. Groups are in the order of their first packets.
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
	j.recent = -1
	if j.epoch++; j.epoch == 0 {
		j.slots, j.epoch = [flowSlots]slot{}, 1
	}
}

func (j *Joiner) add(pkts [][]byte, offset int, i int32, kinds Kinds) {
	p := pkts[i][offset:]
	if j.recent >= 0 && j.join(j.recent, pkts, offset, i) {
		return // in a bulk transfer, nearly every packet
	}
	var seg segment
	class := seg.classify(p, kinds)
	switch class {
	case alone:
		j.open(i, &seg, int32(len(p)), true)
		return
	case barrier:
		j.forget()
		j.open(i, &seg, int32(len(p)), true)
		return
	}
	s := &j.slots[flowHash(p, &seg)]
	if s.epoch == j.epoch && s.group != j.recent && j.join(s.group, pkts, offset, i) {
		j.recent = s.group
		return
	}
	push := class == joinable && seg.proto == ipproto.TCP && p[seg.transport+13]&tcpPSH != 0
	j.recent = j.open(i, &seg, int32(len(p)), class != joinable || push)
	*s = slot{j.epoch, j.recent}
}

// open begins a group with packet i.
func (j *Joiner) open(i int32, seg *segment, total int32, closed bool) int32 {
	j.groups = append(j.groups, group{first: i, last: i, n: 1, segment: *seg, total: total, closed: closed})
	return int32(len(j.groups) - 1)
}

// join adds packet i to a group if it may join that, and reports whether it did.
func (j *Joiner) join(into int32, pkts [][]byte, offset int, i int32) bool {
	g := &j.groups[into]
	if g.closed {
		return false
	}
	p := pkts[i][offset:]
	if !g.takes(pkts[g.first][offset:], p) {
		return false
	}
	j.next[g.last] = i
	size := int32(len(p)) - g.header
	g.last, g.n, g.total, g.seq = i, g.n+1, g.total+size, g.seq+uint32(size)
	g.push = g.proto == ipproto.TCP && p[g.transport+13]&tcpPSH != 0
	g.closed = g.push || size < g.size
	return true
}

// takes reports whether any packet p may join g, whose first packet is first.
func (g *group) takes(first, p []byte) bool {
	size := int32(len(p)) - g.header
	if size <= 0 || size > g.size || g.total+size > packet.MaxLen || g.n == maxMembers ||
		g.proto == ipproto.UDP && g.n == maxUDPSegments {
		return false
	}
	if !g.sameHeaders(first, p) || !g.follows(first, p) {
		return false
	}
	if !g.verified {
		g.sums = sumsOf(first, &g.segment)
		if g.verified = g.sums.hold(first, &g.segment); !g.verified {
			g.closed = true
			return false
		}
	}
	return g.sums.hold(p, &g.segment)
}

// sameHeaders reports whether first and p have the same header fields, as a joined packet
// has them once: addresses, ports, traffic class, hop limit, flow label, and for TCP
// acknowledgement, window, flags and options. p is longer than the headers.
func (g *group) sameHeaders(first, p []byte) bool {
	if g.transport == minIPv4Header {
		if binary.NativeEndian.Uint16(first) != binary.NativeEndian.Uint16(p) ||
			binary.NativeEndian.Uint32(first[6:]) != binary.NativeEndian.Uint32(p[6:]) ||
			binary.NativeEndian.Uint64(first[12:]) != binary.NativeEndian.Uint64(p[12:]) {
			return false
		}
	} else if binary.NativeEndian.Uint32(first) != binary.NativeEndian.Uint32(p) ||
		!bytes.Equal(first[6:ipv6HeaderLen], p[6:ipv6HeaderLen]) {
		return false
	}
	a, b := first[g.transport:g.header], p[g.transport:g.header]
	if binary.NativeEndian.Uint32(a) != binary.NativeEndian.Uint32(b) {
		return false
	}
	if g.proto == ipproto.UDP {
		return hasChecksum(a) == hasChecksum(b)
	}
	return binary.NativeEndian.Uint32(a[8:]) == binary.NativeEndian.Uint32(b[8:]) &&
		a[12] == b[12] && (a[13]^b[13])&^tcpPSH == 0 &&
		binary.NativeEndian.Uint16(a[14:]) == binary.NativeEndian.Uint16(b[14:]) &&
		bytes.Equal(a[18:], b[18:])
}

// follows reports whether p, with the headers of first, is the next packet after the
// group's last one: by its sequence number, and by its IPv4 identification if it may be
// fragmented. Its length fields must be right.
func (g *group) follows(first, p []byte) bool {
	if g.proto == ipproto.TCP {
		if binary.BigEndian.Uint32(p[g.transport+4:]) != g.seq {
			return false
		}
	} else if int(binary.BigEndian.Uint16(p[g.transport+4:])) != len(p)-int(g.transport) {
		return false
	}
	if g.transport != minIPv4Header {
		return int(binary.BigEndian.Uint16(p[4:])) == len(p)-ipv6HeaderLen
	}
	if int(binary.BigEndian.Uint16(p[2:])) != len(p) {
		return false
	}
	const dontFragment = 0x40
	return first[6]&dontFragment != 0 ||
		binary.BigEndian.Uint16(p[4:]) == binary.BigEndian.Uint16(first[4:])+uint16(g.n)
}

// sumsOf returns the sums of the fields that p shares with packets of the same headers.
func sumsOf(p []byte, seg *segment) (s sums) {
	addresses := p[8:seg.transport]
	if seg.transport == minIPv4Header {
		addresses = p[12:minIPv4Header]
		s.ip = uint32(packet.Checksum(p[:2], 0)) + uint32(packet.Checksum(p[6:10], 0)) + uint32(packet.Checksum(addresses, 0))
	}
	s.pseudo = uint32(packet.Checksum(addresses, uint16(seg.proto)))
	return s
}

// hold reports whether the checksums of p are right. The kernel does not verify them in a
// joined packet. hold is false for a checksum of 0xffff in IPv4 and TCP: segmenting would
// write it as 0. UDP must write 0xffff. A datagram without a checksum has no wrong one.
func (s *sums) hold(p []byte, seg *segment) bool {
	if seg.transport == minIPv4Header {
		checksum := binary.BigEndian.Uint16(p[10:])
		sum := uint64(s.ip) + uint64(binary.BigEndian.Uint16(p[2:])) + uint64(binary.BigEndian.Uint16(p[4:])) + uint64(checksum)
		if packet.Fold(sum) != 0xffff || checksum == 0xffff {
			return false
		}
	}
	transport := p[seg.transport:]
	if seg.proto == ipproto.TCP && binary.NativeEndian.Uint16(transport[tcpChecksumAt:]) == 0xffff {
		return false
	}
	if seg.proto == ipproto.UDP && !hasChecksum(transport) {
		return true
	}
	return packet.Checksum(transport, packet.Fold(uint64(s.pseudo)+uint64(len(transport)))) == 0xffff
}
