package filter

import (
	"encoding/binary"

	"tstun/packet"
)

// segment is what a conn depends on, of one packet of any protocol.
type segment struct {
	flags    packet.TCPFlag
	fromPeer bool
	isn      uint16 // of a SYN: its initial sequence number, folded to 16 bits
}

func segmentOf(p *packet.Parsed, fromPeer bool) segment {
	s := segment{flags: p.TCPFlags, fromPeer: fromPeer}
	if s.flags&packet.TCPSyn != 0 {
		seq := binary.BigEndian.Uint32(p.Transport()[4:])
		s.isn = uint16(seq) ^ uint16(seq>>16)
	}
	return s
}

// controlBits returns those of the flags that open and reset connections.
func (s segment) controlBits() packet.TCPFlag {
	return s.flags & (packet.TCPSyn | packet.TCPAck | packet.TCPRst)
}

// isSYN reports whether s asks for a new connection.
func (s segment) isSYN() bool { return s.controlBits() == packet.TCPSyn }

// isSYNACK reports whether s accepts a new connection.
func (s segment) isSYNACK() bool { return s.controlBits() == packet.TCPSynAck }

// isRST reports whether s resets a connection.
func (s segment) isRST() bool { return s.flags&packet.TCPRst != 0 }
