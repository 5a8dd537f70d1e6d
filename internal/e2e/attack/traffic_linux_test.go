package attack_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

const (
	fin    = packet.TCPFin
	syn    = packet.TCPSyn
	rst    = packet.TCPRst
	psh    = packet.TCPPsh
	ack    = packet.TCPAck
	urg    = packet.TCPUrg
	synAck = syn | ack
	finAck = fin | ack
	rstAck = rst | ack
)

// What may be wrong with an ICMP message.
const (
	otherCode     = "other code"
	quoteTooShort = "quote too short"
)

// usedUp is a defect that is none.
const usedUp = "source route, used up"

// flagChoices are the flags of a segment that fits nothing in particular.
var flagChoices = []weighted[packet.TCPFlag]{
	{20, syn}, {15, synAck}, {30, ack}, {10, ack | psh}, {12, finAck}, {5, rst}, {3, rstAck},
	{1, fin}, {1, 0}, {1, fin | psh | urg}, {1, syn | fin}, {1, syn | rst}, {1, synAck | fin}, {1, psh},
	{1, syn | packet.TCPECNEcho | packet.TCPCWR}, {1, urg | ack}, {1, syn | urg}, {1, 0xff}, {1, fin | rst},
}

// next returns a random packet of a random talk.
func next(rng *rand.Rand, talks []*talk) *step {
	k := talks[rng.IntN(len(talks))]
	s := &step{talk: k, out: rng.IntN(2) == 0}
	switch {
	case rng.IntN(10) == 0:
		s.quote(rng)
		return s
	case k.proto.IsICMP():
		s.message(rng)
		return s
	}
	if k.proto == ipproto.TCP {
		s.segment(rng)
	}
	s.pkt = k.packet(s.out, s.flags, rng.IntN(3)*4)
	if rng.IntN(25) == 0 {
		s.damage(rng)
	}
	return s
}

// packet returns one packet of the talk, as its own side would send it.
func (k *talk) packet(out bool, flags packet.TCPFlag, size int) []byte {
	src, dst := k.host, k.peer
	if !out {
		src, dst = dst, src
	}
	payload := bytes.Repeat([]byte{'x'}, size)
	switch k.proto {
	case ipproto.TCP:
		h := packet.TCPHeader{Src: src, Dst: dst, Flags: flags, Seq: 1001, Ack: 1001, Window: 1000}
		if flags&syn != 0 {
			h.Seq, payload = 1000, nil
		}
		return packet.Generate(h, payload)
	case ipproto.UDP:
		return packet.Generate(packet.UDPHeader{Src: src, Dst: dst}, payload)
	case ipproto.ICMPv4, ipproto.ICMPv6:
		return k.echo(out, out, 0)
	}
	return packet.Generate(packet.IPHeader{Src: src.Addr(), Dst: dst.Addr(), Proto: k.proto}, bytes.Repeat([]byte{'e'}, 16))
}

// echo returns an echo request or response.
func (k *talk) echo(out, reply bool, code uint8) []byte {
	typ := uint8(8)
	if k.proto == ipproto.ICMPv6 {
		typ = 128
	}
	if reply {
		typ = map[uint8]uint8{8: 0, 128: 129}[typ]
	}
	var rest [4]byte
	binary.BigEndian.PutUint16(rest[:], k.host.Port())
	return k.icmp(out, typ, code, rest, []byte("ping"))
}

func (k *talk) icmp(out bool, typ, code uint8, rest [4]byte, payload []byte) []byte {
	h := packet.ICMPHeader{Src: k.host.Addr(), Dst: k.peer.Addr(), Type: typ, Code: code, Rest: rest}
	if !out {
		h.Src, h.Dst = h.Dst, h.Src
	}
	return packet.Generate(h, payload)
}

// segment sets direction and flags: those of the script, as a rule.
func (s *step) segment(rng *rand.Rand) {
	k := s.talk
	if len(k.script) == 0 && rng.IntN(2) == 0 {
		k.script = connection(rng)
	}
	if len(k.script) > 0 && rng.IntN(10) < 8 {
		s.out, s.flags = k.script[0].out, k.script[0].flags
		k.script = k.script[1:]
		return
	}
	s.flags = pick(rng, flagChoices)
}

// connection returns the segments of a proper TCP connection.
func connection(rng *rand.Rand) (script []line) {
	opener := rng.IntN(2) == 0
	say := func(byOpener bool, flags packet.TCPFlag) {
		script = append(script, line{byOpener == opener, flags})
	}
	switch rng.IntN(8) {
	case 0: // refused
		say(true, syn)
		say(false, rstAck)
		return script
	case 1: // simultaneous open, RFC 9293 §3.5
		say(true, syn)
		say(false, syn)
		say(true, synAck)
		say(false, synAck)
	default:
		say(true, syn)
		say(false, synAck)
		say(true, ack)
	}
	for range rng.IntN(4) {
		say(rng.IntN(2) == 0, ack|psh)
	}
	closer := rng.IntN(2) == 0
	switch rng.IntN(4) {
	case 0:
		say(closer, rst)
	case 1: // left open
	default:
		say(closer, finAck)
		say(!closer, ack)
		say(!closer, finAck)
		say(closer, ack)
	}
	return script
}

