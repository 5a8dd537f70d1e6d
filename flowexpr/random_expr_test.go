package flowexpr_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"tstun/ipproto"
	"tstun/packet"
)

// expression is a random expression, with what libpcap and what this package should make
// of it.
type expression struct {
	text   string
	binary bool // needs parentheses as an operand on the right
	leaves []*leaf
	// value puts the values of the leaves together.
	value func(leafValue func(*leaf) verdict) verdict
}

// leaf is a test.
type leaf struct {
	head, id string // tcp src port, 80
	libpcap  func(libpcap) verdict
	// slow is what Match should say, from the fields of Parsed.
	slow func(*packet.Parsed) bool
	// looksAt is version, address, proto, port or length.
	looksAt string
}

func (l *leaf) expression() *expression {
	return &expression{
		text: strings.TrimSpace(l.head + l.id), leaves: []*leaf{l},
		value: func(leafValue func(*leaf) verdict) verdict { return leafValue(l) },
	}
}

// randomExpression returns an expression, of tests alone at depth 0.
func randomExpression(r *rand.Rand, depth int) *expression {
	if depth == 0 || r.IntN(4) == 0 {
		if r.IntN(3) == 0 {
			return randomList(r)
		}
		return randomLeaf(r).expression()
	}
	if r.IntN(4) == 0 {
		return negated(r, randomExpression(r, depth-1))
	}
	return joined(r, randomExpression(r, depth-1), randomExpression(r, depth-1))
}

func negated(r *rand.Rand, e *expression) *expression {
	text := e.text
	if e.binary {
		text = "(" + text + ")"
	}
	return &expression{
		text: pick(r, []string{"not ", "!", "! "}) + text, leaves: e.leaves,
		value: func(leafValue func(*leaf) verdict) verdict { return e.value(leafValue).not() },
	}
}

// joined joins two expressions. What is on the left needs no parentheses.
func joined(r *rand.Rand, left, right *expression) *expression {
	text, op := right.text, pick(r, []string{" and ", " or ", "&&", " || "})
	if right.binary {
		text = "( " + text + ")"
	}
	return &expression{
		text: left.text + op + text, binary: true, leaves: append(append([]*leaf{}, left.leaves...), right.leaves...),
		value: func(leafValue func(*leaf) verdict) verdict {
			rest := func() verdict { return right.value(leafValue) }
			if strings.ContainsAny(op, "a&") {
				return left.value(leafValue).and(rest)
			}
			return left.value(leafValue).or(rest)
		},
	}
}

// randomList returns several names with the words of the first: port 80 or not 443, or
// port (80 or 443).
func randomList(r *rand.Rand) *expression {
	first := randomNamed(r)
	e := first.expression()
	inside := r.IntN(2) == 0
	e.text = first.id
	for range 1 + r.IntN(3) {
		next := randomNamed(r)
		for next.head != first.head {
			next = randomNamed(r)
		}
		one := next.expression()
		one.text = next.id
		if r.IntN(4) == 0 {
			one = negated(r, one)
		}
		e = joined(r, e, one)
	}
	if inside {
		e.text, e.binary = first.head+"("+e.text+")", false
	} else {
		e.text = first.head + e.text
	}
	return e
}

func randomLeaf(r *rand.Rand) *leaf {
	switch r.IntN(8) {
	case 0:
		v := pick(r, []uint8{4, 6})
		return &leaf{
			id: map[uint8]string{4: "ip", 6: "ip6"}[v], looksAt: "version",
			libpcap: func(b libpcap) verdict { return b.version(v) },
			slow:    func(p *packet.Parsed) bool { return p.IPVersion == v },
		}
	case 1:
		words := map[string][2]uint8{"tcp": {0, 6}, "udp": {0, 17}, "sctp": {0, 132}, "icmp": {4, 1}, "icmp6": {6, 58}, "esp": {0, 50}, "igmp": {4, 2}}
		word := pick(r, []string{"tcp", "udp", "sctp", "icmp", "icmp6", "esp", "igmp"})
		return protoLeaf("", word, words[word][0], words[word][1])
	case 2:
		n := uint32(r.IntN(120))
		return lengthLeaf(pick(r, []string{"less ", "greater ", "len = ", "len == ", "len != ", "len < ", "len > ", "len<=", "len >="}), n)
	}
	return randomNamed(r)
}

// randomNamed returns a test of a name, such as port 80.
func randomNamed(r *rand.Rand) *leaf {
	ends := pick(r, []string{"", "", "src ", "dst ", "src and dst ", "dst and src ", "src or dst ", "dst or src "})
	version := pick(r, []string{"", "ip ", "ip6 "})
	switch r.IntN(6) {
	case 0:
		v := map[string]uint8{"": 0, "ip ": 4, "ip6 ": 6}[version]
		proto := pick(r, someProtos)
		return protoLeaf(version+"proto ", fmt.Sprint(proto), v, proto)
	case 1:
		return addressLeaf(r, version, ends, "net ")
	case 2:
		kind := "host "
		if ends != "" && r.IntN(2) == 0 {
			kind = "" // src 10.0.0.1
		}
		return addressLeaf(r, version, ends, kind)
	case 3:
		first := pick(r, somePorts)
		last := max(first, pick(r, somePorts))
		return portLeaf(r, ends, "portrange ", fmt.Sprintf("%d-%d", first, last), first, last)
	}
	port := pick(r, somePorts)
	return portLeaf(r, ends, "port ", fmt.Sprint(port), port, port)
}

