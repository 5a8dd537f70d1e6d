package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// A Dialer opens connections of a Stack as a net.Dialer does. The zero value
// of each field but Stack is the default. All methods may be called from any
// goroutine.
type Dialer struct {
	// Stack is whose connections they are.
	Stack *Stack
	// Timeout and Deadline bound the opening, each if it is not zero. With a
	// Timeout below 0 it fails at once.
	Timeout  time.Duration
	Deadline time.Time
	// LocalAddr is where connections come from: a *net.TCPAddr or a
	// *net.UDPAddr, as the network is. Nil: an address and a port are chosen.
	LocalAddr net.Addr
	// FallbackDelay is how long a name's addresses of the first one's IP
	// version are tried alone (RFC 8305). 0: 300 ms. Less: the others are
	// tried only after all of these have failed.
	FallbackDelay time.Duration
	// KeepAlive is how long a TCP connection is idle before its first probe.
	// 0: 15 s. Less: there are none.
	KeepAlive time.Duration
	// KeepAliveConfig counts instead of KeepAlive if it is enabled.
	KeepAliveConfig net.KeepAliveConfig
	// Resolver finds the addresses of names. Nil: Config's.
	Resolver Lookup
}

// defaultFallbackDelay is RFC 8305's recommendation for slow networks, and
// package net's.
const defaultFallbackDelay = 300 * time.Millisecond

// DialContext opens a connection to address, an IP address or a name, and a
// port, such as "100.64.0.1:80", "[fd00::1]:80" or "web:http". network is one
// of tcp, tcp4, tcp6, udp, udp4 and udp6. ctx bounds the opening only.
//
// It is Dialer's with the defaults, so that it can serve an http.Transport.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&Dialer{Stack: s}).DialContext(ctx, network, address)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext is like Stack.DialContext. The connection is a *TCPConn or a
// *UDPConn.
//
// The error is a *net.OpError around the errors of packages syscall, net and
// context: a refusal is syscall.ECONNREFUSED, a closed Stack net.ErrClosed.
// That a UDP port is closed shows at a Read or Write after the Write that found
// out.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	all, err := d.resolve(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if network != string(overTCP) || d.FallbackDelay < 0 {
		return d.inTurn(ctx, network, all)
	}
	first, rest := byVersion(all)
	return d.race(ctx, network, first, rest)
}

// resolve returns what can be dialed from the local address.
func (d *Dialer) resolve(ctx context.Context, network, address string) ([]endpoint, error) {
	if _, err := parseNetwork(network); err == nil && address == "" {
		return nil, errMissingAddress
	}
	all, err := d.Stack.resolve(ctx, d.Resolver, network, address)
	if err != nil || d.LocalAddr == nil {
		return all, err
	}
	if d.LocalAddr.Network() != string(all[0].over) {
		return nil, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()}
	}
	from := d.from().Addr()
	if from.IsValid() && !from.IsUnspecified() {
		all = slices.DeleteFunc(all, func(e endpoint) bool { return e.addr.Addr().IsValid() && e.addr.Addr().Is4() != from.Is4() })
	}
	if len(all) == 0 {
		return nil, noSuitableAddress(d.LocalAddr.String())
	}
	return all, nil
}

// bound returns ctx with the Dialer's own limits.
func (d *Dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	until := d.Deadline
	if d.Timeout != 0 {
		if t := time.Now().Add(d.Timeout); until.IsZero() || t.Before(until) {
			until = t
		}
	}
	if until.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until)
}

// byVersion divides the addresses into those of the first one's IP version and
// the others.
func byVersion(all []endpoint) (first, rest []endpoint) {
	for _, e := range all {
		if e.proto == all[0].proto {
			first = append(first, e)
		} else {
			rest = append(rest, e)
		}
	}
	return first, rest
}

