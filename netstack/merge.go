package netstack

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// This file undoes for the stack what segmentation did: TCP segments that
// follow each other become one, so that the stack handles and acknowledges
// them at once. The TCP checksum of the result is computed from those of the
// segments without a look at the data, so a segment that was broken makes it
// wrong, and the stack finds out. The checksum of the result's IPv4 header is
// made anew and would hide a broken one, so that is verified first: the stack
// gets a packet with a wrong one as it came, and drops and counts it.

const (
	ipv4HeaderLen = 20 // RFC 791 §3.1, without options
	ipv6HeaderLen = 40 // RFC 8200 §3

	rightSum = 0xffff // of a header with its checksum in it (RFC 1071 §1)
)

// segment is a TCP segment that could be merged: data, and no flags but ACK
// and PSH, behind an IP header without options and with a right checksum.
type segment struct {
	src, dst netip.AddrPort
	ip, tcp  []byte // the headers
	payload  []byte
}

// segmentOf borrows p's buffer.
func segmentOf(p *packet.Parsed) (segment, bool) {
	if p.IPProto != ipproto.TCP || p.TCPFlags&^packet.TCPPsh != packet.TCPAck {
		return segment{}, false
	}
	if _, fragment := p.Fragment(); fragment {
		return segment{}, false
	}
	pkt, transport, payload := p.Buffer(), p.Transport(), p.Payload()
	s := segment{
		src: p.Src, dst: p.Dst,
		ip:      pkt[:len(pkt)-len(transport)],
		tcp:     transport[:len(transport)-len(payload)],
		payload: payload,
	}
	if len(payload) == 0 {
		return segment{}, false
	}
	if p.IPVersion == 6 {
		return s, len(s.ip) == ipv6HeaderLen
	}
	return s, len(s.ip) == ipv4HeaderLen && packet.Checksum(s.ip, 0) == rightSum
}

func (s segment) seq() uint32 { return binary.BigEndian.Uint32(s.tcp[4:]) }
func (s segment) push() bool  { return s.tcp[13]&byte(packet.TCPPsh) != 0 }

// payloadSum is the checksum of the payload, as the segment's own checksum
// has it.
func (s segment) payloadSum() uint16 {
	length := len(s.tcp) + len(s.payload)
	rest := packet.Checksum(s.tcp, packet.PseudoHeaderSum(ipproto.TCP, s.src.Addr(), s.dst.Addr(), length))
	// rest holds the checksum field too, which makes the sum over everything
	// 0xffff (RFC 1071 §1): the payload is what is missing.
	return ^rest
}

// tcpRun is a segment and those merged into it. The zero value takes none.
type tcpRun struct {
	first segment // its headers are those of the result, where they are mended
	open  bool    // more may follow
	count int     // segments
	bytes int     // of payload
	sum   uint16  // of the payloads, folded, not inverted
}

// start begins a run with s, which has been copied to pkt. A run of segments
// with an odd number of bytes would have its sums out of step.
func (r *tcpRun) start(s segment, pkt []byte) {
	s.tcp = pkt[len(s.ip) : len(s.ip)+len(s.tcp)]
	s.ip = pkt[:len(s.ip)]
	s.payload = pkt[len(s.ip)+len(s.tcp):]
	*r = tcpRun{
		first: s,
		open:  !s.push() && len(s.payload)%2 == 0,
		count: 1,
		bytes: len(s.payload),
		sum:   s.payloadSum(),
	}
}

// absorb notes that s continues the run, of which continuedBy says whether it
// does. The caller appends the payload.
func (r *tcpRun) absorb(s segment) {
	r.count++
	r.bytes += len(s.payload)
	r.sum = addSums(r.sum, s.payloadSum())
	if s.push() {
		r.first.tcp[13] |= byte(packet.TCPPsh)
		// The flag is summed in finish, not here: sum is of payloads.
	}
	r.open = !s.push() && len(s.payload) == len(r.first.payload)
}

func (r *tcpRun) continuedBy(s segment) bool {
	f := &r.first
	return r.open &&
		s.src == f.src && s.dst == f.dst &&
		s.seq() == f.seq()+uint32(r.bytes) &&
		len(s.payload) <= len(f.payload) &&
		len(f.ip)+len(f.tcp)+r.bytes+len(s.payload) <= maxSuperPacket &&
		sameIP(s.ip, f.ip) && sameTCP(s.tcp, f.tcp)
}

// sameIP compares what is to be the same in the headers of merged packets:
// all but length, identification and checksum.
func sameIP(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == ipv6HeaderLen {
		return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[6:8], b[6:8])
	}
	return a[1] == b[1] && a[6] == b[6] && a[7] == b[7] && a[8] == b[8]
}

// sameTCP compares acknowledgement, window and options.
func sameTCP(a, b []byte) bool {
	return len(a) == len(b) && bytes.Equal(a[8:13], b[8:13]) &&
		bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[18:], b[18:])
}

// finish mends the headers of a run of several segments.
func (r *tcpRun) finish() {
	if r.count < 2 {
		return
	}
	f := &r.first
	length := len(f.tcp) + r.bytes
	if len(f.ip) == ipv6HeaderLen {
		binary.BigEndian.PutUint16(f.ip[4:], uint16(length))
	} else {
		binary.BigEndian.PutUint16(f.ip[2:], uint16(len(f.ip)+length))
		binary.BigEndian.PutUint16(f.ip[10:], 0)
		binary.BigEndian.PutUint16(f.ip[10:], ^packet.Checksum(f.ip, 0))
	}
	binary.BigEndian.PutUint16(f.tcp[16:], 0)
	sum := packet.Checksum(f.tcp, packet.PseudoHeaderSum(ipproto.TCP, f.src.Addr(), f.dst.Addr(), length))
	binary.BigEndian.PutUint16(f.tcp[16:], ^addSums(sum, r.sum))
}

// addSums adds in one's complement.
func addSums(a, b uint16) uint16 {
	sum := uint32(a) + uint32(b)
	return uint16(sum + sum>>16)
}
