package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// quoteMin is the least length of a transport header in an ICMP error, which has the
// ports or an echo's identifier. RFC 792, RFC 4443 §2.4(c).
const quoteMin = 8

// Quoted decodes the packet that the ICMP error p quotes into q and reports
// whether it could: the quote must hold the IP headers and the first eight
// bytes of the transport header, where ports and echo identifier are. It may
// end anywhere behind that, so q's payload may be cut and its TCPFlags may be
// absent. Its IP header may have the length 0, which segmentation offload leaves. Quoted
// reports false for quotes of later fragments and of ICMP errors, and for IPv6 redirects,
// which are for one link, and a tunnel is none. Then q is undefined. q shares p's buffer.
// The sender of p wrote the quote: do not trust it.
func (p *Parsed) Quoted(q *Parsed) bool {
	return p.quote(q) && q.kind&kindLater == 0 && !q.IsError()
}

// quote decodes the packet that the ICMP error p quotes into q and reports whether it
// could. The packet may be a later fragment or an ICMP error.
func (p *Parsed) quote(q *Parsed) bool {
	m := p.icmp()
	if m == nil || !p.IsError() || p.kind&kindQuote != 0 || p.IPVersion == 6 && m[0] == icmp6Redirect {
		q.malformed(nil)
		return false
	}
	version := p.IPVersion
	q.decode(m[icmpLen:], kindQuote)
	return q.problem == ProblemNone && q.IPVersion == version
}

// quotedLen returns the length of a quoted packet, of which have bytes are in the quote
// and whose length field gives total. The value none of that field stands for all bytes:
// with segmentation offload, a router may quote a packet that is longer than the field
// can give, or whose field is not set yet.
func quotedLen(total, none, have int) int {
	if total == none {
		return have
	}
	return min(total, have)
}

// quotedTCP decodes a quoted TCP header, which may be cut, and returns its ports as
// transport does.
func (p *Parsed) quotedTCP(t []byte, off int) (ports uint32) {
	if len(t) < quoteMin {
		return p.short()
	}
	size := len(t)
	if len(t) >= tcpLen {
		size = min(size, max(tcpLen, int(t[12]>>4)*4))
		p.TCPFlags = TCPFlag(t[13])
	}
	p.IPProto = ipproto.TCP
	p.transOff = uint16(off)
	p.payOff = uint16(off + size)
	return binary.BigEndian.Uint32(t)
}