// race tries rest too once first has failed or takes its time. The first
// connection wins; without any, first's error counts.
func (d *Dialer) race(ctx context.Context, network string, first, rest []endpoint) (net.Conn, error) {
	if len(rest) == 0 {
		return d.inTurn(ctx, network, first)
	}
	type result struct {
		conn  net.Conn
		err   error
		first bool
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, 2)
	start := func(es []endpoint, isFirst bool) {
		c, err := d.inTurn(ctx, network, es)
		results <- result{c, err, isFirst}
	}
	go start(first, true)
	fallback := time.NewTimer(orDefault(d.FallbackDelay, defaultFallbackDelay))
	defer fallback.Stop()
	running, started := 1, false
	var failed error
	for {
		select {
		case <-fallback.C:
			started = true
			running++
			go start(rest, false)
		case r := <-results:
			running--
			if r.err == nil {
				if running > 0 {
					go func() { closeConn((<-results).conn) }()
				}
				return r.conn, nil
			}
			if failed == nil || r.first {
				failed = r.err
			}
			if started && running == 0 {
				return nil, failed
			}
			if !started {
				fallback.Reset(0)
			}
		}
	}
}

func closeConn(c net.Conn) {
	if c != nil {
		c.Close()
	}
}

// inTurn tries one address after the other. The first one's error counts.
func (d *Dialer) inTurn(ctx context.Context, network string, es []endpoint) (net.Conn, error) {
	var failed error
	for i, e := range es {
		c, err := d.one(ctx, network, e, len(es)-i)
		if err == nil {
			return c, nil
		}
		if failed == nil {
			failed = opError("dial", network, d.LocalAddr, e.netAddr(), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// leastShare is the least time for one of several addresses, as package net
// has it.
const leastShare = 2 * time.Second

// one opens a connection to e, which is the first of so many addresses that
// are left: it gets its part of the time.
func (d *Dialer) one(ctx context.Context, network string, e endpoint, left int) (net.Conn, error) {
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	if until, ok := ctx.Deadline(); ok && left > 1 {
		part := max(time.Until(until)/time.Duration(left), leastShare)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, part)
		defer cancel()
	}
	if d.Stack.closing.Load() {
		return nil, net.ErrClosed
	}
	if !e.addr.Addr().IsValid() || e.addr.Addr().IsUnspecified() {
		return nil, errMissingAddress
	}
	if err := d.Stack.link.reach(e.addr.Addr()); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	from := fullAddress(d.from())
	if e.over == overTCP {
		return dialed(d.dialTCP(ctx, network, from, e))
	}
	return dialed(d.Stack.dialUDP(network, from, e))
}

// dialed makes a nil pointer a nil interface.
func dialed[C net.Conn](c C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// from returns the local address: the zero one if none is asked for.
func (d *Dialer) from() netip.AddrPort {
	var a netip.AddrPort
	switch local := d.LocalAddr.(type) {
	case *net.TCPAddr:
		a = local.AddrPort()
	case *net.UDPAddr:
		a = local.AddrPort()
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (d *Dialer) dialTCP(ctx context.Context, network string, from tcpip.FullAddress, e endpoint) (*TCPConn, error) {
	wq := new(waiter.Queue)
	ep, err := d.Stack.ip.NewEndpoint(tcp.ProtocolNumber, e.proto, wq)
	if err != nil {
		return nil, stackError("socket", err)
	}
	c := newTCPConn(d.Stack, ep, wq, network)
	if err := c.connect(ctx, from, e.full()); err != nil {
		c.Close()
		return nil, err
	}
	c.connected()
	setKeepAlive(ep, keepAlive(d.KeepAlive, d.KeepAliveConfig))
	return c, nil
}

// connect opens the connection.
func (c *TCPConn) connect(ctx context.Context, from, to tcpip.FullAddress) error {
	if from != (tcpip.FullAddress{}) {
		if err := c.ep.Bind(from); err != nil {
			return stackError("bind", err)
		}
	}
	err := c.ep.Connect(to)
	if _, started := err.(*tcpip.ErrConnectStarted); err != nil && !started {
		return stackError("connect", err)
	}
	stop := context.AfterFunc(ctx, c.wr.poke)
	defer stop()
	for {
		// The stack may have closed before it knew of the endpoint.
		if c.s.closing.Load() {
			return net.ErrClosed
		}
		switch state := tcp.EndpointState(c.ep.State()); state {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		default:
			if err := c.ep.LastError(); err != nil {
				return stackError("connect", err)
			}
			return nil
		}
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		c.wr.wait()
	}
}

var errMissingAddress = errors.New("missing address")
