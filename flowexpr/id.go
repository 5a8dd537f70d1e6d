package flowexpr

import (
	"net/netip"
	"strconv"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// id reads a name or a number, and returns the test that it makes with q.
func (p *parser) id(q qualifiers) (*node, error) {
	t := p.next()
	if t.kind != tokenWord && t.kind != tokenName {
		return nil, unexpected(t, "want "+wants[q.kind])
	}
	switch q.kind {
	case kindHost:
		return q.host(t)
	case kindNet:
		if p.takeWord("mask") {
			return q.netMask(t, p.next())
		}
		return q.net(t)
	case kindPort:
		return q.port(t)
	case kindPortRange:
		return q.portRange(t)
	case kindProto:
		return q.protocol(t)
	case kindReason:
		return reason(t)
	}
	return p.peer(t)
}

var wants = [...]string{
	kindHost: "an address", kindNet: "a prefix, such as 10.0.0.0/8", kindPort: "a port", kindPortRange: "two ports with - between them",
	kindProto: "a protocol's number or name", kindReason: "the name of a reason, such as no-rule", kindPeer: "the name of a peer",
}

// host returns the test of one address.
func (q *qualifiers) host(t token) (*node, error) {
	a, err := netip.ParseAddr(t.text)
	switch {
	case err == nil && a.Zone() == "":
		return q.address(t, a, a.BitLen())
	case err == nil:
		return nil, wrong(t, "packets carry no zone: want %s", a.WithZone(""))
	case strings.Contains(t.text, "/"):
		return nil, wrong(t, "want an address: a prefix stands behind net")
	case isNumeric(t.text):
		return nil, wrong(t, "want an IPv4 address of four numbers from 0 to 255, without leading zeros, or a part of one behind net")
	case strings.Contains(t.text, ":"):
		return nil, wrong(t, "want an IPv6 address, such as fd00::1")
	}
	return nil, unexpected(t, "want an address: names of hosts are not looked up")
}

// net returns the test of a prefix. Of an IPv4 address, numbers that are left out at the
// end are 0 and outside of the prefix.
func (q *qualifiers) net(t token) (*node, error) {
	text, length, hasLength := strings.Cut(t.text, "/")
	a, bits, ok := partOfAddr(text)
	switch {
	case !ok && !isNumeric(text) && !strings.Contains(text, ":"):
		return nil, unexpected(t, "want a prefix, such as 10.0.0.0/8 or fd00::/8: names of networks are not looked up")
	case !ok:
		return nil, wrong(t, "want a prefix, such as 10.0.0.0/8, 10.1 or fd00::/8, of numbers without leading zeros")
	case text == "0" && !hasLength:
		return nil, wrong(t, "want 0.0.0.0/0, 0.0.0.0/8 or 0.0.0.0/32: tcpdump takes 0 for the last")
	}
	if hasLength {
		n, ok := number(length, uint64(a.BitLen()))
		if !ok {
			return nil, wrong(t, "want a length from 0 to %d behind the slash", a.BitLen())
		}
		bits = int(n)
	}
	return q.address(t, a, bits)
}

// partOfAddr reads an address, or the first numbers of an IPv4 address. It returns how many
// bits they say.
func partOfAddr(s string) (a netip.Addr, bits int, ok bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, a.BitLen(), a.Zone() == ""
	}
	parts := strings.Count(s, ".") + 1
	if parts > 3 || strings.Contains(s, ":") {
		return a, 0, false
	}
	a, err := netip.ParseAddr(s + strings.Repeat(".0", 4-parts))
	return a, 8 * parts, err == nil
}

// address returns the test of a prefix of that length. t is where it stands.
func (q *qualifiers) address(t token, a netip.Addr, length int) (*node, error) {
	if prefix := netip.PrefixFrom(a, length).Masked(); prefix.Addr() != a {
		return nil, wrong(t, "bits behind the first %d are set: want net %s or host %s", length, prefix, a)
	}
	version := uint8(6)
	if a.Is4() {
		version, length = 4, length+96
	}
	if want := q.version(); want != 0 && want != version {
		return nil, wrong(t, "want an address of %s, or %s without %s", map[uint8]string{4: "IPv4", 6: "IPv6"}[want], t.raw, q.proto)
	}
	n := leaf(test{what: isAddress, ends: q.ends, version: version})
	n.test.netHi, n.test.netLo = words(a)
	n.test.maskHi, n.test.maskLo = maskOf(length)
	return n, nil
}