// message makes s an ICMP packet that is no error.
func (s *step) message(rng *rand.Rand) {
	k := s.talk
	code := uint8(0)
	if rng.IntN(20) == 0 {
		code, s.odd = 1, otherCode
	}
	switch n := rng.IntN(20); {
	case n < 8:
		s.kind, s.pkt = isPing, k.echo(s.out, false, code)
	case n < 16:
		s.kind, s.pkt = isPong, k.echo(s.out, true, code)
	default:
		types := []uint8{13, 14, 13, 14, 15, 16, 17, 18, 9, 200} // timestamps, information, masks, router
		if k.proto == ipproto.ICMPv6 {
			types = []uint8{139, 140, 200, 100} // node information, private
		}
		s.odd = ""
		s.icmp = types[rng.IntN(len(types))]
		switch s.icmp {
		case 13, 15, 17, 139:
			s.kind = isPing
		case 14, 16, 18, 140:
			s.kind = isPong
		default:
			s.kind = isInfo
		}
		var rest [4]byte
		binary.BigEndian.PutUint16(rest[:], k.host.Port())
		s.pkt = k.icmp(s.out, s.icmp, 0, rest, make([]byte, 12))
	}
	if s.icmp == 0 && rng.IntN(25) == 0 {
		s.damage(rng)
	}
}

// quote makes s an ICMP error about a packet of its talk.
func (s *step) quote(rng *rand.Rand) {
	k := s.talk
	s.kind = isError
	h := packet.ICMPHeader{Src: k.host.Addr(), Dst: k.peer.Addr(), Code: uint8(rng.IntN(3))}
	if !s.out {
		h.Src, h.Dst = h.Dst, h.Src
	}
	types := []uint8{3, 3, 3, 11, 11, 12, 4, 5}
	if h.Src.Is6() {
		types = []uint8{1, 1, 2, 3, 4}
	}
	h.Type = types[rng.IntN(len(types))]
	s.icmp = h.Type
	if rng.IntN(3) == 0 {
		h.Src = otherRouter(h.Src)
	}
	quoteOut := !s.out
	switch rng.IntN(12) {
	case 0:
		s.odd, quoteOut = "quotes the wrong direction", s.out
	case 1:
		s.odd, h.Dst = "to another than the quote's sender", otherAddr(h.Dst)
	}
	quoted := k.packet(quoteOut, pick(rng, flagChoices), 8)
	if k.proto.IsICMP() {
		quoted = k.echo(quoteOut, rng.IntN(2) == 0, 0)
	}
	if rng.IntN(8) == 0 { // what segmentation offload leaves
		at := 2
		if h.Src.Is6() {
			at = 4
		}
		quoted[at], quoted[at+1] = 0, 0
	}
	if n := len(quoted); rng.IntN(2) == 0 { // RFC 792: eight bytes are enough
		head := 20
		if h.Src.Is6() {
			head = 40
		}
		quoted = quoted[:min(n, head+8)]
		if rng.IntN(6) == 0 {
			s.odd, quoted = quoteTooShort, quoted[:head+4]
		}
	}
	s.pkt = packet.Generate(h, quoted)
}

// otherRouter returns the address of a router on the way of a.
func otherRouter(a netip.Addr) netip.Addr {
	b := a.As16()
	b[15] = 99
	return sameFamily(netip.AddrFrom16(b), a)
}

// otherAddr returns another address of the same round and side that is not
// foreign.
func otherAddr(a netip.Addr) netip.Addr {
	switch a {
	case host4:
		return foreign4
	case foreign4:
		return host4
	case host6:
		return foreign6
	case foreign6:
		return host6
	}
	b := a.As16()
	b[15] ^= 3
	return sameFamily(netip.AddrFrom16(b), a)
}

func sameFamily(a, like netip.Addr) netip.Addr {
	if like.Is4() {
		return a.Unmap()
	}
	return a
}

// damage spoils the form of s.
func (s *step) damage(rng *rand.Rand) {
	b := s.pkt
	head := 40
	if b[0]>>4 == 4 {
		head = 20
	}
	transport := b[head:]
	switch rng.IntN(5) {
	case 0:
		s.defect, s.pkt = "cut in its transport header", resize(b[:head+rng.IntN(8)])
	case 1:
		if s.isTCP() {
			s.defect, transport[12] = "TCP data offset 4", 0x40
		}
	case 2:
		if s.isTCP() {
			s.defect, transport[12] = "TCP data offset 15", 0xf0
		}
	case 3:
		if s.talk.proto == ipproto.UDP {
			s.defect = "UDP length"
			binary.BigEndian.PutUint16(transport[4:], uint16([]int{0, 7, 1000}[rng.IntN(3)]))
		}
	case 4:
		s.chain(rng, b, head)
	}
}

// chain puts something between IP and transport header.
func (s *step) chain(rng *rand.Rand, b []byte, head int) {
	if head == 20 {
		options := [][]byte{{131, 7, 4, 10, 0, 0, 1, 0}, {7, 1, 4, 0}, {1, 1, 1, 0}, {131, 7, 8, 10, 0, 0, 1, 0}}
		n := rng.IntN(len(options))
		s.defect = []string{"source route", "broken option", "", usedUp}[n]
		b = append(append(bytes.Clone(b[:20]), options[n]...), b[20:]...)
		b[0] = 0x40 | byte(20+len(options[n]))/4
		s.pkt = resize(b)
		return
	}
	headers := []struct {
		next   byte
		h      []byte
		defect string
	}{
		{60, []byte{0, 0, 1, 4, 0, 0, 0, 0}, ""}, // destination options: padding
		{0, []byte{0, 0, 1, 4, 0, 0, 0, 0}, ""},
		{43, []byte{0, 2, 0, 1, 0, 0, 0, 0, 0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, "routing header, hop left"},
		{43, []byte{0, 0, 4, 0, 0, 0, 0, 0}, ""},
	}
	c := headers[rng.IntN(len(headers))]
	s.defect = c.defect
	b = append(append(bytes.Clone(b[:40]), c.h...), b[40:]...)
	b[40], b[6] = b[6], c.next
	s.pkt = resize(b)
}

// resize makes the length in the IP header that of b.
func resize(b []byte) []byte {
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		craft.FixHeader(b)
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	}
	return b
}
