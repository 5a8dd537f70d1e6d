package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"tstun/flow"
)

// openingTimeout is how long a peer is taken to wait for an answer to its SYN:
// as long as Linux does (tcp(7), tcp_syn_retries).
const openingTimeout = 127 * time.Second

// ErrAnswered is that a request was accepted or rejected before.
var ErrAnswered = errors.New("netstack: the request was answered before")

// TCPRequest is a connection that a peer wants to open to an address that is
// forwarded. The peer waits for the handler's answer: Accept or Reject. A
// handler that returns without one refuses.
type TCPRequest struct {
	// Source is the peer's address, Destination the one that it wants.
	Source, Destination netip.AddrPort

	f       *forwarder
	id      stack.TransportEndpointID
	peer    flow.PeerID
	handler func(*TCPRequest)
	syn     uint32 // the sequence number
	head    []byte // the packet's headers, for an ICMP error to quote
	request *tcp.ForwarderRequest

	ctx      context.Context
	cancel   context.CancelFunc
	answered atomic.Bool
}

// tcpPacket is the stack's for a segment of no connection. It reports false if
// that is to be answered with a reset.
func (f *forwarder) tcpPacket(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	h := header.TCP(pkt.TransportHeader().Slice())
	if why := tcpProblem(pkt); why != noReason {
		return f.s.counters.stray(why)
	}
	resets := h.Flags()&header.TCPFlagRst != 0
	opens := !resets && h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.opening[id]; r != nil {
		if resets || opens && h.SequenceNumber() != r.syn {
			r.cancel() // the peer gave up, and may have begun anew
		}
		return true
	}
	if !opens {
		return f.s.counters.stray(noReason)
	}
	return f.open(id, pkt, h.SequenceNumber())
}

// open begins a request, or counts and reports that there is no room. f.mu is
// held.
func (f *forwarder) open(id stack.TransportEndpointID, pkt *stack.PacketBuffer, seq uint32) bool {
	r := &TCPRequest{Source: source(id), Destination: destination(id), f: f, id: id, syn: seq, head: heads(pkt)}
	rule := f.rules.tcp(r.Destination)
	if rule == nil {
		return f.s.counters.stray(noReason)
	}
	r.handler = rule.TCP
	if r.peer = f.s.memory.owner(r.Source.Addr()); !f.openings.take(r.peer) {
		f.s.counters.drop(ReasonForward, 1)
		return false
	}
	r.ctx, r.cancel = context.WithTimeout(f.ctx, openingTimeout)
	f.opening[id] = r
	return f.opener.HandlePacket(id, pkt)
}

// heads returns a copy of the headers.
func heads(pkt *stack.PacketBuffer) []byte {
	return append(append([]byte(nil), pkt.NetworkHeader().Slice()...), pkt.TransportHeader().Slice()...)
}

// serveTCP runs in a goroutine of its own.
func (f *forwarder) serveTCP(request *tcp.ForwarderRequest) {
	f.mu.Lock()
	r := f.opening[request.ID()]
	r.request = request
	f.mu.Unlock()
	r.handler(r)
	r.Reject(syscall.ECONNREFUSED)
}

// Context ends when the peer gives up, when the request was answered, and when
// the Stack is closed.
func (r *TCPRequest) Context() context.Context { return r.ctx }

// Accept completes the connection and returns it, for the caller to close. Its
// LocalAddr is Destination, its RemoteAddr Source.
func (r *TCPRequest) Accept() (*TCPConn, error) {
	c, err := r.accept()
	if err != nil {
		return nil, opError("accept", "tcp", net.TCPAddrFromAddrPort(r.Source), net.TCPAddrFromAddrPort(r.Destination), err)
	}
	return c, nil
}

func (r *TCPRequest) accept() (*TCPConn, error) {
	if r.answered.Swap(true) {
		return nil, ErrAnswered
	}
	defer r.end(false)
	if !r.f.beginAccept() {
		return nil, net.ErrClosed
	}
	defer r.f.endAccept()
	if r.ctx.Err() != nil {
		return nil, contextError(r.ctx)
	}
	wq := new(waiter.Queue)
	ep, err := r.request.CreateEndpoint(wq)
	if err != nil {
		return nil, stackError("accept", err)
	}
	return accepted(r.f.s, ep, wq, "tcp", net.KeepAliveConfig{Enable: true}), nil
}

// beginAccept reports false if the forwarder is closed. endAccept follows it.
func (f *forwarder) beginAccept() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.accepting++
	return true
}

func (f *forwarder) endAccept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepting--
}

// endAccepts ends all Accepts and keeps further ones from beginning. An Accept
// waits in gVisor for the peer, and until gVisor has registered its endpoint
// there is nothing that could be told to give up.
func (f *forwarder) endAccepts() {
	for f.closeAccepts() > 0 {
		for _, ep := range f.ip.RegisteredEndpoints() {
			ep.Abort()
		}
		time.Sleep(time.Millisecond)
	}
}

// closeAccepts returns how many have begun and not ended.
func (f *forwarder) closeAccepts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.accepting
}

// Reject refuses the connection as the way beyond did: with an ICMP error if
// err says that host or network cannot be reached, or that it is not allowed,
// and with a reset otherwise, also if it is nil. After an answer it does
// nothing.
func (r *TCPRequest) Reject(err error) {
	if r.answered.Swap(true) {
		return
	}
	r.end(!r.f.refuse(r.Source.Addr(), r.Destination.Addr(), r.head, unreachableFor(err)))
}

// end gives the request's place back. The order counts: gVisor's forwarder
// takes a SYN of the same connection only after Complete.
func (r *TCPRequest) end(reset bool) {
	r.request.Complete(reset && !r.f.s.closing.Load())
	r.cancel()
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	delete(r.f.opening, r.id)
	r.f.openings.give(r.peer)
}
