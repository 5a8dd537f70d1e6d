package tstun

import (
	"net/netip"
	"slices"
	"testing"

	"tstun/filter"
	"tstun/key"
	"tstun/packet"
)

// The path is a function of configuration, packet and time: this test has
// neither device nor queue nor clock.

type pathCase struct {
	name   string
	hooks  map[string]filter.Response // those not named accept
	filter *filter.Filter
	disco  key.DiscoPublic
	pkt    []byte
	want   outcome
	order  []string // hooks that ran
}

var (
	pathHost = netip.MustParseAddr("100.64.0.1")
	pathPeer = netip.MustParseAddr("100.64.0.2")
	pathKey  = key.DiscoPublicFromRaw32([32]byte{7})
)

func pathUDP(src, dst netip.Addr, payload string) []byte {
	return packet.Generate(packet.UDPHeader{Src: netip.AddrPortFrom(src, 1), Dst: netip.AddrPortFrom(dst, 2)}, []byte(payload))
}

func pathDisco(src, dst netip.Addr) []byte {
	raw := pathKey.Raw32()
	return pathUDP(src, dst, "TS\xf0\x9f\x92\xac"+string(raw[:])+string(make([]byte, 24)))
}

func (c pathCase) run(t *testing.T, inbound bool) {
	var order []string
	hook := func(name string) FilterFunc {
		return func(*packet.Parsed, *Wrapper) filter.Response {
			order = append(order, name)
			if res, ok := c.hooks[name]; ok {
				return res
			}
			return filter.Accept
		}
	}
	w := &Wrapper{
		PreFilterIn:                hook("pre-in"),
		PostFilterIn:               hook("post-in"),
		PreFilterFromTunToNetstack: hook("netstack"),
		PreFilterFromTunToEngine:   hook("engine"),
		PostFilterOut:              hook("post-out"),
	}
	b := &batch{w: w, cfg: &config{filter: c.filter}, now: 1}
	if !c.disco.IsZero() {
		b.cfg.disco = &c.disco
	}
	b.p.Decode(c.pkt)
	got := outcome{}
	if inbound {
		got = b.inbound()
	} else {
		got = b.outbound()
	}
	if got != c.want || !slices.Equal(order, c.order) {
		t.Errorf("%s: %+v after %v, want %+v after %v", c.name, got, order, c.want, c.order)
	}
}

func TestOutboundPath(t *testing.T) {
	all := filter.NewAllowAll(nil)
	pkt := pathUDP(pathHost, pathPeer, "x")
	ping := packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: pathHost, Dst: pathPeer}}, nil)
	for _, c := range []pathCase{
		{name: "passes", filter: all, pkt: pkt, order: []string{"netstack", "engine", "post-out"}},
		{name: "malformed", filter: all, pkt: pkt[:10], want: drop(filter.ReasonMalformed)},
		{name: "TSMP", filter: all, pkt: ping, want: drop(filter.ReasonHostTSMP)},
		{name: "own disco", filter: all, disco: pathKey, pkt: pathDisco(pathHost, pathPeer), want: drop(filter.ReasonOwnDisco)},
		{name: "another's disco", filter: all, pkt: pathDisco(pathHost, pathPeer), order: []string{"netstack", "engine", "post-out"}},
		{name: "netstack takes", filter: all, pkt: pkt, hooks: map[string]filter.Response{"netstack": filter.Handled}, want: outcome{fate: taken}, order: []string{"netstack"}},
		{name: "engine drops", filter: all, pkt: pkt, hooks: map[string]filter.Response{"engine": filter.DropSilently}, want: drop(filter.ReasonHook), order: []string{"netstack", "engine"}},
		{name: "no filter", pkt: pkt, want: drop(filter.ReasonNoFilter), order: []string{"netstack", "engine"}},
		{name: "filter drops", filter: all, pkt: pathUDP(pathHost, netip.MustParseAddr("224.0.0.1"), "x"), want: drop(filter.ReasonMulticast), order: []string{"netstack", "engine"}},
		{name: "last hook drops", filter: all, pkt: pkt, hooks: map[string]filter.Response{"post-out": filter.Drop}, want: drop(filter.ReasonHook), order: []string{"netstack", "engine", "post-out"}},
	} {
		c.run(t, false)
	}
}

func TestInboundPath(t *testing.T) {
	all, none := filter.NewAllowAll(nil), filter.NewAllowNone(nil)
	pkt := pathUDP(pathPeer, pathHost, "x")
	header := packet.IPHeader{Src: pathPeer, Dst: pathHost}
	for _, c := range []pathCase{
		{name: "passes", filter: all, pkt: pkt, order: []string{"pre-in", "post-in"}},
		{name: "malformed", filter: all, pkt: pkt[:10], want: drop(filter.ReasonMalformed)},
		{name: "ping", pkt: packet.Generate(packet.TSMPPing{IPHeader: header}, nil), want: outcome{fate: taken}},
		{name: "pong", pkt: packet.Generate(packet.TSMPPongReply{IPHeader: header}, nil), want: outcome{fate: taken}},
		{name: "bad TSMP", filter: all, pkt: packet.Generate(packet.IPHeader{Src: pathPeer, Dst: pathHost, Proto: 99}, []byte("zzzzzzz")), want: drop(filter.ReasonBadTSMP)},
		{name: "own disco", filter: all, disco: pathKey, pkt: pathDisco(pathPeer, pathHost), want: drop(filter.ReasonOwnDisco)},
		{name: "first hook drops", filter: all, pkt: pkt, hooks: map[string]filter.Response{"pre-in": filter.Drop}, want: drop(filter.ReasonHook), order: []string{"pre-in"}},
		{name: "no filter", pkt: pkt, want: drop(filter.ReasonNoFilter), order: []string{"pre-in"}},
		{name: "filter drops", filter: none, pkt: pkt, want: drop(filter.ReasonNoRule), order: []string{"pre-in"}},
		{name: "last hook takes", filter: all, pkt: pkt, hooks: map[string]filter.Response{"post-in": filter.Handled}, want: outcome{fate: taken}, order: []string{"pre-in", "post-in"}},
	} {
		c.run(t, true)
	}
}
