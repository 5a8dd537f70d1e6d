package up

import (
	"context"
	"net"
	"net/netip"

	"tstun/cmd/tstun/internal/proxy"
	"tstun/tunnel"
)

// through is a tunnel as a proxy's Network.
type through struct {
	*tunnel.Tunnel
	ctx context.Context
}

func (n through) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return n.Lookup().LookupNetIP(ctx, network, host)
}

func (n through) Listen(network, address string) (net.Listener, error) {
	return n.Tunnel.Listen(n.ctx, network, address)
}

func (n through) ListenPacket(network, address string) (net.PacketConn, error) {
	return n.Tunnel.ListenPacket(n.ctx, network, address)
}

// Network returns a tunnel as a proxy's Network, whose listeners are opened under
// ctx.
func Network(ctx context.Context, t *tunnel.Tunnel) proxy.Network { return through{t, ctx} }
