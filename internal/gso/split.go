package gso

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tstun/ipproto"
	"tstun/packet"
)

// ErrShortBuffer is the error of Next for a buffer that is shorter than the segment.
var ErrShortBuffer = errors.New("gso: buffer is shorter than the segment")

// Options says how to segment a super-packet.
type Options struct {
	Proto     ipproto.Proto // TCP or UDP
	Transport int           // offset of the transport header in bytes: IP header and extension headers
	Size      int           // payload bytes of each segment but the last, at least 1

	// Partial: the checksum field holds the sum of the pseudo-header, as a stack
	// with checksum offload leaves it. That sum counts then, not the addresses in
	// the header: with an IPv6 routing header, the final destination is not
	// there (RFC 8200 §8.1).
	Partial bool
}

// Splitter segments super-packets. The zero value has no segments. It is not safe for
// concurrent use.
type Splitter struct {
	pkt    []byte // the super-packet, borrowed from Reset's caller until More is false
	opts   Options
	header int // length of all headers
	next   int // offset of the payload of the next segment
	index  int // number of the next segment
	more   bool
	shared shared
}

// shared holds the fields and sums that the headers of all segments share.
type shared struct {
	v6        bool
	checksum  int    // offset of the transport checksum
	id        uint16 // of the first segment, IPv4
	seq       uint32 // of the first segment, TCP
	flags     uint8  // TCP
	ip        uint64 // sum of the IPv4 header without length, id and checksum
	transport uint64 // sum of pseudo-header and transport header without lengths, seq, flags and checksum
}

// Reset starts a new super-packet, which the Splitter borrows until More reports false.
// Its length fields do not count, nor do its checksums unless opts.Partial is set. On an
// error the Splitter has no segments.
func (s *Splitter) Reset(pkt []byte, opts Options) error {
	*s = Splitter{}
	header, err := measure(pkt, opts)
	if err != nil {
		return err
	}
	*s = Splitter{pkt: pkt, opts: opts, header: header, next: header, more: true}
	s.sum()
	return nil
}

// measure checks that the headers lie inside pkt and returns their length.
func measure(pkt []byte, opts Options) (int, error) {
	if opts.Size < 1 {
		return 0, fmt.Errorf("gso: segment size %d is not positive", opts.Size)
	}
	if len(pkt) == 0 {
		return 0, errors.New("gso: empty packet")
	}
	minTransport := ipv6HeaderLen
	switch version := pkt[0] >> 4; version {
	case 4:
		minTransport = int(pkt[0]&0x0f) * 4
	case 6:
	default:
		return 0, fmt.Errorf("gso: IP version %d", version)
	}
	if minTransport < minIPv4Header || opts.Transport < minTransport || opts.Transport >= len(pkt) {
		return 0, fmt.Errorf("gso: transport header at %d in a packet of %d bytes", opts.Transport, len(pkt))
	}
	length, err := transportHeader(pkt[opts.Transport:], opts.Proto)
	if err != nil {
		return 0, err
	}
	header := opts.Transport + length
	if segment := header + min(len(pkt)-header, opts.Size); segment > packet.MaxLen {
		return 0, fmt.Errorf("gso: segments of %d bytes", segment)
	}
	return header, nil
}

// transportHeader returns the length of the header at the front of b.
func transportHeader(b []byte, proto ipproto.Proto) (length int, err error) {
	switch {
	case proto == ipproto.UDP:
		length = udpHeaderLen
	case proto != ipproto.TCP:
		return 0, fmt.Errorf("gso: %v cannot be segmented", proto)
	case len(b) >= minTCPHeader:
		if length = int(b[12]>>4) * 4; length < minTCPHeader {
			return 0, fmt.Errorf("gso: TCP header of %d bytes", length)
		}
	default:
		length = minTCPHeader
	}
	if length > len(b) {
		return 0, fmt.Errorf("gso: %v header is cut short", proto)
	}
	return length, nil
}

