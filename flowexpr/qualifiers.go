package flowexpr

// qualifiers are the words before a name or a number that say what it is. A name without
// such words inherits those of the name before it.
type qualifiers struct {
	kind  kind
	ends  ends
	proto string // word of a protocol, or ""
	typed bool   // the kind was said, as host; it was not in src 10.0.0.1
}

// kind is what a name is.
type kind uint8

const (
	kindNone kind = iota
	kindHost
	kindNet
	kindPort
	kindPortRange
	kindProto
	kindReason
	kindPeer
)

var kinds = map[string]kind{
	"host": kindHost, "net": kindNet, "port": kindPort, "portrange": kindPortRange,
	"proto": kindProto, "reason": kindReason, "peer": kindPeer,
}

// named reports whether any word may be a name of the kind.
func (q *qualifiers) named() bool { return q.kind == kindReason || q.kind == kindPeer }

// qualifiers reads the words before a name, of which first is read already. Without a
// kind, they are a protocol alone.
func (p *parser) qualifiers(first token) (q qualifiers, err error) {
	at := first // the last word that was read
	if isProtocol(first.text) {
		q.proto = first.text
		if !p.atQualifier() {
			return q, nil
		}
		at = p.next()
	}
	if at.text == "src" || at.text == "dst" {
		q.ends = p.ends(at)
		q.kind = kindHost
		if !p.atKind() {
			return q, q.check(first, at)
		}
		at = p.next()
	}
	q.kind, q.typed = kinds[at.text], true
	return q, q.check(first, at)
}

// atQualifier reports whether what comes next belongs to a protocol before it.
func (p *parser) atQualifier() bool {
	t := p.peek()
	return t.kind == tokenWord && (t.text == "src" || t.text == "dst") || p.atKind()
}

func (p *parser) atKind() bool {
	t := p.peek()
	return t.kind == tokenWord && kinds[t.text] != kindNone && t.text != "reason" && t.text != "peer"
}

// ends reads the rest of src, src or dst, src and dst, and the same the other way round.
// src or net is thus no beginning of two tests.
func (p *parser) ends(first token) ends {
	one, other := srcEnd, "dst"
	if first.text == "dst" {
		one, other = dstEnd, "src"
	}
	if !p.atOperator() || p.tokens[1].kind != tokenWord || p.tokens[1].text != other {
		return one
	}
	op := p.operator()
	p.next()
	if op == opAnd {
		return bothEnds
	}
	return eitherEnd
}

// check returns an error if the words do not go together. first and last are the first and
// the last one.
func (q *qualifiers) check(first, last token) error {
	switch q.kind {
	case kindHost, kindNet:
		if q.proto == "" || q.proto == "ip" || q.proto == "ip6" {
			return nil
		}
		if !q.typed {
			return wrong(first, "%s has no addresses of its own: want %s %s port, or %s and %s", q.proto, q.proto, last.text, q.proto, last.text)
		}
		return wrong(first, "%s has no addresses of its own: want %s and %s", q.proto, q.proto, last.text)
	case kindPort, kindPortRange:
		if q.proto == "" || transportNamed(q.proto) != 0 {
			return nil
		}
		return wrong(first, "%s has no ports: want tcp, udp or sctp there, or %s and %s", q.proto, q.proto, last.text)
	case kindProto:
		if q.ends != eitherEnd {
			return wrong(last, "a protocol has no source and destination: want proto without src or dst")
		}
		if q.proto != "" && q.proto != "ip" && q.proto != "ip6" {
			return wrong(first, "want proto, ip proto or ip6 proto")
		}
	}
	return nil
}

// transportNamed returns the set of the one protocol of that name, if it has ports.
func transportNamed(word string) transports { return transportOf(abbreviations[word].proto) }

// protocolTest returns the test of a protocol that stands alone.
func (q *qualifiers) protocolTest() *node {
	if v := q.version(); v != 0 {
		return leaf(test{what: isVersion, version: v})
	}
	a := abbreviations[q.proto]
	return leaf(test{what: isProto, version: a.version, proto: a.proto})
}

// version returns the version of IP that the words name, or 0.
func (q *qualifiers) version() uint8 {
	switch q.proto {
	case "ip":
		return 4
	case "ip6":
		return 6
	}
	return 0
}
