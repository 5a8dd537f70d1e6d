package filter_test

import (
	"time"

	"tstun/packet"
)

// tcpState is a state of RFC 9293 §3.3.2. LISTEN is of a port and not of a
// connection; CLOSED has none.
type tcpState uint8

const (
	synSent tcpState = iota
	synReceived
	estab
	finWait1
	finWait2
	closeWait
	afterFIN
	lastAck
	timeWait
)

const tcpWindow = 65535

// tcpSegment is what a TCP endpoint looks at. Sequence numbers do not wrap.
type tcpSegment struct {
	flags    packet.TCPFlag
	seq, ack int
	data     int // bytes
}

func (s *tcpSegment) has(f packet.TCPFlag) bool { return s.flags&f != 0 }

// isSyn reports whether the segment asks for a new connection.
func (s *tcpSegment) isSyn() bool { return s.flags&(syn|ack|rst) == syn }

// length is what the segment takes of the sequence numbers.
func (s *tcpSegment) length() int {
	n := s.data
	if s.has(syn) {
		n++
	}
	if s.has(packet.TCPFin) {
		n++
	}
	return n
}

// tcb is one connection of an endpoint.
type tcb struct {
	state   tcpState
	passive bool // the other side asked for it
	orphan  bool // the program has closed it
	began   int64
	since   int64 // of the state
	// first is the first number sent, una the oldest that is not
	// acknowledged, next the next to be sent.
	first, una, next int
	// peerFirst is the first number received, want the next one expected.
	peerFirst, want int
}

// tcpEnd is a reference TCP endpoint. It answers as Linux does where Linux
// and RFC 9293 differ, as in SYN-RECEIVED.
type tcpEnd struct {
	now     *int64
	conns   map[flowName]*tcb
	listens func(flowName) bool
	send    func(flowName, tcpSegment)
	isn     int
}

func (e *tcpEnd) newConn(state tcpState, passive bool) *tcb {
	e.isn += 1_000_000
	return &tcb{state: state, passive: passive, began: *e.now, since: *e.now, first: e.isn, una: e.isn, next: e.isn + 1}
}

func (e *tcpEnd) enter(c *tcb, s tcpState) { c.state, c.since = s, *e.now }

func (e *tcpEnd) sendAck(k flowName, c *tcb) {
	e.send(k, tcpSegment{flags: ack, seq: c.next, ack: c.want})
}

func (e *tcpEnd) sendSynAck(k flowName, c *tcb) {
	e.send(k, tcpSegment{flags: synAck, seq: c.first, ack: c.want})
}

// reset answers a segment that belongs to nothing (RFC 9293 §3.10.7.1).
func (e *tcpEnd) reset(k flowName, s tcpSegment) {
	switch {
	case s.has(rst):
	case s.has(ack):
		e.send(k, tcpSegment{flags: rst, seq: s.ack})
	default:
		e.send(k, tcpSegment{flags: rst | ack, ack: s.seq + s.length()})
	}
}

// receive takes a segment of the flow k.
func (e *tcpEnd) receive(k flowName, s tcpSegment) {
	c := e.conns[k]
	switch {
	case c == nil:
		e.receiveClosed(k, s)
	case c.state == synSent:
		e.receiveSynSent(k, c, s)
	case c.state == synReceived && c.passive:
		e.receiveRequest(k, c, s)
	case c.state == timeWait && s.isSyn() && s.seq > c.want && e.listens(k):
		delete(e.conns, k) // Linux reuses TIME-WAIT (RFC 6191)
		e.receiveClosed(k, s)
	default:
		e.receiveConnected(k, c, s)
	}
}

func (e *tcpEnd) receiveClosed(k flowName, s tcpSegment) {
	if !s.isSyn() || !e.listens(k) {
		e.reset(k, s)
		return
	}
	c := e.newConn(synReceived, true)
	c.peerFirst, c.want = s.seq, s.seq+1
	e.conns[k] = c
	e.sendSynAck(k, c)
}

func (e *tcpEnd) receiveSynSent(k flowName, c *tcb, s tcpSegment) {
	acks := s.has(ack) && s.ack == c.next
	switch {
	case s.has(ack) && !acks:
		e.reset(k, s)
	case s.has(rst):
		if acks {
			delete(e.conns, k)
		}
	case !s.has(syn):
	default:
		c.peerFirst, c.want = s.seq, s.seq+1
		if acks {
			c.una = s.ack
			e.enter(c, estab)
			e.sendAck(k, c)
			return
		}
		e.enter(c, synReceived) // simultaneous open
		e.sendSynAck(k, c)
	}
}

// receiveRequest is Linux's tcp_check_req: a connection that the peer asked
// for is a request only, which little can end.
func (e *tcpEnd) receiveRequest(k flowName, c *tcb, s tcpSegment) {
	switch {
	case s.isSyn() && s.seq == c.peerFirst:
		e.sendSynAck(k, c)
		return
	case s.has(ack) && s.ack != c.next:
		e.reset(k, s) // and the request stays
		return
	case !c.inWindow(s):
		if !s.has(rst) {
			e.sendAck(k, c)
		}
		return
	case s.has(rst):
		delete(e.conns, k)
		return
	case s.has(syn) && s.seq != c.peerFirst:
		delete(e.conns, k)
		e.reset(k, s)
		return
	case !s.has(ack):
		return
	}
	c.una = s.ack
	e.enter(c, estab)
	e.take(k, c, s)
}

func (c *tcb) inWindow(s tcpSegment) bool {
	return s.seq+s.length() >= c.want && s.seq <= c.want+tcpWindow
}

