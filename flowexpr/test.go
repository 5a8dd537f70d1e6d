package flowexpr

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
)

// test is one question about a Subject.
type test struct {
	what      what
	ends      ends
	version   uint8 // of isVersion and isAddress; of isProto, or 0: any
	proto     ipproto.Proto
	transport transports
	way       way
	reason    filter.Reason
	yes, no   next
	// first and last are the range of ports or lengths, both included.
	first, last    uint32
	netHi, netLo   uint64
	maskHi, maskLo uint64
	peer           flow.PeerID
}

// what is what a test looks at.
type what uint8

const (
	isVersion what = iota
	isProto
	isAddress
	isPort
	isLength
	isWay
	isDropped
	isReason
	isPeer
)

// ends says which ends of a packet an address or port test means.
type ends uint8

const (
	eitherEnd ends = iota
	srcEnd
	dstEnd
	bothEnds
)

// holds reports whether t is true of s.
func (t *test) holds(s *Subject) bool {
	switch t.what {
	case isVersion:
		return s.version == t.version
	case isProto:
		return s.proto == t.proto && (t.version == 0 || s.version == t.version)
	case isAddress:
		switch t.ends {
		case srcEnd:
			return t.contains(&s.src)
		case dstEnd:
			return t.contains(&s.dst)
		case bothEnds:
			return t.contains(&s.src) && t.contains(&s.dst)
		}
		return t.contains(&s.src) || t.contains(&s.dst)
	case isPort:
		if s.transport&t.transport == 0 {
			return false
		}
		switch t.ends {
		case srcEnd:
			return t.inRange(uint32(s.src.port))
		case dstEnd:
			return t.inRange(uint32(s.dst.port))
		case bothEnds:
			return t.inRange(uint32(s.src.port)) && t.inRange(uint32(s.dst.port))
		}
		return t.inRange(uint32(s.src.port)) || t.inRange(uint32(s.dst.port))
	case isLength:
		return s.hasLength && t.inRange(s.length)
	case isWay:
		return s.way&t.way != 0
	case isDropped:
		return s.dropped
	case isReason:
		return s.reason == t.reason
	}
	return s.Peer == t.peer
}

func (t *test) contains(a *side) bool {
	return a.version == t.version && a.hi&t.maskHi == t.netHi && a.lo&t.maskLo == t.netLo
}

func (t *test) inRange(n uint32) bool { return t.first <= n && n <= t.last }
