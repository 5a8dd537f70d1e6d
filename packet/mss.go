package packet

import "encoding/binary"

// The maximum segment size option of TCP: kind, length, 16 bits of value. RFC 9293 §3.2.
const (
	tcpOptEnd = 0
	tcpOptNop = 1
	tcpOptMSS = 2
	mssLen    = 4
)

// IsTCPHandshake reports whether p is a TCP segment that may say an MSS: SYN set, with or
// without ACK (RFC 9293 §3.7.1), RST not set.
func (p *Parsed) IsTCPHandshake() bool { return p.TCPFlags&(TCPSyn|TCPRst) == TCPSyn }

// ClampMSS lowers the MSS that p, of IsTCPHandshake, says to limit, in bytes without TCP and
// IP headers, and updates the TCP checksum. A checksum that was wrong stays wrong. It
// reports whether p's buffer has changed.
//
// It never raises a value, and changes nothing of a fragment, which may have a part of the
// options only, nor of a segment whose options end early. A segment that says no MSS stays
// as it is: its sender takes 536 bytes, or 1220 over IPv6 (RFC 9293 §3.7.1).
func (p *Parsed) ClampMSS(limit uint16) (changed bool) {
	if !p.IsTCPHandshake() || p.kind != 0 || p.payOff == 0 {
		return false
	}
	header := p.b[p.transOff:p.payOff]
	for at := tcpLen; at < len(header); {
		switch header[at] {
		case tcpOptEnd:
			return changed
		case tcpOptNop:
			at++
			continue
		}
		if len(header)-at < optMin {
			return changed
		}
		n := int(header[at+1])
		if n < optMin || n > len(header)-at {
			return changed
		}
		if header[at] == tcpOptMSS && n == mssLen && binary.BigEndian.Uint16(header[at+2:]) > limit {
			clampField(header, at+2, limit)
			changed = true
		}
		at += n
	}
	return changed
}

// clampField writes value at header[at:at+2] and updates the checksum of the TCP header,
// which sums it in halves of two words if at is odd.
func clampField(header []byte, at int, value uint16) {
	first := at &^ 1
	words := header[first : first+2+2*(at&1)]
	before := Checksum(words, 0)
	binary.BigEndian.PutUint16(header[at:], value)
	updateChecksum(header[16:], before, Checksum(words, 0))
}
