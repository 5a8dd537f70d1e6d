package netstack

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tstun/flow"
)

// sessionCost is what a UDP session is charged, in bytes: RelayUDP's buffer,
// and two goroutines and an endpoint.
const sessionCost = relayBufferLen + 8<<10

// UDPRequest is a session that a peer opened with its first datagram to an
// address that is forwarded: all datagrams between two addresses and ports.
// The handler answers with Accept or Reject. One that returns without an answer
// rejects. Datagrams that come before the answer wait for it.
type UDPRequest struct {
	// Source is the peer's address, Destination the one that it sends to.
	Source, Destination netip.AddrPort

	f       *forwarder
	peer    flow.PeerID
	account *account
	conn    *UDPConn
	head    []byte // the first packet's headers, for an ICMP error to quote

	ctx      context.Context
	cancel   context.CancelFunc
	answered atomic.Bool

	used   atomic.Int64 // when the last datagram went through, in nanoseconds since began
	queued int64        // used, when it came to its place in the peer's list; guarded by f.mu
	place  *list.Element
	timer  *time.Timer
}

// began is when the program did, about.
var began = time.Now()

func sinceBegan() int64 { return int64(time.Since(began)) }

// udpPacket is the stack's for a datagram of no session. It reports false if
// that is nobody's.
func (f *forwarder) udpPacket(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	r := &UDPRequest{Source: source(id), Destination: destination(id), f: f}
	rule, why := f.rules.udp(r.Destination), udpProblem(pkt)
	if rule == nil || why != noReason {
		return f.s.counters.stray(why)
	}
	if why := f.admit(r); why != noReason {
		f.s.counters.drop(why, 1)
		return true
	}
	r.head = heads(pkt)
	if !r.connect(id, pkt) {
		r.end()
		return f.s.counters.stray(noReason)
	}
	go r.serve(rule.UDP)
	return true
}

// admit gives r its place, which may have been another's of its peer, or
// returns why there is none.
func (f *forwarder) admit(r *UDPRequest) Reason {
	r.peer, r.account = f.s.memory.owner(r.Source.Addr()), f.s.memory.of(r.Source.Addr())
	if !f.place(r) {
		old := f.longestIdle(r.peer)
		if old == nil {
			return ReasonForward
		}
		old.conn.Close()
		if !f.place(r) {
			return ReasonForward
		}
	}
	if !r.account.hold(sessionCost) {
		r.account = nil
		r.end()
		return ReasonMemory
	}
	return noReason
}

func (f *forwarder) place(r *UDPRequest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.sessions.take(r.peer) {
		return false
	}
	l := f.byPeer[r.peer]
	if l == nil {
		l = list.New()
		f.byPeer[r.peer] = l
	}
	r.ctx, r.cancel = context.WithCancel(f.ctx)
	r.queued = sinceBegan()
	r.used.Store(r.queued)
	r.place = l.PushBack(r)
	return true
}

// secondChances is how many sessions are passed over that were used since they
// came to their place.
const secondChances = 16

// longestIdle returns a session of the peer that is idle for long, or nil if it
// has none.
func (f *forwarder) longestIdle(p flow.PeerID) *UDPRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.byPeer[p]
	if l == nil {
		return nil
	}
	for range min(secondChances, l.Len()-1) {
		r := l.Front().Value.(*UDPRequest)
		used := r.used.Load()
		if used == r.queued {
			return r
		}
		r.queued = used
		l.MoveToBack(r.place)
	}
	return l.Front().Value.(*UDPRequest)
}

// connect makes the session's socket, which has the first datagram.
func (r *UDPRequest) connect(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	wq := new(waiter.Queue)
	ep, err := udp.NewForwarderRequest(r.f.ip, id, pkt).CreateEndpoint(wq)
	if err != nil {
		return false
	}
	c := newUDPConn(r.f.s, ep, wq, "udp")
	c.local, c.remote = net.UDPAddrFromAddrPort(r.Destination), net.UDPAddrFromAddrPort(r.Source)
	c.queue.alone, c.session = true, r
	(*arrivals)(c).NotifyEvent(0) // the datagram came before c listened
	c.register()
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.conn, r.queued = c, r.used.Load()
	idle := r.f.config.idle(r.Destination.Port())
	r.timer = time.AfterFunc(idle, func() { r.closeIfIdle(idle) })
	return true
}

func (r *UDPRequest) closeIfIdle(after time.Duration) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.place == nil {
		return // ended meanwhile
	}
	if left := after - time.Duration(sinceBegan()-r.used.Load()); left > 0 {
		r.timer.Reset(left)
		return
	}
	go r.conn.Close() // which locks f.mu
}

func (r *UDPRequest) serve(handler func(*UDPRequest)) {
	handler(r)
	r.Reject(syscall.ECONNREFUSED)
}

// touch notes that the session is in use. r may be nil.
func (r *UDPRequest) touch() {
	if r != nil {
		r.used.Store(sinceBegan())
	}
}

// end gives the session's place back. It is called once the socket is closed,
// or was not made. r may be nil.
func (r *UDPRequest) end() {
	if r == nil {
		return
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.place == nil {
		return
	}
	l := r.f.byPeer[r.peer]
	if l.Remove(r.place); l.Len() == 0 {
		delete(r.f.byPeer, r.peer)
	}
	r.place = nil
	r.f.sessions.give(r.peer)
	if r.account != nil {
		r.account.release(sessionCost)
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.cancel()
}

// Context ends with the session: when that was idle, was rejected or gave its
// place to another one, when its UDPConn was closed, and when the Stack is.
func (r *UDPRequest) Context() context.Context { return r.ctx }

// Accept returns the session's socket, for the caller to close. Its LocalAddr
// is Destination, its RemoteAddr Source. Its calls return net.ErrClosed once
// the session has ended.
func (r *UDPRequest) Accept() (*UDPConn, error) {
	if r.answered.Swap(true) {
		return nil, r.conn.opError("accept", r.conn.remote, ErrAnswered)
	}
	return r.conn, nil
}

// Reject ends the session. The peer gets the ICMP error that err stands for:
// that the port, the host or the network cannot be reached, or that it is not
// allowed. With any other error, and nil, it gets none. After an answer, Reject
// does nothing.
func (r *UDPRequest) Reject(err error) {
	if r.answered.Swap(true) {
		return
	}
	r.refuse(err)
	r.conn.Close()
}

// refuse answers the session's first datagram with the ICMP error for err, if
// there is one.
func (r *UDPRequest) refuse(err error) {
	u := unreachableFor(err)
	if isRefused(err) {
		u = noPort
	}
	r.f.refuse(r.Source.Addr(), r.Destination.Addr(), r.head, u)
}
