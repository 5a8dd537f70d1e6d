package gso_test

import (
	"bytes"
	"encoding/binary"

	"tstun/ipproto"
)

// shape is a TCP or UDP packet, field by field. bytes is the slow twin of
// what the package does to headers: everything from scratch, checksums byte by
// byte.
type shape struct {
	v6         bool
	proto      ipproto.Proto
	tos, ttl   byte
	flow       uint32 // IPv6 flow label
	id         uint16
	df         bool
	src, dst   [16]byte // the first 4 with IPv4
	ip         []byte   // IPv4 options, or IPv6 destination options
	sport      uint16
	dport      uint16
	seq, ack   uint32
	flags      byte
	win, urg   uint16
	options    []byte // TCP
	payload    []byte
	noChecksum bool // UDP
}

func (s shape) bytes() []byte {
	transport := s.transport()
	var p []byte
	if s.v6 {
		p = binary.BigEndian.AppendUint32(p, 6<<28|uint32(s.tos)<<20|s.flow&0xfffff)
		p = binary.BigEndian.AppendUint16(p, uint16(len(s.ip)+len(transport)))
		next := byte(s.proto)
		if len(s.ip) > 0 {
			next = 60 // destination options
		}
		p = append(p, next, s.ttl)
		p = append(append(p, s.src[:]...), s.dst[:]...)
	} else {
		p = append(p, 4<<4|byte(5+len(s.ip)/4), s.tos)
		p = binary.BigEndian.AppendUint16(p, uint16(20+len(s.ip)+len(transport)))
		p = binary.BigEndian.AppendUint16(p, s.id)
		if s.df {
			p = append(p, 0x40, 0)
		} else {
			p = append(p, 0, 0)
		}
		p = append(p, s.ttl, byte(s.proto), 0, 0)
		p = append(append(p, s.src[:4]...), s.dst[:4]...)
	}
	p = append(p, s.ip...)
	if !s.v6 {
		binary.BigEndian.PutUint16(p[10:], ^slowSum(p, 0))
	}
	return append(p, transport...)
}

func (s shape) transport() []byte {
	var t []byte
	t = binary.BigEndian.AppendUint16(t, s.sport)
	t = binary.BigEndian.AppendUint16(t, s.dport)
	at := 6
	if s.proto == ipproto.TCP {
		at = 16
		t = binary.BigEndian.AppendUint32(t, s.seq)
		t = binary.BigEndian.AppendUint32(t, s.ack)
		t = append(t, byte(5+len(s.options)/4)<<4, s.flags)
		t = binary.BigEndian.AppendUint16(t, s.win)
		t = binary.BigEndian.AppendUint16(t, 0)
		t = binary.BigEndian.AppendUint16(t, s.urg)
		t = append(t, s.options...)
	} else {
		t = binary.BigEndian.AppendUint16(t, uint16(8+len(s.payload)))
		t = append(t, 0, 0)
	}
	t = append(t, s.payload...)
	if s.noChecksum {
		return t
	}
	setChecksum(t, at, s.v6, s.proto, s.src, s.dst)
	return t
}

// setChecksum writes the checksum of a transport header and what follows to its place.
func setChecksum(t []byte, at int, v6 bool, proto ipproto.Proto, src, dst [16]byte) {
	t[at], t[at+1] = 0, 0
	c := ^slowSum(t, uint32(slowPseudo(v6, proto, src, dst, len(t))))
	if c == 0 && proto == ipproto.UDP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(t[at:], c)
}

// slowPseudo is the sum of a pseudo-header.
func slowPseudo(v6 bool, proto ipproto.Proto, src, dst [16]byte, length int) uint16 {
	n := 4
	if v6 {
		n = 16
	}
	pseudo := append(append(append([]byte(nil), src[:n]...), dst[:n]...), 0, byte(proto), byte(length>>8), byte(length))
	return slowSum(pseudo, 0)
}

// slowSum is RFC 1071, one word at a time.
func slowSum(b []byte, sum uint32) uint16 {
	for i, x := range b {
		if i%2 == 0 {
			sum += uint32(x) << 8
		} else {
			sum += uint32(x)
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum>>16 + sum&0xffff)
}

// slowSplit is what the segments of s should be.
func slowSplit(s shape, size int) (segments [][]byte) {
	payload := s.payload
	for i := 0; ; i++ {
		part := s
		part.payload = payload[min(i*size, len(payload)):min((i+1)*size, len(payload))]
		part.id += uint16(i)
		part.seq += uint32(i * size)
		if (i+1)*size < len(payload) {
			part.flags &^= 0x09 // FIN, PSH
		}
		if i > 0 {
			part.flags &^= 0x80 // CWR
		}
		segments = append(segments, part.bytes())
		if (i+1)*size >= len(payload) {
			return segments
		}
	}
}

// sameBut compares two packets, without the identification of IPv4 packets that
// must not be fragmented, and the header checksum over it.
func sameBut(a, b []byte) bool {
	if len(a) != len(b) || len(a) < 20 || a[0]>>4 != 4 || a[6]&0x40 == 0 {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[6:10], b[6:10]) && bytes.Equal(a[12:], b[12:])
}
