// Package gso cuts a TCP or UDP super-packet, as a stack with segmentation
// offload sends it, into the packets that a network can carry.
package gso

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// ErrShortBuffer is returned by Next for a buffer that the segment does not
// fit into.
var ErrShortBuffer = errors.New("gso: buffer is shorter than the segment")

const (
	minIPv4Header = 20    // RFC 791 §3.1
	ipv6HeaderLen = 40    // RFC 8200 §3
	udpHeaderLen  = 8     // RFC 768
	minTCPHeader  = 20    // RFC 9293 §3.1
	maxPacket     = 65535 // RFC 791 §3.1, total length

	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpCWR = 0x80
)

// Options says how a super-packet is to be cut.
type Options struct {
	Proto     ipproto.Proto // TCP or UDP
	Transport int           // offset of the transport header in bytes: IP header and extension headers
	Size      int           // payload bytes of each segment but the last, at least 1
}

// Splitter hands out the segments of one super-packet after the other. The
// zero value has none. It is not safe for concurrent use.
type Splitter struct {
	pkt    []byte // the super-packet, borrowed from Reset's caller until More is false
	opts   Options
	header int // length of all headers
	next   int // offset of the payload of the next segment
	index  int // number of the next segment
	more   bool
	sums   segmentSums
}

// segmentSums is what the checksums of all segments of a super-packet share.
type segmentSums struct {
	src, dst netip.Addr
	csumAt   int // offset of the transport checksum
}

// Reset begins a new super-packet, which the Splitter borrows until More
// reports false. Checksums and length fields in it may hold anything. On an
// error the Splitter has no segments.
func (s *Splitter) Reset(pkt []byte, opts Options) error {
	*s = Splitter{}
	header, sums, err := measure(pkt, opts)
	if err != nil {
		return err
	}
	*s = Splitter{pkt: pkt, opts: opts, header: header, next: header, more: true, sums: sums}
	return nil
}

// measure checks that the headers lie inside pkt and returns their length.
func measure(pkt []byte, opts Options) (int, segmentSums, error) {
	var sums segmentSums
	if opts.Size < 1 {
		return 0, sums, fmt.Errorf("gso: segment size %d is not positive", opts.Size)
	}
	if len(pkt) == 0 {
		return 0, sums, errors.New("gso: empty packet")
	}
	minTransport := ipv6HeaderLen
	if pkt[0]>>4 == 4 {
		minTransport = int(pkt[0]&0x0f) * 4
	}
	if minTransport < minIPv4Header || opts.Transport < minTransport || opts.Transport >= len(pkt) {
		return 0, sums, fmt.Errorf("gso: transport header at %d in a packet of %d bytes", opts.Transport, len(pkt))
	}
	transport := pkt[opts.Transport:]
	var length, csumAt int
	switch opts.Proto {
	case ipproto.TCP:
		if len(transport) < minTCPHeader {
			return 0, sums, errors.New("gso: TCP header is cut short")
		}
		length, csumAt = int(transport[12]>>4)*4, 16
		if length < minTCPHeader {
			return 0, sums, fmt.Errorf("gso: TCP header of %d bytes", length)
		}
	case ipproto.UDP:
		length, csumAt = udpHeaderLen, 6
	default:
		return 0, sums, fmt.Errorf("gso: %v cannot be segmented", opts.Proto)
	}
	if length > len(transport) {
		return 0, sums, fmt.Errorf("gso: %v header is cut short", opts.Proto)
	}
	switch pkt[0] >> 4 {
	case 4:
		sums.src, sums.dst = netip.AddrFrom4([4]byte(pkt[12:16])), netip.AddrFrom4([4]byte(pkt[16:20]))
	case 6:
		sums.src, sums.dst = netip.AddrFrom16([16]byte(pkt[8:24])), netip.AddrFrom16([16]byte(pkt[24:40]))
	default:
		return 0, sums, fmt.Errorf("gso: IP version %d", pkt[0]>>4)
	}
	sums.csumAt = opts.Transport + csumAt
	header := opts.Transport + length
	if min(len(pkt), header+opts.Size) > maxPacket {
		return 0, sums, fmt.Errorf("gso: segments of %d bytes", header+opts.Size)
	}
	return header, sums, nil
}

// More reports whether Next has a segment to give.
func (s *Splitter) More() bool { return s.more }

// Size returns the length of the next segment, or 0 without one.
func (s *Splitter) Size() int {
	if !s.more {
		return 0
	}
	return s.header + min(s.opts.Size, len(s.pkt)-s.next)
}

// Remaining returns how many segments Next still has to give.
func (s *Splitter) Remaining() int {
	if !s.more {
		return 0
	}
	return max(1, (len(s.pkt)-s.next+s.opts.Size-1)/s.opts.Size)
}

// Next writes the next segment to the front of dst and returns its length.
// On an error the segment is still the next one. Without a segment left it
// returns 0.
func (s *Splitter) Next(dst []byte) (int, error) {
	if !s.more {
		return 0, nil
	}
	total := s.Size()
	end := s.next + total - s.header
	if total > len(dst) {
		return 0, ErrShortBuffer
	}
	seg := dst[:total]
	copy(seg, s.pkt[:s.header])
	copy(seg[s.header:], s.pkt[s.next:end])
	last := end == len(s.pkt)
	s.fixIP(seg)
	s.fixTransport(seg, last)
	s.next, s.index, s.more = end, s.index+1, !last
	return total, nil
}

// fixIP writes the fields of the IP header that differ from segment to
// segment.
func (s *Splitter) fixIP(seg []byte) {
	if seg[0]>>4 == 6 {
		binary.BigEndian.PutUint16(seg[4:], uint16(len(seg)-ipv6HeaderLen))
		return
	}
	binary.BigEndian.PutUint16(seg[2:], uint16(len(seg)))
	id := binary.BigEndian.Uint16(s.pkt[4:])
	binary.BigEndian.PutUint16(seg[4:], id+uint16(s.index))
	header := seg[:int(seg[0]&0x0f)*4]
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], ^packet.Checksum(header, 0))
}

// fixTransport writes sequence number, flags, length and checksum.
func (s *Splitter) fixTransport(seg []byte, last bool) {
	transport := seg[s.opts.Transport:]
	if s.opts.Proto == ipproto.TCP {
		seq := binary.BigEndian.Uint32(s.pkt[s.opts.Transport+4:])
		binary.BigEndian.PutUint32(transport[4:], seq+uint32(s.next-s.header))
		if !last {
			transport[13] &^= tcpFIN | tcpPSH // they belong to the end of the data
		}
		if s.index > 0 {
			transport[13] &^= tcpCWR // RFC 3168 §6.1.2: once per window reduction
		}
	} else {
		binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	}
	sum := seg[s.sums.csumAt:]
	sum[0], sum[1] = 0, 0
	pseudo := packet.PseudoHeaderSum(s.opts.Proto, s.sums.src, s.sums.dst, len(transport))
	c := ^packet.Checksum(transport, pseudo)
	if c == 0 && s.opts.Proto == ipproto.UDP {
		c = 0xffff // RFC 768: a sent 0 means that there is no checksum
	}
	binary.BigEndian.PutUint16(sum, c)
}
