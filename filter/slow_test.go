package filter_test

import (
	"fmt"
	"net/netip"
	"slices"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// naiveMatch is the rules as their documentation reads.
func naiveMatch(ms []filter.Match, proto ipproto.Proto, src, dst netip.Addr, port uint16) bool {
	for _, m := range ms {
		protos := m.IPProto
		if len(protos) == 0 {
			protos = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}
		}
		for _, s := range m.Srcs {
			for _, d := range m.Dsts {
				ports := d.Ports.First <= port && port <= d.Ports.Last || !proto.HasPorts()
				if slices.Contains(protos, proto) && s.Contains(src) && d.Net.Contains(dst) && ports {
					return true
				}
			}
		}
	}
	return false
}

// naive is the readable twin of a Filter and its State. It keeps the whole
// history of each flow and reads from it how far the flow has come.
type naive struct {
	rules     []filter.Match
	keep      bool
	shieldsUp bool
	number    int // of the filter in force
	flows     map[string]*naiveFlow
	datagrams map[string]*naiveDatagram
}

type naiveFlow struct {
	proto    ipproto.Proto
	peer     netip.Addr
	host     netip.AddrPort
	byPeer   bool
	judgedBy int
	revoked  bool
	history  []naiveSegment
	until    int64
}

type naiveSegment struct {
	byPeer bool
	flags  packet.TCPFlag
}

type naiveDatagram struct {
	end           int
	denied, ended bool
	until         int64
}

func newNaive() *naive {
	return &naive{number: 1, flows: map[string]*naiveFlow{}, datagrams: map[string]*naiveDatagram{}}
}

// progress reads how far a connection has come.
func (f *naiveFlow) progress() (answered, complete, finHost, finPeer, reset bool) {
	for _, s := range f.history {
		fromOpener := s.byPeer == f.byPeer
		fin := s.flags&packet.TCPFin != 0
		switch {
		case s.flags&packet.TCPRst != 0:
			reset = true
		case reset, finHost && finPeer:
		case fin && (answered || !fromOpener):
			finHost = finHost || !s.byPeer
			finPeer = finPeer || s.byPeer
		case fromOpener && answered && s.flags&packet.TCPAck != 0:
			complete = true
		}
		answered = answered || !fromOpener
	}
	return
}

func (f *naiveFlow) over() bool {
	_, _, finHost, finPeer, reset := f.progress()
	return f.proto == ipproto.TCP && (reset || finHost && finPeer)
}

func (f *naiveFlow) idle() int64 {
	answered, complete, finHost, finPeer, reset := f.progress()
	switch f.proto {
	case ipproto.TCP:
		if complete && !finHost && !finPeer && !reset {
			return int64(filter.DefaultTCPEstablished)
		}
		return int64(filter.DefaultTCPTransitory)
	case ipproto.UDP:
		if answered {
			return int64(filter.DefaultUDPReplied)
		}
		return int64(filter.DefaultUDPUnreplied)
	case ipproto.SCTP:
		return int64(filter.DefaultSCTP)
	case ipproto.ICMPv4, ipproto.ICMPv6:
		return int64(filter.DefaultICMPEcho)
	}
	return int64(filter.DefaultOther)
}

// add appends a segment that passes.
func (f *naiveFlow) add(s naiveSegment, now int64, number int) {
	over := f.over()
	f.judgedBy = number
	f.history = append(f.history, s)
	if !over || !s.byPeer {
		f.until = now + f.idle()
	}
}

// unsettled: the rules in force have a say in f and have not been asked.
func (n *naive) unsettled(f *naiveFlow) bool {
	return f.byPeer && f.judgedBy != n.number && !(n.keep && !f.revoked)
}

func (n *naive) refuses(proto ipproto.Proto, src netip.Addr, dst netip.AddrPort) filter.Reason {
	if n.shieldsUp {
		return filter.ReasonShieldsUp
	}
	if !naiveMatch(n.rules, proto, src, dst.Addr(), dst.Port()) {
		return filter.ReasonNoRule
	}
	return filter.ReasonNone
}

// settle asks the rules about f and returns whether it may go on.
func (n *naive) settle(f *naiveFlow, s naiveSegment, now int64) bool {
	f.judgedBy = n.number
	f.revoked = n.refuses(f.proto, f.peer, f.host) != filter.ReasonNone
	if f.revoked {
		f.until = now + f.idle()
		return false
	}
	f.add(s, now, n.number)
	return true
}

// naiveKey names the flow of p. "" if p has none.
func naiveKey(p *packet.Parsed, inbound bool) string {
	host, peer := p.Src, p.Dst
	if inbound {
		host, peer = p.Dst, p.Src
	}
	if p.IPProto.IsICMP() {
		if !p.IsEchoRequest() && !p.IsEchoResponse() {
			return ""
		}
		return fmt.Sprint(p.IPProto, host, peer, p.EchoID(), "asked by peer", inbound == p.IsEchoRequest())
	}
	return fmt.Sprint(p.IPProto, host, peer)
}

