package flowexpr

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"tstun/ipproto"
)

// node is an expression as it was read.
type node struct {
	op          op
	left, right *node  // right: of opAnd and opOr alone
	test        test   // of opTest
	name        string // of a peer
}

type op uint8

const (
	opTest op = iota
	opNot
	opAnd
	opOr
)

// String returns the expression as Expr.String tells.
func (n *node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.op {
	case opNot:
		b.WriteString("not ")
		n.left.writeOperand(b)
	case opAnd, opOr:
		n.left.write(b)
		if n.op == opAnd {
			b.WriteString(" and ")
		} else {
			b.WriteString(" or ")
		}
		n.right.writeOperand(b)
	default:
		b.WriteString(n.testText())
	}
}

// writeOperand writes what stands behind and, or, not.
func (n *node) writeOperand(b *strings.Builder) {
	if n.op != opAnd && n.op != opOr {
		n.write(b)
		return
	}
	b.WriteByte('(')
	n.write(b)
	b.WriteByte(')')
}

func (n *node) testText() string {
	t := &n.test
	switch t.what {
	case isVersion:
		return versionWord(t.version)
	case isProto:
		return t.protoText()
	case isAddress:
		return endsText[t.ends] + t.addressText()
	case isPort:
		return transportText(t.transport) + endsText[t.ends] + t.portText()
	case isLength:
		return t.lengthText()
	case isWay:
		if t.way == wayIn {
			return "in"
		}
		return "out"
	case isDropped:
		return "dropped"
	case isReason:
		return "reason " + t.reason.String()
	}
	return "peer " + strconv.Quote(n.name)
}

var endsText = [...]string{eitherEnd: "", srcEnd: "src ", dstEnd: "dst ", bothEnds: "src and dst "}

func versionWord(v uint8) string {
	if v == 4 {
		return "ip"
	}
	return "ip6"
}

func transportText(o transports) string {
	switch o {
	case overTCP:
		return "tcp "
	case overUDP:
		return "udp "
	case overSCTP:
		return "sctp "
	}
	return ""
}

func (t *test) protoText() string {
	for word, a := range abbreviations {
		if a.version == t.version && a.proto == t.proto {
			return word
		}
	}
	text := "proto " + strconv.Itoa(int(t.proto))
	if t.version != 0 {
		text = versionWord(t.version) + " " + text
	}
	return text
}

func (t *test) addressText() string {
	addr, length := addrOf(t.version, t.netHi, t.netLo), maskLen(t.maskHi, t.maskLo)
	if t.version == 4 {
		length -= 96
	}
	switch {
	case length == addr.BitLen():
		return "host " + addr.String()
	case length >= 0:
		return "net " + netip.PrefixFrom(addr, length).String()
	}
	return fmt.Sprintf("net %s mask %s", addr, addrOf(4, 0, t.maskLo))
}

// addrOf returns the address of Subject's words.
func addrOf(version uint8, hi, lo uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	if version == 4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// maskLen returns how many bits are set in a mask, or a negative number if not the first
// ones are.
func maskLen(hi, lo uint64) int {
	n := bits.OnesCount64(hi) + bits.OnesCount64(lo)
	if wantHi, wantLo := maskOf(n); hi != wantHi || lo != wantLo {
		return -1
	}
	return n
}

// maskOf returns the mask of a prefix of n bits.
func maskOf(n int) (hi, lo uint64) {
	if n <= 64 {
		return ^(^uint64(0) >> n), 0
	}
	return ^uint64(0), ^(^uint64(0) >> (n - 64))
}

func (t *test) portText() string {
	if t.first == t.last {
		return fmt.Sprintf("port %d", t.first)
	}
	return fmt.Sprintf("portrange %d-%d", t.first, t.last)
}

func (t *test) lengthText() string {
	switch {
	case t.last == maxLength:
		return fmt.Sprintf("greater %d", t.first)
	case t.first == 0:
		return fmt.Sprintf("less %d", t.last)
	}
	return fmt.Sprintf("len = %d", t.first)
}

// abbreviation is a protocol that has a word of its own.
type abbreviation struct {
	version uint8 // 0: any
	proto   ipproto.Proto
}

var abbreviations = map[string]abbreviation{
	"tcp": {0, ipproto.TCP}, "udp": {0, ipproto.UDP}, "sctp": {0, ipproto.SCTP},
	"icmp": {4, ipproto.ICMPv4}, "icmp6": {6, ipproto.ICMPv6}, "igmp": {4, ipproto.IGMP},
	"esp": {0, esp}, "pim": {0, pim}, "vrrp": {4, vrrp},
}
