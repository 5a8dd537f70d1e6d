package candidate

import (
	"net/netip"
	"sync"

	"github.com/tailscale/wireguard-go/tun"
	"go4.org/netipx"
	"tailscale.com/net/packet"
	"tailscale.com/net/tstun"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/logger"
	"tailscale.com/types/views"
	"tailscale.com/util/eventbus"
	"tailscale.com/util/usermetric"
	"tailscale.com/wgengine/filter"
	"tailscale.com/wgengine/filter/filtertype"

	ours "tstun/ipproto"
	"tstun/netlogtype"
)

// TailscaleWrapper is Tailscale's Wrapper with the event bus that it needs.
type TailscaleWrapper struct {
	*tstun.Wrapper
	bus *eventbus.Bus
}

// Close closes the Wrapper, its device, and the bus.
func (w *TailscaleWrapper) Close() error {
	defer w.bus.Close()
	return w.Wrapper.Close()
}

// Tailscale wraps dev, which the Wrapper owns from then on, also on an error.
func Tailscale(dev tun.Device, s Setup) (*TailscaleWrapper, error) {
	bus := eventbus.New()
	w := &TailscaleWrapper{tstun.Wrap(logger.Discard, dev, new(usermetric.Registry), bus), bus}
	f, err := tailscaleFilter(s)
	if err != nil {
		w.Close()
		return nil, err
	}
	w.SetFilter(f)
	if s.Statistics {
		w.SetConnectionCounter(new(connections).count)
	}
	if s.Hook {
		accept := func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Accept }
		// Its hook at the end of the inbound path is of another type.
		w.PreFilterPacketInboundFromWireGuard = accept
		w.PostFilterPacketOutboundToWireGuard = accept
	}
	w.Start()
	return w, nil
}

func tailscaleFilter(s Setup) (*filter.Filter, error) {
	host := netip.PrefixFrom(s.Host, s.Host.BitLen())
	var b netipx.IPSetBuilder
	b.AddPrefix(host)
	local, err := b.IPSet()
	if err != nil {
		return nil, err
	}
	var protos []ipproto.Proto
	for _, p := range protocols {
		protos = append(protos, ipproto.Proto(p))
	}
	var matches []filter.Match
	for _, r := range s.rules() {
		matches = append(matches, filter.Match{
			IPProto: views.SliceOf(protos),
			Srcs:    []netip.Prefix{r.src},
			Dsts:    []filtertype.NetPortRange{{Net: host, Ports: filter.PortRange{First: r.first, Last: r.last}}},
		})
	}
	return filter.New(matches, nil, local, local, nil, logger.Discard), nil
}

// connections counts per connection in a map under a lock, which is how
// Tailscale's daemon uses the callback. (Its own counter uploads what it
// counts, so it cannot run here.)
type connections struct {
	mu     sync.Mutex // guards counts
	counts map[netlogtype.Connection]netlogtype.Counts
}

func (c *connections) count(proto ipproto.Proto, src, dst netip.AddrPort, packets, bytes int, inbound bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[netlogtype.Connection]netlogtype.Counts)
	}
	conn := netlogtype.Connection{Proto: ours.Proto(proto), Src: src, Dst: dst}
	n := c.counts[conn]
	if inbound {
		n.RxPackets += uint64(packets)
		n.RxBytes += uint64(bytes)
	} else {
		n.TxPackets += uint64(packets)
		n.TxBytes += uint64(bytes)
	}
	c.counts[conn] = n
}