func protoLeaf(head, id string, version, proto uint8) *leaf {
	return &leaf{
		head: head, id: id, looksAt: "proto",
		libpcap: func(b libpcap) verdict { return b.proto(version, proto) },
		slow: func(p *packet.Parsed) bool {
			return uint8(p.Proto()) == proto && (version == 0 || p.IPVersion == version)
		},
	}
}

func lengthLeaf(words string, n uint32) *leaf {
	holds := func(length int) bool {
		m := uint32(length)
		switch strings.TrimSpace(words) {
		case "less", "len<=":
			return m <= n
		case "greater", "len >=":
			return m >= n
		case "len <":
			return m < n
		case "len >":
			return m > n
		case "len !=":
			return m != n
		}
		return m == n
	}
	if n == 0 && words == "len < " {
		n = 1
	}
	return &leaf{
		id: words + fmt.Sprint(n), looksAt: "length",
		libpcap: func(b libpcap) verdict { return verdictOf(holds(len(b))) },
		slow:    func(p *packet.Parsed) bool { return holds(len(p.Buffer())) },
	}
}

// addressLeaf returns a test of a host or a net. Its address is of the version, which is
// random if it is "".
func addressLeaf(r *rand.Rand, version, ends, kind string) *leaf {
	addr := pick(r, someAddrs4)
	if version == "ip6 " || version == "" && r.IntN(2) == 0 {
		addr = pick(r, someAddrs6)
	}
	mask := make([]byte, addr.BitLen()/8)
	for i := range mask {
		mask[i] = 255
	}
	id := addr.String()
	if kind == "net " {
		addr, mask, id = randomNet(r, addr)
	}
	contains := func(a netip.Addr) bool {
		if a.BitLen() != addr.BitLen() {
			return false
		}
		for i, b := range a.AsSlice() {
			if b&mask[i] != addr.AsSlice()[i] {
				return false
			}
		}
		return true
	}
	return &leaf{
		head: version + ends + kind, id: id, looksAt: "address",
		libpcap: func(b libpcap) verdict { return b.address(ends, addr, mask) },
		slow: func(p *packet.Parsed) bool {
			return slowEnds(ends, contains(p.Src.Addr()), contains(p.Dst.Addr()))
		},
	}
}

// randomNet returns a net that a is in, and how it is written.
func randomNet(r *rand.Rand, a netip.Addr) (netip.Addr, []byte, string) {
	length := r.IntN(a.BitLen() + 1)
	mask := make([]byte, a.BitLen()/8)
	for i := range length {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	if a.Is4() && r.IntN(4) == 0 { // a mask of any bits
		for i := range mask {
			mask[i] = pick(r, []byte{0, 1, 240, 255})
		}
		net := a.As4()
		for i := range net {
			net[i] &= mask[i]
		}
		a = netip.AddrFrom4(net)
		return a, mask, fmt.Sprintf("%s mask %s", a, netip.AddrFrom4([4]byte(mask)))
	}
	prefix := netip.PrefixFrom(a, length).Masked()
	if short := strings.TrimSuffix(prefix.Addr().String(), ".0.0"); a.Is4() && length == 16 && short != "0.0" && r.IntN(2) == 0 {
		return prefix.Addr(), mask, short // 10.1
	}
	return prefix.Addr(), mask, prefix.String()
}

func portLeaf(r *rand.Rand, ends, kind, id string, first, last uint16) *leaf {
	over := pick(r, []string{"", "", "tcp ", "udp ", "sctp "})
	protos := map[string][]uint8{"": {132, 6, 17}, "tcp ": {6}, "udp ": {17}, "sctp ": {132}}[over]
	return &leaf{
		head: over + ends + kind, id: id, looksAt: "port",
		libpcap: func(b libpcap) verdict { return b.ports(ends, protos, first, last) },
		slow: func(p *packet.Parsed) bool {
			for _, proto := range protos {
				if p.IPProto == ipproto.Proto(proto) {
					in := func(port uint16) bool { return first <= port && port <= last }
					return slowEnds(ends, in(p.Src.Port()), in(p.Dst.Port()))
				}
			}
			return false
		},
	}
}

func slowEnds(ends string, src, dst bool) bool {
	switch ends {
	case "src ":
		return src
	case "dst ":
		return dst
	case "src and dst ", "dst and src ":
		return src && dst
	}
	return src || dst
}
