package filter_test

import (
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// frame is a packet on its way from an honest peer to the filter.
type frame struct {
	k flowName
	s tcpSegment
}

// longestTalk bounds what one move leads to.
const longestTalk = 40

// settle delivers what the peers' endpoints have sent.
func (w *world) settle() {
	for i := 0; len(w.wire) > 0 && i < longestTalk; i++ {
		f := w.wire[0]
		w.wire = w.wire[1:]
		w.inbound(f.k, f.s)
	}
	w.wire = nil
}

// hostSends takes a segment from the host's TCP.
func (w *world) hostSends(k flowName, s tcpSegment) {
	w.outbound(k, s, false)
	if c := w.peers.conns[k]; c != nil || !isHostile(k.peer) && k.addr == 0 {
		w.peers.receive(k, s)
	}
}

// peerSends takes a segment from a peer's TCP, which takes its time.
func (w *world) peerSends(k flowName, s tcpSegment) { w.wire = append(w.wire, frame{k, s}) }

// judge asks the filter about an inbound packet.
func (w *world) judge(b []byte, peer uint8, flags filter.RunFlags) filter.Verdict {
	w.tick()
	return w.subject.in(b, peer, w.now, flags)
}

// emit asks the filter about an outbound packet.
func (w *world) emit(k flowName, s tcpSegment) filter.Verdict {
	w.tick()
	return w.subject.out(k.packet(true, s), k.peer, w.now)
}

// outbound sends a packet of the host's.
func (w *world) outbound(k flowName, s tcpSegment, begins bool) {
	w.logf("out %v %v%s", k, s.flags, map[bool]string{true: ", which the host begins"}[begins])
	if v := w.emit(k, s); v.Response != filter.Accept {
		w.fail("outbound packet dropped", "%v: %v", k, v.Reason)
	}
	w.noteOut(k, s, begins)
}

// flags are what the Wrapper says of a packet.
func (w *world) flags(from uint8, k flowName, s tcpSegment) (f filter.RunFlags) {
	if w.jailed[from] {
		f |= filter.Jailed
	}
	if w.peerAPI && k.proto == ipproto.TCP && k.host == apiPort && s.isSyn() {
		f |= filter.Exempt
	}
	return f
}

// inbound sends a whole packet of a peer's, and gives it to the host if it
// passes.
func (w *world) inbound(k flowName, s tcpSegment) (passed bool) {
	w.tick()
	flags := w.flags(k.peer, k, s)
	jailed := flags&filter.Jailed != 0
	must := w.must(k, s, jailed)
	right := w.may(k, s, jailed)
	if flags&filter.Exempt != 0 && !jailed && w.isLocal(w.modelConfig, k) {
		right, must = "exempt", "it is exempt"
	}
	v := w.judge(k.packet(false, s), k.peer, flags)
	passed = w.compare(v, right, must, k, s, jailed)
	if !passed {
		w.noteRefused(k)
		return false
	}
	w.noteIn(k, s, flags, right)
	w.deliver(k, s)
	return true
}

// compare holds a verdict against the truth.
func (w *world) compare(v filter.Verdict, right, must string, k flowName, s tcpSegment, jailed bool) bool {
	passed := v.Response == filter.Accept
	w.logf("in  %v %v: %v %v", k, s.flags, v.Response, v.Reason)
	switch {
	case passed && right == "":
		w.fail("reaches the host", "%v %v passes; rules %v, jailed %v, shields %v", k, s.flags, modelRules[w.rules].name, jailed, w.shields)
	case !passed && must != "":
		w.fail("kept from the host", "%v %v is dropped as %v, but %s", k, s.flags, v.Reason, must)
	}
	return passed
}

// deliver gives a packet to the host. Services without connection answer by a
// move of their own, as late as they like.
func (w *world) deliver(k flowName, s tcpSegment) {
	switch {
	case k.proto == ipproto.TCP:
		w.host.receive(k, s)
	case k.proto.IsICMP() && k.port == askedByPeer:
		w.pong(k)
	}
}

// pong is the host's answer to a ping.
func (w *world) pong(k flowName) {
	w.logf("out %v, the answer", k)
	w.emit(k, tcpSegment{})
}

// forge sends a segment of a hostile peer's that knows all about the host's
// connection, if there is one. where and acks choose its numbers: in order, in
// the window but not in order, outside.
func (w *world) forge(k flowName, flags packet.TCPFlag, where, acks int) {
	s := tcpSegment{flags: flags, seq: 5000, ack: 7000}
	if c := w.host.conns[k]; c != nil {
		s.seq, s.ack = c.want, c.next
		if c.state == synReceived && s.isSyn() {
			s.seq = c.peerFirst
		}
	}
	s.seq += [...]int{0, 100, 10 * tcpWindow}[where%3]
	s.ack += [...]int{0, 0, 1000}[acks%3]
	w.truth(k).forged = true
	w.inbound(k, s)
}

// icmpError sends an ICMP error about a packet that the host sent, or never
// sent, in k, from a peer.
func (w *world) icmpError(k flowName, from uint8, flags packet.TCPFlag) {
	if peerAddrs[from].Is4() != k.hostAddr().Is4() {
		return
	}
	jailed := w.jailed[from]
	t := w.truth(k)
	right := w.may(k, tcpSegment{flags: ack}, jailed)
	if right == "LooseTCP" { // which is not for errors
		right = w.may(k, tcpSegment{flags: syn}, jailed)
	}
	known := t.lastSeen != 0 && w.now < t.lastSeen+w.longestIdle(k.proto)
	if !known {
		right = ""
	}
	must := ""
	if t.byHost && !t.forged && !t.crowded && w.now < t.guard && from == k.peer &&
		!w.excused(t, k, jailed) && w.isLocal(w.modelConfig, k) {
		must = "it is about what the host began"
	}
	quoted := event{out: true, b: k.packet(true, tcpSegment{flags: flags})}
	e := errorIn(peerAddrs[from].String(), k.hostAddr(), quoted)
	w.logf("an ICMP error from %v about", peerAddrs[from])
	w.compare(w.judge(e.b, from, w.flags(from, flowName{}, tcpSegment{})), right, must, k, tcpSegment{}, jailed)
}

// datagramName names a datagram that comes in fragments.
type datagramName struct {
	proto ipproto.Proto
	peer  uint8
	id    int
}

// datagramTruth is what is true of one whose first fragment has passed.
type datagramTruth struct {
	k      flowName
	end    int // of the first fragment
	passed int64
	gen    int
	denied bool // another first fragment was dropped since
}

func (w *world) fragmentLives(d *datagramTruth) bool {
	return d != nil && w.now < d.passed+int64(w.limits.Fragment)
}

// fragmentIn sends a fragment of a datagram of the flow k, the bytes of its
// data from offset to end.
func (w *world) fragmentIn(k flowName, id, offset, end int) {
	whole := packet.Generate(packet.UDPHeader{Src: k.ends().peer, Dst: k.ends().host}, make([]byte, 56))
	b := cut(whole, uint32(id), offset, end).b
	name := datagramName{k.proto, k.peer, id}
	d := w.datagrams[name]
	w.logf("a fragment, datagram %d, bytes %d to %d, of", id, offset, end)
	if offset == 0 {
		w.firstFragment(b, k, name, d, end)
		return
	}
	jailed := w.jailed[k.peer]
	flags := w.flags(k.peer, k, tcpSegment{})
	right, must := "", ""
	if w.fragmentLives(d) && offset >= d.end {
		right = w.may(d.k, tcpSegment{}, jailed)
		if !d.denied && d.gen == w.gen && right != "" && right != "answers the host" && w.subject.lossless() {
			must = "its first fragment passed"
		}
	}
	w.compare(w.judge(b, k.peer, flags), right, must, k, tcpSegment{}, jailed)
}

func (w *world) firstFragment(b []byte, k flowName, name datagramName, d *datagramTruth, end int) {
	flags := w.flags(k.peer, k, tcpSegment{})
	jailed := flags&filter.Jailed != 0
	right, must := w.may(k, tcpSegment{}, jailed), w.must(k, tcpSegment{}, jailed)
	if w.fragmentLives(d) && d.end != end {
		right, must = "", "" // it would write over the other
	}
	if w.compare(w.judge(b, k.peer, flags), right, must, k, tcpSegment{}, jailed) {
		w.noteIn(k, tcpSegment{}, flags, right)
		w.datagrams[name] = &datagramTruth{k: k, end: end, passed: w.now, gen: w.gen}
		return
	}
	w.noteRefused(k)
	if d != nil {
		d.denied = true
	}
}
