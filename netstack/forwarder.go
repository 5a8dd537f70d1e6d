package netstack

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// forwarder has the connections and sessions to addresses that are not the
// stack's own. They are in a stack beside: one that takes any address as its
// own takes every source address for its own as well, and a listener without an
// address would get what is to be forwarded.
type forwarder struct {
	config Forward
	rules  *forwardRules
	s      *Stack
	ip     *stack.Stack
	own    *link // of the stack itself
	link   *link
	opener *tcp.Forwarder

	ctx    context.Context // ends with the stack
	cancel context.CancelFunc

	mu        sync.Mutex // guards all below
	closed    bool       // no Accept begins
	accepting int        // Accepts that have not returned
	opening   map[stack.TransportEndpointID]*TCPRequest
	openings  share
	sessions  share
	byPeer    map[flow.PeerID]*list.List // of *UDPRequest, the longest idle ones first, or nearly so

	pinging    sync.Mutex // guards all below
	pings      share      // at once
	pingsNow   share      // in the second
	pingSecond int64
}

func newForwarder(s *Stack, w *tstun.Wrapper, mtu int, c Forward) (*forwarder, error) {
	f := &forwarder{
		config: c, rules: newForwardRules(c.Rules), s: s, ip: newIP(false), own: s.link,
		opening: make(map[stack.TransportEndpointID]*TCPRequest), openings: newShare(c.Opening),
		sessions: newShare(c.Sessions), byPeer: make(map[flow.PeerID]*list.List),
		pings: newShare(maxPings), pingsNow: newShare(maxPingRate),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.link = newLink(w, mtu, Config{Host: s.link.host}, s, nil, forwardInbox)
	if err := f.setUp(); err != nil {
		f.ip.Destroy()
		return nil, fmt.Errorf("forward: %w", err)
	}
	return f, nil
}

func (f *forwarder) setUp() error {
	if err := attach(f.ip, f.link); err != nil {
		return err
	}
	if err := f.ip.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("take any address: %s", err)
	}
	if err := f.ip.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("send from any address: %s", err)
	}
	// The bound is the forwarder's, not gVisor's, which drops what exceeds it.
	f.opener = tcp.NewForwarder(f.ip, defaultTCPBuffer, math.MaxInt, f.serveTCP)
	f.ip.SetTransportProtocolHandler(tcp.ProtocolNumber, f.tcpPacket)
	f.ip.SetTransportProtocolHandler(udp.ProtocolNumber, f.udpPacket)
	return nil
}

// fromPeer takes the packets from peers that a rule covers. Multicast and
// broadcast go on to the device.
func (f *forwarder) fromPeer(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
	to := p.Dst.Addr()
	if f.own.isOwn(to) || f.own.isHost(to) || !p.BetweenHosts() {
		return filter.Accept
	}
	if p.IsEchoRequest() {
		return f.echo(p)
	}
	if !f.covers(p) {
		return filter.Accept
	}
	// Only a forged packet comes from the host's or the stack's own address.
	if from := p.Src.Addr(); f.own.isOwn(from) || f.own.isHost(from) {
		return filter.Drop
	}
	return f.link.take(p)
}

// covers reports whether a packet is to be forwarded, or is about one that was.
func (f *forwarder) covers(p *packet.Parsed) bool {
	switch {
	case p.IsError():
		var q packet.Parsed
		return p.Quoted(&q) && f.rule(q.IPProto, q.Src) != nil
	case p.IPProto == ipproto.Fragment:
		_, known := f.rules.table.Lookup(p.Dst.Addr())
		return known && (p.IPVersion == 6 || p.Proto() == ipproto.UDP || p.Proto() == ipproto.TCP)
	}
	return f.rule(p.IPProto, p.Dst) != nil
}

func (f *forwarder) rule(proto ipproto.Proto, to netip.AddrPort) *ForwardRule {
	switch proto {
	case ipproto.TCP:
		return f.rules.tcp(to)
	case ipproto.UDP:
		return f.rules.udp(to)
	}
	return nil
}

// close ends all connections and sessions. None begins once packets are no
// longer delivered.
func (f *forwarder) close() {
	f.cancel()
	f.link.inbox.close()
	<-f.link.delivered
	for _, r := range f.allSessions() {
		r.conn.Close()
		r.end() // a handler may be about to
	}
	f.endAccepts()
	f.ip.Destroy()
}

func (f *forwarder) allSessions() (all []*UDPRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.byPeer {
		for e := l.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*UDPRequest))
		}
	}
	return all
}

// source and destination return the two ends of a packet or connection that
// the stack has.
func source(id stack.TransportEndpointID) netip.AddrPort {
	return addrPort(tcpip.FullAddress{Addr: id.RemoteAddress, Port: id.RemotePort})
}

func destination(id stack.TransportEndpointID) netip.AddrPort {
	return addrPort(tcpip.FullAddress{Addr: id.LocalAddress, Port: id.LocalPort})
}

// now returns how many connections wait for an answer, and how many sessions
// there are.
func (f *forwarder) now() (opening, sessions int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.openings.taken, f.sessions.taken
}
