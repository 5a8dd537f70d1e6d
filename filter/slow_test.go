package filter_test

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tstun/filter"
	"tstun/flow"
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
	keepFrom  int // with keep: the first filter whose verdicts it keeps
	flows     map[string]*naiveFlow
	datagrams map[string]*naiveDatagram

	// What came before the filter in force, and what that means for packets
	// of the host's without a flow.
	past  []naivePast
	begun bool  // the filter in force has judged
	born  int64 // when the first filter did, -1: not yet
	// mayLose has the peers of which a flow was forgotten by now, or is about
	// to be: when that is noticed is the Filter's affair. lost is what it knew
	// of the packet's peer before the packet, lostNow asks it.
	mayLose map[netip.Addr]bool
	lost    bool
	lostNow func(peer netip.Addr, now int64) bool
	fail    func(format string, args ...any)
}

// naivePast is rules that were in force, until a time; -1: it is not over.
type naivePast struct {
	rules []filter.Match
	until int64
}

type naiveFlow struct {
	proto   ipproto.Proto
	peer    netip.Addr
	host    netip.AddrPort
	byPeer  bool
	adopted bool // the host went on with what it is not known to have begun
	charged bool // the peer's share has paid for it

	contested bool // the rules allowed a SYN of the peer's in it
	judgedBy  int
	revoked   bool
	history   []naiveSegment
	until     int64
}

type naiveSegment struct {
	byPeer bool
	flags  packet.TCPFlag
	again  bool // an accepted SYN of the peer's, over a former connection
}

func (s naiveSegment) is(flags packet.TCPFlag) bool { return s.flags&(syn|ack|rst) == flags }

// naiveDatagram is all first fragments of a datagram that came in its time.
type naiveDatagram struct {
	firsts []naiveFirst
	until  int64
}

type naiveFirst struct {
	length   int
	passed   bool
	packet   packet.Parsed
	judgedBy int
}

func newNaive() *naive {
	return &naive{number: 1, born: -1, flows: map[string]*naiveFlow{}, datagrams: map[string]*naiveDatagram{}, mayLose: map[netip.Addr]bool{}}
}

// doubtful: nothing of the host's came after a RST of either side or a new SYN
// of the peer's, so that nobody knows what there is.
func (f *naiveFlow) doubtful() bool {
	for _, s := range slices.Backward(f.history) {
		if s.again || s.flags&rst != 0 {
			return true
		}
		if !s.byPeer {
			return false
		}
	}
	return false
}

// conversation is what the history says of the connection there is: whether
// it is known to have been answered and completed before, and all that was
// sent since.
func (f *naiveFlow) conversation() (answered, complete bool, rest []naiveSegment) {
	last := -1
	for i, s := range f.history {
		if s.again || s.flags&rst != 0 {
			last = i
		}
	}
	if last < 0 {
		return false, false, f.history
	}
	rest = f.history[last+1:]
	for len(rest) > 0 && rest[0].byPeer {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return false, false, nil
	}
	if rest[0].is(synAck) {
		return true, false, rest[1:]
	}
	return true, true, rest
}