// netMask returns the test of net ADDRESS mask MASK.
func (q *qualifiers) netMask(t, maskToken token) (*node, error) {
	a, _, ok := partOfAddr(t.text)
	if !ok || !a.Is4() || q.version() == 6 {
		return nil, wrong(t, "want an IPv4 address in front of mask: IPv6 takes net PREFIX/LENGTH")
	}
	mask, err := netip.ParseAddr(maskToken.text)
	if err != nil || !mask.Is4() {
		return nil, unexpected(maskToken, "want a mask of four numbers, such as 255.255.0.0")
	}
	n, _ := q.address(t, a, a.BitLen()) // which has no bits behind
	_, maskLo := words(mask)
	n.test.maskLo = 0xffffffff<<32 | maskLo
	if n.test.netLo&^n.test.maskLo != 0 {
		return nil, wrong(t, "bits outside of the mask are set: want net %s mask %s", addrOf(4, 0, n.test.netLo&n.test.maskLo), mask)
	}
	return n, nil
}

// isNumeric reports whether a word is made of digits and dots.
func isNumeric(s string) bool { return s != "" && strings.Trim(s, "0123456789.") == "" }

const maxPort = 65535

// port returns the test of one port.
func (q *qualifiers) port(t token) (*node, error) {
	over := transportNamed(q.proto)
	if over == 0 {
		over = overAny
	}
	if n, ok := number(t.text, maxPort); ok {
		return q.ports(over, n, n), nil
	}
	if s, ok := services[t.text]; ok {
		if s.over != overTCP|overUDP {
			if over &= s.over; over == 0 {
				return nil, wrong(t, "it is a service of %s: want its number, %d, or another service", strings.TrimSpace(transportText(s.over)), s.port)
			}
		}
		return q.ports(over, uint64(s.port), uint64(s.port)), nil
	}
	switch {
	case isNumeric(t.text) || strings.HasPrefix(t.text, "0x"):
		return nil, wrong(t, "want a port from 0 to %d, without leading zeros", maxPort)
	case isNumeric(strings.ReplaceAll(t.text, "-", "")):
		return nil, wrong(t, "want portrange in place of port for more than one")
	}
	return nil, unexpected(t, "want a port's number or a well-known service, such as "+suggest(t.text, keys(services), "https"))
}

func (q *qualifiers) ports(over transports, first, last uint64) *node {
	return leaf(test{what: isPort, ends: q.ends, transport: over, first: uint32(first), last: uint32(last)})
}

// portRange returns the test of a range of ports, which may be a single one.
func (q *qualifiers) portRange(t token) (*node, error) {
	from, to, ok := strings.Cut(t.text, "-")
	if !ok {
		to = from
	}
	first, ok1 := number(from, maxPort)
	last, ok2 := number(to, maxPort)
	switch {
	case !ok1 || !ok2:
		return nil, unexpected(t, "want two ports from 0 to 65535 with - between them, such as 6000-6008")
	case first > last:
		return nil, wrong(t, "the first port is the larger one: want %d-%d", last, first)
	}
	over := transportNamed(q.proto)
	if over == 0 {
		over = overAny
	}
	return q.ports(over, first, last), nil
}

// protocol returns the test of a protocol by number or name: that behind the IPv6 extension
// headers.
func (q *qualifiers) protocol(t token) (*node, error) {
	proto, known := protocols[t.text]
	if n, ok := number(t.text, 255); !known && ok {
		proto, known = ipproto.Proto(n), true
	}
	switch {
	case !known && isNumeric(t.text):
		return nil, wrong(t, "want a protocol's number from 1 to 254, without leading zeros")
	case !known:
		return nil, unexpected(t, "want a protocol's number, or a name such as "+suggest(t.text, keys(protocols), "tcp"))
	case proto == 0 || proto == 255:
		return nil, wrong(t, "%d is reserved: want a protocol's number from 1 to 254", proto)
	case isExtension(proto) && q.version() != 4:
		return nil, wrong(t, "%d is an IPv6 extension header, and proto is what stands behind those: want ip proto %d for IPv4 alone", proto, proto)
	}
	return leaf(test{what: isProto, version: q.version(), proto: proto}), nil
}

func reason(t token) (*node, error) {
	var r filter.Reason
	if err := r.UnmarshalText([]byte(t.text)); err != nil || r == filter.ReasonNone {
		return nil, wrong(t, "want the name of a reason, such as %s", suggest(t.text, reasonNames(), "no-rule"))
	}
	return leaf(test{what: isReason, reason: r}), nil
}

func (p *parser) peer(t token) (*node, error) {
	id, ok := p.options.Peers[t.text]
	switch {
	case ok:
		return &node{test: test{what: isPeer, peer: id}, name: t.text}, nil
	case len(p.options.Peers) == 0:
		return nil, wrong(t, "no peers have names here: want host or net")
	}
	names := keys(p.options.Peers)
	found := near(t.text, names)
	if len(found) == 0 {
		found = names[:1]
	}
	for i, name := range found {
		found[i] = nameText(name)
	}
	return nil, wrong(t, "want the name of a peer, such as %s", orList(found))
}

// nameText returns how a peer's name may be written.
func nameText(name string) string {
	if wordLen(name) == len(name) && name != "" && operators[name] == 0 {
		return name
	}
	return strconv.Quote(name)
}
