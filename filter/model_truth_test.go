package filter_test

import (
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// What the documentation bounds.
const (
	// lateAnswer: a host's answer without connection, this long after the
	// peer's last packet and after the rule has gone, may count as
	// something that the host begins.
	lateAnswer = int64(10 * time.Minute)
	// After a restart, TCP that goes on without any rule is picked up at
	// least and at most for these times.
	pickupAtLeast = int64(1 * time.Minute)
	pickupAtMost  = int64(10 * time.Minute)
	// listenerMayAnswer: a SYN of the peer's that crosses the host's own and
	// finds, since the host has given up, a listener on the same port, counts
	// as an answer, and the connection as one that the host began.
	listenerMayAnswer = false
)

// flowTruth is what is true of a flow, whoever forgets it.
type flowTruth struct {
	lastPass int64 // when the last packet passed either way
	lastSeen int64 // when one was last sent

	// Why packets of the peer's may reach the host.
	byHost bool // the host began it
	exempt bool // it began by the setting PeerAPIPort
	letIn  bool // the rules let it in, for Keep to go by
	pickup int  // gen of the filter that may have picked it up without a rule
	// peerLast: when the last packet of the peer's passed that is no answer.
	peerLast int64
	older    bool // what there is began before the state was made
	lastGen  int  // of the filter under which a packet last passed, for Keep

	// What the filter has to keep open.
	guard    int64 // until when
	answered bool
	began    int64 // when the host began
	clean    bool  // no doubt about who began it
	forged   bool  // the peer sends what no honest peer sends
	crowded  bool  // the host had more flows than the limits allow
	tcp      tcpTruth
}

// tcpTruth is how far a connection has come by the segments that passed.
type tcpTruth struct {
	known            bool // its SYN passed
	fromPeer         bool // which was the peer's
	answered, done   bool // the handshake
	finHost, finPeer bool
	over             bool // by a reset
	peerSYN          bool // the peer's SYN passed in the host's connection
	healed           bool // picked up after a restart
	dirty            bool // another one was there just before
}

func (t *flowTruth) live(w *world, k flowName) bool {
	return t.lastPass != 0 && w.now < t.lastPass+w.longestIdle(k.proto)
}

// longestIdle is the longest time for which a flow may be idle.
func (w *world) longestIdle(proto ipproto.Proto) int64 {
	l := &w.limits
	switch {
	case proto == ipproto.TCP:
		return int64(max(l.TCPEstablished, l.TCPTransitory))
	case proto == ipproto.UDP:
		return int64(max(l.UDPReplied, l.UDPUnreplied))
	case proto == ipproto.SCTP:
		return int64(l.SCTP)
	case proto.IsICMP():
		return int64(l.ICMPEcho)
	}
	return int64(l.OtherIdle)
}

// truth returns what is true of a flow now.
func (w *world) truth(k flowName) *flowTruth {
	t := w.flows[k]
	if t == nil {
		t = new(flowTruth)
		w.flows[k] = t
	}
	if !t.live(w, k) {
		t.letIn, t.exempt, t.pickup, t.answered, t.guard = false, false, 0, false, 0
		c := w.host.conns[k]
		t.byHost = t.byHost && c != nil && !c.passive
	}
	return t
}

func (t *flowTruth) rulesChanged(w *world, k flowName) {
	t.letIn = t.letIn && (w.keep || w.allowed(k))
	if t.pickup == w.gen-1 && w.keep {
		t.pickup = w.gen
	}
}

func (t *flowTruth) restarted() {
	t.letIn, t.exempt, t.pickup, t.lastGen, t.guard, t.answered = false, false, 0, 0, 0, false
	t.tcp = tcpTruth{}
	t.older = true
}

// may returns by which right a packet of the peer's may reach the host, or
// "". It asks for no more than the documentation promises.
func (w *world) may(k flowName, s tcpSegment, jailed bool) string {
	t := w.truth(k)
	live := t.live(w, k)
	switch {
	case !w.isLocal(w.modelConfig, k):
		return ""
	case !jailed && w.allowed(k):
		return "allowed"
	case t.byHost && live:
		return "answers the host"
	case t.exempt && live && !jailed && !(s.isSyn() && w.vacant(k)):
		return "exempt" // but no new connection in the place of the old
	case jailed:
		return ""
	case w.loose && !w.shields && k.proto == ipproto.TCP && !s.isSyn():
		return "LooseTCP"
	case w.keep && t.letIn && live:
		return "Keep"
	case t.pickup == w.gen && live:
		return "picked up after a restart"
	}
	return ""
}

// must returns why a packet of the peer's has to reach the host, or "".
func (w *world) must(k flowName, s tcpSegment, jailed bool) string {
	t := w.truth(k)
	syns := k.proto == ipproto.TCP && s.isSyn()
	switch {
	case !w.isLocal(w.modelConfig, k):
		return ""
	case !jailed && w.allowed(k):
		return "the rules allow it"
	case w.loose && !w.shields && !jailed && k.proto == ipproto.TCP && !syns && t.lastSeen == 0:
		return "LooseTCP"
	case t.forged || w.now >= t.guard:
		return ""
	case t.byHost:
		if !t.crowded && !w.excused(t, k, jailed) && (!syns || w.crosses(t, k)) {
			return "it answers what the host began"
		}
	case !w.subject.lossless() || syns:
	case t.exempt && t.tcp.done && !jailed:
		return "it is exempt"
	case !jailed && w.keep && t.letIn && t.lastGen >= w.base && (k.proto != ipproto.TCP || t.tcp.done):
		return "Keep"
	}
	return ""
}

// crosses reports whether a SYN of the peer's crosses one of the host's and is
// to be let through for that (RFC 9293 §3.5).
func (w *world) crosses(t *flowTruth, k flowName) bool {
	c := w.host.conns[k]
	return c != nil && c.state == synSent && t.tcp.known && !t.tcp.answered && !t.tcp.dirty
}

// excused: security comes before continuity where the filter cannot know
// whether the flow is the peer's, since the rules allow that or have.
func (w *world) excused(t *flowTruth, k flowName, jailed bool) bool {
	if k.proto == ipproto.TCP {
		doubt := t.tcp.peerSYN && (jailed || w.openedSince(k, t.began))
		return doubt || t.tcp.healed && (jailed || w.gen > 1 || !w.subject.lossless())
	}
	return !t.clean || w.openedSince(k, t.began-lateAnswer)
}

// noteOut notes that the host's packet goes out; begins says that the host
// means to begin something by it.
func (w *world) noteOut(k flowName, s tcpSegment, begins bool) {
	t := w.truth(k)
	fresh := !t.byHost
	if k.proto == ipproto.TCP {
		w.noteTCPOut(t, k, s)
	} else {
		if !t.byHost && (begins || w.countsAsBegun(t, k)) {
			t.byHost, t.exempt, t.letIn = true, false, false
			t.began = w.now
			t.clean = begins && (t.lastSeen == 0 || w.now-t.lastSeen > max(lateAnswer, w.longestIdle(k.proto)))
		}
		if t.byHost || w.now < t.guard {
			t.guard = w.now + w.idle(k, t)
		}
	}
	t.letIn = t.letIn || !t.byHost && w.allowed(k)
	w.passed(t, k)
	if fresh && t.byHost {
		w.claim(k, t)
	}
}

// countsAsBegun reports whether an answer of the host's may count as something
// that it begins.
func (w *world) countsAsBegun(t *flowTruth, k flowName) bool {
	switch {
	case t.peerLast == 0:
		return true // it answers in what it began once
	case w.allowed(k):
		return false
	case t.older && !w.openedUnderState(k):
		return true // nothing is known of what was before the restart
	}
	return w.now-t.peerLast > lateAnswer
}

// idle is for protocols without connections.
func (w *world) idle(k flowName, t *flowTruth) int64 {
	if k.proto == ipproto.UDP && !t.answered {
		return int64(w.limits.UDPUnreplied)
	}
	if k.proto == ipproto.UDP {
		return int64(w.limits.UDPReplied)
	}
	return w.longestIdle(k.proto)
}

func (w *world) noteTCPOut(t *flowTruth, k flowName, s tcpSegment) {
	c := w.host.conns[k]
	switch {
	case s.isSyn():
		t.byHost, t.exempt, t.letIn, t.pickup = true, false, false, 0
	case s.flags&(syn|ack|rst) == synAck && c != nil && c.passive:
		t.byHost = t.byHost && listenerMayAnswer && !w.openedSince(k, t.began) // granted: the connection is the peer's
	case s.has(syn | rst), c == nil:
	case !t.byHost && t.older && w.sinceState() <= pickupAtMost && !w.openedUnderState(k):
		t.pickup = w.gen
	case t.byHost && w.now >= t.guard && w.gen == 1 && w.sinceState() <= pickupAtLeast:
		t.tcp, t.guard = tcpTruth{known: true, healed: true}, w.now+1
	}
	w.track(t, k, s, false)
}

// track follows a connection of honest ends by the segments that pass.
func (w *world) track(t *flowTruth, k flowName, s tcpSegment, fromPeer bool) {
	c := &t.tcp
	begins := s.isSyn() && (!fromPeer || w.vacant(k))
	switch {
	case s.has(rst), !begins && w.now >= t.guard:
		c.over = true
	case begins:
		again := c.known && c.fromPeer == fromPeer && !c.answered && !c.over
		*c = tcpTruth{known: true, fromPeer: fromPeer, dirty: again && c.dirty || !again && t.live(w, k)}
		t.began, t.older = w.now, false
	case fromPeer != c.fromPeer:
		c.peerSYN = c.peerSYN || fromPeer && s.isSyn() && c.answered
		c.answered = true
	default:
		c.done = c.done || c.answered && s.has(ack)
	}
	if s.has(packet.TCPFin) {
		c.finHost, c.finPeer = c.finHost || !fromPeer, c.finPeer || fromPeer
	}
	until := w.now + int64(w.limits.TCPTransitory)
	if c.done && !c.dirty && !(c.finHost && c.finPeer) {
		until = w.now + int64(w.limits.TCPEstablished)
	}
	switch {
	case !c.known || c.over:
		t.guard = 0
	case !fromPeer:
		t.guard = until
	case !c.finHost || !c.finPeer: // else the peer prolongs nothing
		t.guard = max(t.guard, until)
	}
}

// vacant reports whether the host has no connection that a SYN of the
// peer's could belong to.
func (w *world) vacant(k flowName) bool {
	c := w.host.conns[k]
	return c == nil || c.state == timeWait
}

// noteIn notes that a packet of the peer's has reached the host, by the right
// that may returned.
func (w *world) noteIn(k flowName, s tcpSegment, flags filter.RunFlags, right string) {
	t := w.truth(k)
	if right == "allowed" {
		t.letIn = true
	}
	switch {
	case k.proto == ipproto.TCP:
		w.noteTCPIn(t, k, s, flags)
	case !t.byHost:
		t.peerLast, t.older, t.answered = w.now, false, t.answered || t.lastGen != 0
		t.guard = w.now + int64(min(w.limits.UDPUnreplied, time.Duration(w.idle(k, t))))
	default:
		t.answered = true
		t.guard = w.now + w.idle(k, t)
	}
	w.passed(t, k)
}

// passed notes that a packet of the flow has passed, either way. A flow that
// some filter without Keep may have cut since is not known to live.
func (w *world) passed(t *flowTruth, k flowName) {
	t.lastPass, t.lastSeen = w.now, w.now
	if t.lastGen >= w.base || w.allowed(k) {
		t.lastGen = w.gen
	}
}

func (w *world) noteTCPIn(t *flowTruth, k flowName, s tcpSegment, flags filter.RunFlags) {
	if s.isSyn() {
		waived := flags&filter.Exempt != 0 && flags&filter.Jailed == 0
		switch c := w.host.conns[k]; {
		case waived:
			t.exempt, t.tcp.peerSYN = true, true
		case c == nil || c.state == timeWait:
			t.exempt = false
		}
	}
	w.track(t, k, s, true)
}

// noteRefused notes a packet of the peer's that the filter dropped.
func (w *world) noteRefused(k flowName) { w.truth(k).lastSeen = w.now }

// claim notes a flow that the host began, and whether the limits have room for
// all of these.
func (w *world) claim(k flowName, t *flowTruth) {
	t.crowded = false
	live := []flowName{k}
	classes := map[int]int{w.limitOf(k.proto): 1}
	for _, other := range w.mine {
		if o := w.flows[other]; other != k && o.byHost && o.live(w, other) {
			live = append(live, other)
			classes[w.limitOf(other.proto)]++
		}
	}
	w.mine = live
	// Limits that happen to be equal are counted together: fewer are held
	// to the promise.
	full := len(live) > w.limits.Flows
	for limit, n := range classes {
		full = full || n > limit
	}
	for _, other := range live {
		o := w.flows[other]
		o.crowded = o.crowded || full
	}
}

func (w *world) limitOf(proto ipproto.Proto) int {
	switch {
	case proto == ipproto.TCP:
		return w.limits.TCP
	case proto == ipproto.UDP:
		return w.limits.UDP
	case proto.IsICMP():
		return w.limits.ICMP
	}
	return w.limits.Other
}