// sum computes the shared fields and sums.
func (s *Splitter) sum() {
	p, sh := s.pkt, &s.shared
	transport := p[s.opts.Transport:s.header]
	sh.v6 = p[0]>>4 == 6
	addresses := p[12:20]
	if sh.v6 {
		addresses = p[8:40]
	} else {
		sh.id = binary.BigEndian.Uint16(p[4:])
		sh.ip = uint64(packet.Checksum(p[:2], 0)) + uint64(packet.Checksum(p[6:10], 0)) +
			uint64(packet.Checksum(p[12:int(p[0]&0x0f)*4], 0))
	}
	sh.transport = uint64(packet.Checksum(transport[:4], 0)) // ports
	field := transport[udpChecksumAt:]
	if s.opts.Proto == ipproto.TCP {
		field = transport[tcpChecksumAt:]
		sh.seq = binary.BigEndian.Uint32(transport[4:])
		sh.flags = transport[13]
		sh.transport += uint64(packet.Checksum(transport[8:12], 0)) + uint64(transport[12])<<8 +
			uint64(packet.Checksum(transport[14:16], 0)) + uint64(packet.Checksum(transport[18:], 0))
	}
	sh.checksum = s.header - len(field)
	if s.opts.Partial {
		// The field covers the length of the super-packet, which is taken out.
		whole := uint16(len(p) - s.opts.Transport)
		sh.transport += uint64(binary.BigEndian.Uint16(field)) + uint64(^whole)
		return
	}
	sh.transport += uint64(packet.Checksum(addresses, 0)) + uint64(s.opts.Proto)
}

// More reports whether there is another segment.
func (s *Splitter) More() bool { return s.more }

// Size returns the length of the next segment, or 0 if there is none.
func (s *Splitter) Size() int {
	if !s.more {
		return 0
	}
	return s.header + min(s.opts.Size, len(s.pkt)-s.next)
}

// Header returns the length of the headers that each segment has.
func (s *Splitter) Header() int { return s.header }

// Remaining returns the number of segments that Next has not written yet.
func (s *Splitter) Remaining() int {
	if !s.more {
		return 0
	}
	return max(1, (len(s.pkt)-s.next+s.opts.Size-1)/s.opts.Size)
}

// Next writes the next segment to the front of dst and returns its length, or 0 if there
// is none. After ErrShortBuffer the segment is still the next one; Skip skips it.
func (s *Splitter) Next(dst []byte) (int, error) {
	if !s.more {
		return 0, nil
	}
	total := s.Size()
	if total > len(dst) {
		return 0, ErrShortBuffer
	}
	copy(dst[s.header:total], s.pkt[s.next:])
	return s.NextInPlace(dst)
}

// NextInPlace is Next for a dst in which the payload of the segment is where it belongs,
// Header bytes from the front. The super-packet's own payload is not looked at.
func (s *Splitter) NextInPlace(dst []byte) (int, error) {
	if !s.more {
		return 0, nil
	}
	total := s.Size()
	if total > len(dst) {
		return 0, ErrShortBuffer
	}
	seg := dst[:total]
	copy(seg, s.pkt[:s.header])
	if s.shared.v6 {
		binary.BigEndian.PutUint16(seg[4:], uint16(total-ipv6HeaderLen))
	} else {
		s.fixIPv4(seg)
	}
	sum := s.shared.transport + uint64(total-s.opts.Transport)
	if s.opts.Proto == ipproto.TCP {
		sum += s.fixTCP(seg)
	} else {
		length := total - s.opts.Transport
		binary.BigEndian.PutUint16(seg[s.opts.Transport+4:], uint16(length))
		sum += uint64(length)
	}
	c := ^packet.Fold(sum + uint64(packet.Checksum(seg[s.header:], 0)))
	if c == 0 && s.opts.Proto == ipproto.UDP {
		c = 0xffff // RFC 768: a sent 0 means that there is no checksum
	}
	binary.BigEndian.PutUint16(seg[s.shared.checksum:], c)
	s.advance(total)
	return total, nil
}

// Skip skips the next segment, if there is one.
func (s *Splitter) Skip() {
	if s.more {
		s.advance(s.Size())
	}
}

func (s *Splitter) advance(total int) {
	s.next += total - s.header
	s.index++
	s.more = s.next < len(s.pkt)
}

func (s *Splitter) fixIPv4(seg []byte) {
	id := s.shared.id + uint16(s.index)
	binary.BigEndian.PutUint16(seg[2:], uint16(len(seg)))
	binary.BigEndian.PutUint16(seg[4:], id)
	binary.BigEndian.PutUint16(seg[10:], ^packet.Fold(s.shared.ip+uint64(len(seg))+uint64(id)))
}

// fixTCP writes sequence number and flags and returns their sum.
func (s *Splitter) fixTCP(seg []byte) uint64 {
	transport := seg[s.opts.Transport:]
	seq := s.shared.seq + uint32(s.next-s.header)
	binary.BigEndian.PutUint32(transport[4:], seq)
	flags := s.shared.flags
	if s.next+len(seg)-s.header < len(s.pkt) {
		flags &^= tcpFIN | tcpPSH // the last segment alone has them
	}
	if s.index > 0 {
		flags &^= tcpCWR // RFC 3168 §6.1.2: once per window reduction
	}
	transport[13] = flags
	return uint64(seq>>16) + uint64(seq&0xffff) + uint64(flags)
}