func (n *naive) flow(key string, now int64) *naiveFlow {
	if f := n.flows[key]; f != nil && f.until > now {
		return f
	}
	delete(n.flows, key)
	return nil
}

func (n *naive) begin(key string, p *packet.Parsed, s naiveSegment, now int64) {
	if s.flags&packet.TCPRst != 0 {
		return
	}
	f := &naiveFlow{proto: p.IPProto, byPeer: s.byPeer, host: p.Src, peer: p.Dst.Addr()}
	if s.byPeer {
		f.host, f.peer = p.Dst, p.Src.Addr()
	}
	f.add(s, now, n.number)
	n.flows[key] = f
}

// startsOver: a SYN that is neither a retransmission nor half of a
// simultaneous open.
func (n *naive) startsOver(f *naiveFlow, s naiveSegment) bool {
	if s.flags&(packet.TCPSyn|packet.TCPAck|packet.TCPRst) != packet.TCPSyn {
		return false
	}
	answered, _, finHost, finPeer, _ := f.progress()
	return f.over() || f.revoked || n.unsettled(f) ||
		f.byPeer != s.byPeer && (answered || finHost || finPeer)
}

func (n *naive) out(p *packet.Parsed, now int64) {
	key := naiveKey(p, false)
	if p.Problem() != packet.ProblemNone || p.IPProto == ipproto.Fragment || key == "" || p.IsEchoResponse() {
		return
	}
	s := naiveSegment{flags: p.TCPFlags}
	switch f := n.flow(key, now); {
	case f == nil, n.startsOver(f, s):
		n.begin(key, p, s, now)
	case n.unsettled(f):
		n.settle(f, s, now)
	case f.revoked:
		f.until = now + f.idle()
	default:
		f.add(s, now, n.number)
	}
}

func (n *naive) in(p *packet.Parsed, now int64) filter.Reason {
	switch p.Problem() {
	case packet.ProblemNone:
	case packet.ProblemTinyFragment:
		return filter.ReasonFragmentTiny
	case packet.ProblemTruncated:
		return filter.ReasonTruncated
	default:
		return filter.ReasonMalformed
	}
	frag, isFragment := p.Fragment()
	if !isFragment {
		return n.inWhole(p, now)
	}
	id := fmt.Sprint(p.Src.Addr(), p.Dst.Addr(), frag.ID)
	if p.IPVersion == 4 {
		id += p.Proto().String()
	}
	d := n.datagrams[id]
	if d != nil && d.until <= now {
		d = nil
	}
	if frag.Offset == 0 {
		if d != nil && !d.denied && !d.ended && d.end != frag.Len {
			return filter.ReasonFragmentOverlap
		}
		r := n.inWhole(p, now)
		n.datagrams[id] = &naiveDatagram{end: frag.Len, denied: r != 0, until: now + int64(filter.DefaultFragment)}
		return r
	}
	switch {
	case d == nil:
		return filter.ReasonFragmentOrphan
	case d.denied:
		return filter.ReasonFragmentDenied
	case frag.Offset < d.end:
		return filter.ReasonFragmentOverlap
	}
	d.ended = d.ended || !frag.More
	return filter.ReasonNone
}

func (n *naive) inWhole(p *packet.Parsed, now int64) filter.Reason {
	key, s := naiveKey(p, true), naiveSegment{byPeer: true, flags: p.TCPFlags}
	f := n.flow(key, now)
	switch {
	case p.IsError():
		return n.inError(p, now)
	case p.IsEchoResponse():
		if f == nil {
			return filter.ReasonNoFlow
		}
		f.add(s, now, n.number)
		return filter.ReasonNone
	case f == nil, n.startsOver(f, s):
		return n.inNew(key, f, p, s, now)
	case n.unsettled(f):
		if !n.settle(f, s, now) {
			return filter.ReasonRevoked
		}
		return filter.ReasonNone
	case f.revoked:
		f.until = now + f.idle()
		return filter.ReasonRevoked
	}
	f.add(s, now, n.number)
	return filter.ReasonNone
}

func (n *naive) inNew(key string, f *naiveFlow, p *packet.Parsed, s naiveSegment, now int64) filter.Reason {
	if r := n.refuses(p.IPProto, p.Src.Addr(), p.Dst); r != filter.ReasonNone {
		return r
	}
	// A living connection of the host's is not replaced.
	if key != "" && (f == nil || f.byPeer || f.over()) {
		n.begin(key, p, s, now)
	}
	return filter.ReasonNone
}

func (n *naive) inError(p *packet.Parsed, now int64) filter.Reason {
	var q packet.Parsed
	if p.Quoted(&q) && q.Src.Addr() == p.Dst.Addr() {
		f := n.flow(naiveKey(&q, false), now)
		switch {
		case f == nil:
		case n.unsettled(f):
			if n.refuses(f.proto, f.peer, f.host) == filter.ReasonNone {
				return filter.ReasonNone
			}
		case !f.revoked:
			return filter.ReasonNone
		}
	}
	return filter.ReasonNoFlow
}
