package pipeline_test

import (
	"net/netip"
	"slices"
	"testing"

	"tstun/filter"
	"tstun/internal/pipeline"
	"tstun/internal/rig/craft"
	"tstun/key"
	"tstun/packet"
)

// A verdict is a function of configuration, packet and time: this test has
// neither device nor queue nor clock.

type stagesCase struct {
	name   string
	hooks  map[string]filter.Response // those not named accept
	filter *filter.Filter
	disco  key.DiscoPublic
	pkt    []byte
	want   filter.Verdict // zero: accept
	order  []string       // hooks that ran
}

var (
	host   = craft.Host4
	peer   = craft.Peer4
	ownKey = key.DiscoPublicFromRaw32([32]byte{7})
)

func udp(src, dst netip.Addr, payload string) []byte { return craft.UDP(src, 1, dst, 2, payload) }

func discoPacket(src, dst netip.Addr) []byte {
	raw := ownKey.Raw32()
	return udp(src, dst, "TS\xf0\x9f\x92\xac"+string(raw[:])+string(make([]byte, 24)))
}

func (c stagesCase) run(t *testing.T, inbound bool) {
	var order []string
	hook := func(name string) pipeline.Hook {
		return func(*packet.Parsed) filter.Response {
			order = append(order, name)
			if res, ok := c.hooks[name]; ok {
				return res
			}
			return filter.Accept
		}
	}
	cfg := &pipeline.Config{Filter: c.filter, Hooks: &pipeline.Hooks{
		PreFilterIn:   hook("pre-in"),
		PostFilterIn:  hook("post-in"),
		ToNetstack:    hook("netstack"),
		ToEngine:      hook("engine"),
		PostFilterOut: hook("post-out"),
	}}
	if !c.disco.IsZero() {
		cfg.Disco = &c.disco
	}
	f := &pipeline.Frame{Config: cfg, Now: 1}
	f.Packet.Decode(c.pkt)
	got, want := filter.Verdict{}, c.want
	if inbound {
		got = f.Inbound()
	} else {
		got = f.Outbound()
	}
	if want == (filter.Verdict{}) {
		want = filter.Verdict{Response: filter.Accept}
	}
	if got != want || !slices.Equal(order, c.order) {
		t.Errorf("%s: %+v after %v, want %+v after %v", c.name, got, order, want, c.order)
	}
}

func drop(r filter.Reason) filter.Verdict { return filter.Verdict{Response: filter.Drop, Reason: r} }

// silent is drop for packets that are everyday noise.
func silent(r filter.Reason) filter.Verdict {
	return filter.Verdict{Response: filter.DropSilently, Reason: r}
}

var taken = filter.Verdict{Response: filter.Handled}

func TestOutbound(t *testing.T) {
	all := filter.NewAllowAll(nil)
	pkt := udp(host, peer, "x")
	ping := packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: host, Dst: peer}}, nil)
	for _, c := range []stagesCase{
		{name: "passes", filter: all, pkt: pkt, order: []string{"netstack", "engine", "post-out"}},
		{name: "malformed", filter: all, pkt: pkt[:10], want: drop(filter.ReasonMalformed)},
		{name: "TSMP", filter: all, pkt: ping, want: drop(filter.ReasonHostTSMP)},
		{name: "own disco", filter: all, disco: ownKey, pkt: discoPacket(host, peer), want: drop(filter.ReasonOwnDisco)},
		{name: "another's disco", filter: all, pkt: discoPacket(host, peer), order: []string{"netstack", "engine", "post-out"}},
		{name: "netstack takes", filter: all, pkt: pkt, hooks: map[string]filter.Response{"netstack": filter.Handled}, want: taken, order: []string{"netstack"}},
		{name: "engine drops", filter: all, pkt: pkt, hooks: map[string]filter.Response{"engine": filter.DropSilently}, want: drop(filter.ReasonHook), order: []string{"netstack", "engine"}},
		{name: "no filter", pkt: pkt, want: drop(filter.ReasonNoFilter), order: []string{"netstack", "engine"}},
		{name: "filter drops", filter: all, pkt: udp(host, netip.MustParseAddr("224.0.0.1"), "x"), want: silent(filter.ReasonMulticast), order: []string{"netstack", "engine"}},
		{name: "last hook drops", filter: all, pkt: pkt, hooks: map[string]filter.Response{"post-out": filter.Drop}, want: drop(filter.ReasonHook), order: []string{"netstack", "engine", "post-out"}},
	} {
		c.run(t, false)
	}
}

func TestInbound(t *testing.T) {
	all, none := filter.NewAllowAll(nil), filter.NewAllowNone(nil)
	pkt := udp(peer, host, "x")
	header := packet.IPHeader{Src: peer, Dst: host}
	for _, c := range []stagesCase{
		{name: "passes", filter: all, pkt: pkt, order: []string{"pre-in", "post-in"}},
		{name: "malformed", filter: all, pkt: pkt[:10], want: drop(filter.ReasonMalformed)},
		{name: "ping", pkt: packet.Generate(packet.TSMPPing{IPHeader: header}, nil), want: taken},
		{name: "pong", pkt: packet.Generate(packet.TSMPPongReply{IPHeader: header}, nil), want: taken},
		{name: "bad TSMP", filter: all, pkt: packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: 99}, []byte("zzzzzzz")), want: drop(filter.ReasonBadTSMP)},
		{name: "own disco", filter: all, disco: ownKey, pkt: discoPacket(peer, host), want: drop(filter.ReasonOwnDisco)},
		{name: "first hook drops", filter: all, pkt: pkt, hooks: map[string]filter.Response{"pre-in": filter.Drop}, want: drop(filter.ReasonHook), order: []string{"pre-in"}},
		{name: "no filter", pkt: pkt, want: drop(filter.ReasonNoFilter), order: []string{"pre-in"}},
		{name: "filter drops", filter: none, pkt: pkt, want: drop(filter.ReasonNoRule), order: []string{"pre-in"}},
		{name: "last hook takes", filter: all, pkt: pkt, hooks: map[string]filter.Response{"post-in": filter.Handled}, want: taken, order: []string{"pre-in", "post-in"}},
	} {
		c.run(t, true)
	}
}
