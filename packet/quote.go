package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// quoteMin is how much of a transport header an ICMP error quotes at least:
// the ports, or an echo's identifier. RFC 792, RFC 4443 §2.4(c).
const quoteMin = 8

// Quoted decodes the packet that the ICMP error p quotes into q and reports
// whether it could: the quote must hold the IP headers and the first eight
// bytes of the transport header, where ports and echo identifier are. It may
// end anywhere behind that, so q's payload may be cut and its TCPFlags may be
// absent. A length of 0 in its IP header is no fault: segmentation offload
// leaves it. Quotes of later fragments, of ICMP errors and in IPv6 redirects
// (which are for one link, and a tunnel is none) report false, and then q
// holds nothing of use. q shares p's buffer. The quote's author is whoever
// sent p: nothing in it is to be trusted.
func (p *Parsed) Quoted(q *Parsed) bool {
	return p.quote(q) && q.kind&kindLater == 0 && !q.IsError()
}

// quote is Quoted with any packet in the quote.
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

// quotedLen returns the length of a quoted packet that says it has total
// bytes, of which have are in the quote. One that says none has all of them:
// with segmentation offload, what a router quotes is longer than the length
// field can say, or has not got one yet.
func quotedLen(total, none, have int) int {
	if total == none {
		return have
	}
	return min(total, have)
}

// quotedTCP is transport for a quoted TCP segment, whose header may be cut.
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
