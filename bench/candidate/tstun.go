package candidate

import (
	"fmt"
	"net/netip"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/packet"
)

// Tstun wraps dev, which the Wrapper owns from then on, also on an error.
func Tstun(dev tun.Device, s Setup) (*tstun.Wrapper, error) {
	w := tstun.Wrap(nil, dev)
	host := netip.PrefixFrom(s.Host, s.Host.BitLen())
	cfg := filter.Config{Local: []netip.Prefix{host}}
	for _, r := range s.rules() {
		cfg.Matches = append(cfg.Matches, filter.Match{
			IPProto: protocols,
			Srcs:    []netip.Prefix{r.src},
			Dsts:    []filter.NetPortRange{{Net: host, Ports: filter.PortRange{First: r.first, Last: r.last}}},
		})
	}
	f, err := filter.New(cfg)
	if err != nil {
		w.Close()
		return nil, err
	}
	w.SetFilter(f)
	w.SetStatisticsEnabled(s.Statistics)
	if s.Hook {
		accept := func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Accept }
		w.PostFilterIn, w.PostFilterOut = accept, accept
	}
	return w, nil
}

// Policy returns the rules as a policy file.
func (s Setup) Policy() []byte {
	b := fmt.Appendf(nil, "{\"local\": %q, \"accept\": [\n", s.Host)
	for _, r := range s.rules() {
		b = fmt.Appendf(b, "\t{\"proto\": [\"tcp\", \"udp\"], \"src\": \"%v\", \"dst\": \"%v:%d-%d\"},\n", r.src, s.Host, r.first, r.last)
		b = fmt.Appendf(b, "\t{\"proto\": \"icmp\", \"src\": \"%v\", \"dst\": \"%v\"},\n", r.src, s.Host)
	}
	return append(b, "]}\n"...)
}
