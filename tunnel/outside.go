package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"tstun/tunnel/internal/hostnet"
)

// outside finds names while a tunnel stands in the host's network: of the name
// servers that the host had before, by sockets with the tunnel's mark, so that
// neither the tunnel's servers nor its routes are in the way. /etc/hosts comes
// first, as nsswitch.conf(5) says.
type outside struct {
	servers []netip.AddrPort // none: those of resolv.conf(5)
	mark    func() uint32
}

func (t *Tunnel) newOutside() *outside {
	return &outside{hostnet.Nameservers(), func() uint32 {
		s, _ := stateOf(t.wg) // fails only where it cannot write to memory
		return s.mark
	}}
}

// serverTime is how long one server is waited for, with two questions of the
// 5 s that resolv.conf(5) has.
const serverTime = 10 * time.Second

// LookupNetIP implements netstack.Lookup. What a server does not know, the next
// is not asked for.
func (o *outside) LookupNetIP(ctx context.Context, network, host string) (addrs []netip.Addr, err error) {
	if len(o.servers) == 0 {
		return o.ask(ctx, "", network, host)
	}
	var errs []error
	for _, server := range o.servers {
		addrs, err = o.ask(ctx, server.String(), network, host)
		var dns *net.DNSError
		if err == nil || errors.As(err, &dns) && dns.IsNotFound {
			return addrs, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ask asks a server, or without one those of resolv.conf.
func (o *outside) ask(ctx context.Context, server, network, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	d := net.Dialer{Control: hostnet.MarkSocket(o.mark())}
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, configured string) (net.Conn, error) {
		if server == "" {
			server = configured
		}
		return d.DialContext(ctx, network, server)
	}}
	return r.LookupNetIP(ctx, network, host)
}

// LookupPort implements netstack.Lookup.
func (*outside) LookupPort(ctx context.Context, network, service string) (int, error) {
	return net.DefaultResolver.LookupPort(ctx, network, service)
}
