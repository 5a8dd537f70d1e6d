package tunnel

import (
	"context"
	"net"
	"net/netip"

	"tstun/netstack"
)

// dnsPort is that of DNS: RFC 1035 §4.2.
const dnsPort = 53

// lookup returns who finds names for DialContext. In userspace only the
// tunnel's servers are asked, and through the tunnel.
func (t *Tunnel) lookup(l *live) netstack.Lookup {
	if t.mode == ModeKernel {
		return net.DefaultResolver
	}
	r := &netstack.Resolver{Dial: t.stack.DialContext, Search: l.SearchDomains}
	for _, a := range l.DNS {
		r.Servers = append(r.Servers, netip.AddrPortFrom(a, dnsPort))
	}
	return r
}

// Lookup returns who finds the addresses of names for DialContext: in
// ModeUserspace the Config's DNS servers, through the tunnel, in ModeKernel the
// host's resolver.
func (t *Tunnel) Lookup() netstack.Lookup { return lookupNow{t} }

// lookupNow finds names as the Config in force has it.
type lookupNow struct{ t *Tunnel }

func (l lookupNow) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return l.t.now().dns.LookupNetIP(ctx, network, host)
}

func (l lookupNow) LookupPort(ctx context.Context, network, service string) (int, error) {
	return l.t.now().dns.LookupPort(ctx, network, service)
}

// DialContext opens a connection as net.Dialer does: in ModeUserspace through
// the tunnel, in ModeKernel as the host's routes go. After Close it fails with
// net.ErrClosed.
func (t *Tunnel) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch {
	case t.isClosed():
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	case t.stack == nil:
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return (&netstack.Dialer{Stack: t.stack, Resolver: t.now().dns}).DialContext(ctx, network, address)
}

// Listen accepts TCP connections to address as net.ListenConfig does: in
// ModeUserspace to the tunnel's addresses, in ModeKernel to the host's. Close
// ends what listens in userspace alone.
func (t *Tunnel) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	switch {
	case t.isClosed():
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.ErrClosed}
	case t.stack == nil:
		return new(net.ListenConfig).Listen(ctx, network, address)
	}
	return (&netstack.ListenConfig{Stack: t.stack}).Listen(ctx, network, address)
}

// ListenPacket receives UDP packets to address, which is like Listen's.
func (t *Tunnel) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	switch {
	case t.isClosed():
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.ErrClosed}
	case t.stack == nil:
		return new(net.ListenConfig).ListenPacket(ctx, network, address)
	}
	return (&netstack.ListenConfig{Stack: t.stack}).ListenPacket(ctx, network, address)
}