// receiveConnected is for all states that have seen both sides' SYN, with the
// challenges of RFC 5961.
func (e *tcpEnd) receiveConnected(k flowName, c *tcb, s tcpSegment) {
	crossed := c.state == synReceived && s.flags&(syn|ack|rst) == synAck && s.seq == c.peerFirst && s.ack == c.next
	switch {
	case crossed: // the other half of a simultaneous open
	case !c.inWindow(s):
		if !s.has(rst) {
			e.sendAck(k, c)
		}
		return
	case s.has(rst):
		if s.seq == c.want {
			delete(e.conns, k)
		} else {
			e.sendAck(k, c)
		}
		return
	case s.has(syn):
		e.sendAck(k, c)
		return
	case !s.has(ack):
		return
	}
	if s.ack > c.next {
		if c.state == synReceived {
			e.reset(k, s)
		} else {
			e.sendAck(k, c)
		}
		return
	}
	c.una = max(c.una, s.ack)
	if c.una == c.next && !e.acknowledged(k, c) {
		return
	}
	e.take(k, c, s)
}

// acknowledged goes on after all that was sent is acknowledged, and reports
// whether there is a connection left.
func (e *tcpEnd) acknowledged(k flowName, c *tcb) bool {
	switch c.state {
	case synReceived:
		e.enter(c, estab)
	case finWait1:
		e.enter(c, finWait2)
	case afterFIN:
		e.enter(c, timeWait)
	case lastAck:
		delete(e.conns, k)
		return false
	}
	return true
}

// take takes the data and the FIN of a segment that is in order.
func (e *tcpEnd) take(k flowName, c *tcb, s tcpSegment) {
	fin := s.has(packet.TCPFin)
	if s.data == 0 && !fin {
		if s.seq < c.want {
			e.sendAck(k, c) // a keepalive
		}
		return
	}
	if s.seq == c.want {
		if s.data > 0 && c.orphan {
			delete(e.conns, k)
			e.reset(k, s) // nobody is there to read
			return
		}
		c.want += s.data
		if fin {
			c.want++
			e.finished(c)
		}
	}
	e.sendAck(k, c)
}

func (e *tcpEnd) finished(c *tcb) {
	switch c.state {
	case estab:
		e.enter(c, closeWait)
	case finWait1:
		e.enter(c, afterFIN)
	case finWait2:
		e.enter(c, timeWait)
	}
}

// connect begins a connection if there is none.
func (e *tcpEnd) connect(k flowName) {
	if e.conns[k] == nil {
		c := e.newConn(synSent, false)
		e.conns[k] = c
		e.send(k, tcpSegment{flags: syn, seq: c.first})
	}
}

// write sends a byte.
func (e *tcpEnd) write(k flowName) {
	if c := e.conns[k]; c != nil && (c.state == estab || c.state == closeWait) {
		e.send(k, tcpSegment{flags: ack | packet.TCPPsh, seq: c.next, ack: c.want, data: 1})
		c.next++
	}
}

// finish closes one direction; both, as far as the program goes, if orphan.
func (e *tcpEnd) finish(k flowName, orphan bool) {
	c := e.conns[k]
	switch {
	case c == nil:
		return
	case c.state == estab:
		e.enter(c, finWait1)
	case c.state == closeWait:
		e.enter(c, lastAck)
	default:
		c.orphan = c.orphan || orphan
		return
	}
	c.orphan = orphan
	e.send(k, tcpSegment{flags: finAck, seq: c.next, ack: c.want})
	c.next++
}

// abort ends a connection by a reset.
func (e *tcpEnd) abort(k flowName) {
	if c := e.conns[k]; c != nil {
		delete(e.conns, k)
		if c.state != synSent && c.state != timeWait {
			e.send(k, tcpSegment{flags: rst | ack, seq: c.next, ack: c.want})
		}
	}
}

// repeat sends again what is not acknowledged, else a keepalive.
func (e *tcpEnd) repeat(k flowName) {
	c := e.conns[k]
	switch {
	case c == nil || c.state == timeWait:
	case c.state == synSent:
		e.send(k, tcpSegment{flags: syn, seq: c.first})
	case c.state == synReceived:
		e.sendSynAck(k, c)
	case c.una == c.next:
		e.send(k, tcpSegment{flags: ack, seq: c.next - 1, ack: c.want})
	case c.state == finWait1 || c.state == afterFIN || c.state == lastAck:
		e.send(k, tcpSegment{flags: finAck, seq: c.next - 1, ack: c.want})
	default:
		e.send(k, tcpSegment{flags: ack | packet.TCPPsh, seq: c.una, ack: c.want, data: c.next - c.una})
	}
}

// expire gives up what Linux gives up by default, silently.
func (e *tcpEnd) expire() {
	for k, c := range e.conns {
		if c.patience() <= time.Duration(*e.now-c.since) {
			delete(e.conns, k)
		}
	}
}

// patience is how long a connection stays in its state by itself.
func (c *tcb) patience() time.Duration {
	switch {
	case c.state == synSent:
		return 130 * time.Second // tcp_syn_retries
	case c.state == synReceived:
		return 63 * time.Second // tcp_synack_retries
	case c.state == timeWait, c.state == finWait2 && c.orphan:
		return time.Minute // TCP_TIMEWAIT_LEN, tcp_fin_timeout
	case c.state == afterFIN, c.state == lastAck, c.state == finWait1 && c.orphan:
		return 2 * time.Minute // tcp_orphan_retries
	}
	return 1 << 62
}
