package netstack

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// listeners are those that are open. gVisor's SO_REUSEADDR, which lets a port
// be listened on while connections of an old listener are still there, lets two
// listeners have it too; Linux' does not (inet_csk_get_port), so neither does
// this.
type listeners struct {
	mu   sync.RWMutex
	open map[uint16][]*TCPListener // by port
}

// bind binds l to e, and to a free port if e has none.
func (ls *listeners) bind(l *TCPListener, e endpoint) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if e.addr.Port() == 0 {
		var err error
		if e, err = l.s.freePort(e); err != nil {
			return err
		}
	}
	port := e.addr.Port()
	for _, other := range ls.open[port] {
		if e.overlaps(other.at) {
			return os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
	}
	l.ep.SocketOptions().SetReuseAddress(true)
	if err := l.ep.Bind(e.full()); err != nil {
		return stackError("bind", err)
	}
	if ls.open == nil {
		ls.open = make(map[uint16][]*TCPListener)
	}
	l.at = e
	ls.open[port] = append(ls.open[port], l)
	return nil
}

// freePort returns e with a port that nothing else uses.
func (s *Stack) freePort(e endpoint) (endpoint, error) {
	ep, err := s.ip.NewEndpoint(tcp.ProtocolNumber, e.proto, new(waiter.Queue))
	if err != nil {
		return e, stackError("socket", err)
	}
	defer ep.Close()
	ep.SocketOptions().SetV6Only(e.v6Only)
	if err := ep.Bind(e.full()); err != nil {
		return e, stackError("bind", err)
	}
	a, err := ep.GetLocalAddress()
	if err != nil {
		return e, stackError("getsockname", err)
	}
	e.addr = netip.AddrPortFrom(e.addr.Addr(), a.Port)
	return e, nil
}

// overlaps reports whether a packet to the port of both could be for both.
func (e endpoint) overlaps(o endpoint) bool {
	if e.isAny() || o.isAny() {
		return e.takes4() && o.takes4() || e.takes6() && o.takes6()
	}
	return e.addr.Addr() == o.addr.Addr()
}

func (e endpoint) isAny() bool  { return !e.addr.Addr().IsValid() || e.addr.Addr().IsUnspecified() }
func (e endpoint) takes4() bool { return e.proto == protocol4 || !e.v6Only }
func (e endpoint) takes6() bool { return e.proto == protocol6 }

// remove forgets l, which bind may have refused.
func (ls *listeners) remove(l *TCPListener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	port := l.at.addr.Port()
	rest := slices.DeleteFunc(ls.open[port], func(o *TCPListener) bool { return o == l })
	if len(rest) == 0 {
		delete(ls.open, port)
		return
	}
	ls.open[port] = rest
}

// isFull reports whether the listener at a has as many connections waiting as
// it may. Nil has none.
func (ls *listeners) isFull(a netip.AddrPort) bool {
	if ls == nil {
		return false
	}
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	for _, l := range ls.open[a.Port()] {
		if l.at.takes(a.Addr()) {
			return l.isFull()
		}
	}
	return false
}

// takes reports whether a packet to a could be for e.
func (e endpoint) takes(a netip.Addr) bool {
	if e.isAny() {
		return a.Is4() && e.takes4() || a.Is6() && e.takes6()
	}
	return e.addr.Addr() == a
}