// progress reads how far a flow has come.
func (f *naiveFlow) progress() (answered, complete, finHost, finPeer bool) {
	answered, complete, rest := f.conversation()
	for _, s := range rest {
		fromOpener := s.byPeer == f.byPeer
		fin := s.flags&packet.TCPFin != 0
		switch {
		case finHost && finPeer:
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
	_, _, finHost, finPeer := f.progress()
	return f.proto == ipproto.TCP && (f.doubtful() || finHost && finPeer)
}

func (f *naiveFlow) idle() int64 {
	answered, complete, finHost, finPeer := f.progress()
	switch f.proto {
	case ipproto.TCP:
		switch {
		case f.revoked:
			return int64(filter.DefaultTCPEstablished)
		case f.over():
			return int64(filter.DefaultTCPTransitory)
		case complete, finHost, finPeer:
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

// add appends a segment that passes. Of a connection, the peer prolongs the
// time while it is not over and never cuts it; the host's RST only cuts it.
func (f *naiveFlow) add(s naiveSegment, now int64, number int) {
	over := f.over()
	f.judgedBy = number
	f.history = append(f.history, s)
	until := now + f.idle()
	if f.proto == ipproto.TCP {
		isReset := s.flags&rst != 0
		switch {
		case s.byPeer && s.is(syn) && !f.byPeer:
			until = f.until
		case s.again:
			until = max(f.until, now+int64(filter.DefaultTCPTransitory))
		case s.byPeer && (over || isReset):
			until = f.until
		case s.byPeer:
			until = max(until, f.until)
		case isReset:
			until = min(until, f.until)
		}
	}
	f.until = until
}

// unsettled: the rules in force have a say in f and have not been asked.
func (n *naive) unsettled(f *naiveFlow) bool {
	return (f.byPeer || f.adopted) && f.judgedBy != n.number && !(n.keep && !f.revoked && f.judgedBy >= n.keepFrom)
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
		kind, reply := naiveQuery(p)
		if kind == "" {
			return ""
		}
		return fmt.Sprint(p.IPProto, host, peer, kind, p.Transport()[4:6], "asked by peer", inbound != reply)
	}
	return fmt.Sprint(p.IPProto, host, peer)
}

// naiveQuery returns what kind of question the ICMP message p asks or replies
// to. "" if it does neither.
func naiveQuery(p *packet.Parsed) (kind string, reply bool) {
	if !p.IPProto.IsICMP() {
		return "", false
	}
	kinds := map[uint8]string{8: "echo", 13: "timestamp", 15: "information", 17: "mask"}
	replies := map[uint8]string{0: "echo", 14: "timestamp", 16: "information", 18: "mask"}
	if p.IPVersion == 6 {
		kinds = map[uint8]string{128: "echo", 139: "node"}
		replies = map[uint8]string{129: "echo", 140: "node"}
	}
	typ, _ := p.ICMP()
	if replies[typ] != "" {
		return replies[typ], true
	}
	return kinds[typ], false
}

func naiveReply(p *packet.Parsed) bool {
	_, reply := naiveQuery(p)
	return reply
}

// replace puts the filter c in the place of the one in force.
func (n *naive) replace(c filter.Config) {
	if !n.shieldsUp && len(n.rules) > 0 {
		n.past = append(n.past, naivePast{n.rules, -1})
	}
	if len(n.past) > 8 {
		var u naivePast
		for _, p := range n.past[:8] {
			u.rules = append(u.rules, p.rules...)
			if p.until < 0 || u.until < 0 {
				u.until = -1
			} else {
				u.until = max(u.until, p.until)
			}
		}
		n.past = []naivePast{u, n.past[8]}
	}
	if !n.keep {
		n.keepFrom = n.number
	}
	n.number, n.begun = n.number+1, false
	n.rules, n.keep, n.shieldsUp = c.Matches, c.Keep, c.ShieldsUp
}

// judging notes that the filter in force judges.
func (n *naive) judging(now int64) {
	if n.begun {
		return
	}
	n.begun = true
	if n.born < 0 {
		n.born = max(now, 1)
	}
	if n.keep {
		return
	}
	var kept []naivePast
	for _, p := range n.past {
		if p.until < 0 {
			p.until = max(now, 1)
		}
		if now-p.until <= replyTime {
			kept = append(kept, p)
		}
	}
	n.past = kept
}

// answerTime is how long the host may answer what was forgotten.
const replyTime = int64(10 * time.Minute)

// pastAllowed: rules that were in force lately let the peer of f open it.
func (n *naive) pastAllowed(f *naiveFlow, now int64) bool {
	for _, p := range n.past {
		if (p.until < 0 || now-p.until <= replyTime) && naiveMatch(p.rules, f.proto, f.peer, f.host.Addr(), f.host.Port()) {
			return true
		}
	}
	return false
}

// hasLost asks the Filter whether a flow of the peer's was forgotten lately,
// which it must know of the flow at hand if that is gone, and cannot know if
// none is. gone is what n.flow forgot.
func (n *naive) hasLost(peer netip.Addr, gone *naiveFlow, now int64) bool {
	for _, f := range n.flows {
		if f.until <= now && f.charged {
			n.mayLose[f.peer] = true
		}
	}
	lost := n.lost
	if gone != nil && gone.charged && now-gone.until <= replyTime {
		if lost = n.lostNow(peer, now); !lost {
			n.fail("the filter does not remember that a flow of %v is gone since %v", peer, gone.until)
		}
	}
	if lost && len(n.mayLose) == 0 && now-n.born > replyTime {
		n.fail("the filter says that it has forgotten a flow of %v, and none is", peer)
	}
	return lost
}

// flow returns the flow of the key, or nil if there is none; gone is one whose
// time is over.
func (n *naive) flow(key string, now int64) (f, gone *naiveFlow) {
	f = n.flows[key]
	if f == nil || f.until > now {
		return f, nil
	}
	if f.charged {
		n.mayLose[f.peer] = true
	}
	delete(n.flows, key)
	return nil, f
}

// begin makes the flow that s begins, in the place of old if that is not nil.
// gone is what was forgotten of the flow.
func (n *naive) begin(key string, old, gone *naiveFlow, p *packet.Parsed, s naiveSegment, now int64) {
	n.judging(now)
	if s.flags&packet.TCPRst != 0 {
		return
	}
	f := &naiveFlow{proto: p.IPProto, byPeer: s.byPeer, host: p.Src, peer: p.Dst.Addr(), until: now}
	if s.byPeer {
		f.host, f.peer = p.Dst, p.Src.Addr()
	} else if !n.origin(f, gone, s, now) {
		return
	}
	f.charged = f.byPeer || f.adopted
	if old != nil && s.byPeer && f.proto == ipproto.TCP {
		s.again = true
		f.until = old.until
	}
	f.add(s, now, n.number)
	n.flows[key] = f
}

// origin fills in who began f, which the host goes on with, and returns false
// if it is not to be let in.
func (n *naive) origin(f, gone *naiveFlow, s naiveSegment, now int64) bool {
	tcp := f.proto == ipproto.TCP
	allowed := n.refuses(f.proto, f.peer, f.host) == filter.ReasonNone
	switch {
	case f.proto.IsICMP() || tcp && s.is(syn):
	case tcp && s.is(synAck):
		f.byPeer = true
		return allowed
	case allowed:
		f.adopted = true
	case n.hasLost(f.peer, gone, now) && n.pastAllowed(f, now):
		return false
	case tcp:
		f.adopted = true
		return now-n.born <= int64(filter.DefaultPickup)
	}
	return true
}

// startsOver: a SYN that is neither a retransmission nor, on either side, the
// second of two that cross.
func (n *naive) startsOver(f *naiveFlow, s naiveSegment) bool {
	if !s.is(syn) {
		return false
	}
	if f.over() || f.revoked || f.adopted || n.unsettled(f) {
		return true
	}
	if f.byPeer == s.byPeer {
		return false
	}
	for _, before := range f.history {
		crossing := s.byPeer && before.is(syn)
		if before.byPeer != f.byPeer && !crossing || before.flags&rst != 0 {
			return true
		}
	}
	return false
}

func (n *naive) out(p *packet.Parsed, now int64) {
	key := naiveKey(p, false)
	if p.Problem() != packet.ProblemNone || p.IPProto == ipproto.Fragment || key == "" || naiveReply(p) {
		return
	}
	s := naiveSegment{flags: p.TCPFlags}
	switch f, gone := n.flow(key, now); {
	case f == nil, n.startsOver(f, s):
		n.begin(key, f, gone, p, s, now)
	case s.is(synAck) && f.contested:
		f.contested, f.adopted = false, true // what the host grants, the peer asked for
		n.settle(f, s, now)
	case n.unsettled(f), f.adopted && s.is(synAck):
		n.settle(f, s, now)
	case f.revoked:
		f.until = now + f.idle()
	default:
		f.add(s, now, n.number)
	}
}

func (n *naive) in(p *packet.Parsed, now int64) filter.Reason {
	n.judging(now)
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
	id := naiveDatagramKey(p)
	d := n.datagrams[id]
	if d != nil && d.until <= now {
		d = nil
	}
	if d == nil {
		d = new(naiveDatagram)
	}
	if frag.Offset == 0 {
		if slices.ContainsFunc(d.firsts, func(f naiveFirst) bool { return f.passed && f.length != frag.Len }) {
			return filter.ReasonFragmentOverlap
		}
		r := n.inWhole(p, now)
		d.firsts = append(d.firsts, naiveFirst{frag.Len, r == filter.ReasonNone, *p, n.number})
		d.until = now + int64(filter.DefaultFragment)
		n.datagrams[id] = d
		return r
	}
	switch {
	case len(d.firsts) == 0:
		return filter.ReasonFragmentOrphan
	case slices.ContainsFunc(d.firsts, func(f naiveFirst) bool { return f.passed && frag.Offset < f.length }):
		return filter.ReasonFragmentOverlap
	case !d.firsts[len(d.firsts)-1].passed || !n.mayGoOn(d.firsts[len(d.firsts)-1], now):
		return filter.ReasonFragmentDenied
	}
	return filter.ReasonNone
}

// counted names the flow of p, which n.in has let pass: of a later fragment,
// that of the first.
func (n *naive) counted(p *packet.Parsed) flow.Key {
	first := p
	if frag, ok := p.Fragment(); ok && frag.Offset != 0 {
		firsts := n.datagrams[naiveDatagramKey(p)].firsts
		first = &firsts[len(firsts)-1].packet
	}
	return flow.MakeKey(first.Proto(), first.Dst, first.Src)
}

// naiveDatagramKey names the datagram that the fragment p is of.
func naiveDatagramKey(p *packet.Parsed) string {
	frag, _ := p.Fragment()
	id := fmt.Sprint(p.Src.Addr(), p.Dst.Addr(), frag.ID)
	if p.IPVersion == 4 {
		id += p.Proto().String()
	}
	return id
}

// mayGoOn: the rules that have come since allow the flow of a first fragment.
func (n *naive) mayGoOn(first naiveFirst, now int64) bool {
	p := &first.packet
	if first.judgedBy == n.number {
		return true
	}
	key := naiveKey(p, true)
	f, _ := n.flow(key, now)
	switch {
	case key == "":
		return false
	case f != nil && !n.unsettled(f):
		return !f.revoked
	}
	return n.refuses(p.IPProto, p.Src.Addr(), p.Dst) == filter.ReasonNone && !naiveReply(p)
}

func (n *naive) inWhole(p *packet.Parsed, now int64) filter.Reason {
	key, s := naiveKey(p, true), naiveSegment{byPeer: true, flags: p.TCPFlags}
	f, _ := n.flow(key, now)
	switch {
	case p.IsError():
		return n.inError(p, now)
	case naiveReply(p):
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
	if key != "" && (f == nil || f.byPeer || f.over() || f.revoked || n.unsettled(f)) {
		n.begin(key, f, nil, p, s, now)
	} else if f != nil {
		f.contested = true
	}
	return filter.ReasonNone
}

func (n *naive) inError(p *packet.Parsed, now int64) filter.Reason {
	var q packet.Parsed
	typ, _ := p.ICMP()
	actsOn := p.IPVersion == 6 || typ == 3 || typ == 11 || typ == 12
	if actsOn && p.Quoted(&q) && q.Src.Addr() == p.Dst.Addr() {
		f, _ := n.flow(naiveKey(&q, false), now)
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
