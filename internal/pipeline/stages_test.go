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

// TestStagesSeePacketsOfARun: what the cache may not hide from a stage, it does
// not, and all else it does.
func TestStagesSeePacketsOfARun(t *testing.T) {
	accept := func(*packet.Parsed) filter.Response { return filter.Accept }
	type want struct{ udpIn, tcpIn, udpOut, tcpOut bool } // seen
	all := want{true, true, true, true}
	for name, tt := range map[string]struct {
		set  func(c *pipeline.Config)
		want want
	}{
		"nothing":       {func(*pipeline.Config) {}, want{}},
		"PreFilterIn":   {func(c *pipeline.Config) { c.Hooks.PreFilterIn = accept }, want{udpIn: true, tcpIn: true}},
		"PostFilterIn":  {func(c *pipeline.Config) { c.Hooks.PostFilterIn = accept }, want{udpIn: true, tcpIn: true}},
		"ToNetstack":    {func(c *pipeline.Config) { c.Hooks.ToNetstack = accept }, want{udpOut: true, tcpOut: true}},
		"ToEngine":      {func(c *pipeline.Config) { c.Hooks.ToEngine = accept }, want{udpOut: true, tcpOut: true}},
		"PostFilterOut": {func(c *pipeline.Config) { c.Hooks.PostFilterOut = accept }, want{udpOut: true, tcpOut: true}},
		"Activity":      {func(c *pipeline.Config) { c.Activity = map[netip.Addr]func(){host: func() {}} }, want{udpOut: true, tcpOut: true}},
		"Disco":         {func(c *pipeline.Config) { c.Disco = &ownKey }, want{udpIn: true, udpOut: true}},
		"all": {func(c *pipeline.Config) {
			c.Hooks.PreFilterIn, c.Hooks.PostFilterOut, c.Disco = accept, accept, &ownKey
		}, all},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &pipeline.Config{Filter: filter.NewAllowAll(nil), Hooks: new(pipeline.Hooks)}
			tt.set(cfg)
			tcp := func(src, dst netip.Addr) []byte {
				h := packet.TCPHeader{Src: netip.AddrPortFrom(src, 1), Dst: netip.AddrPortFrom(dst, 2), Flags: packet.TCPAck}
				return packet.Generate(h, []byte("x"))
			}
			got := want{
				udpIn: isSeen(t, cfg, udp(peer, host, "x"), true), tcpIn: isSeen(t, cfg, tcp(peer, host), true),
				udpOut: isSeen(t, cfg, udp(host, peer, "x"), false), tcpOut: isSeen(t, cfg, tcp(host, peer), false),
			}
			if got != tt.want {
				t.Errorf("seen: %+v, want %+v", got, tt.want)
			}
		})
	}
}

// isSeen reports whether the stages see a packet of a flow that the cache knows.
func isSeen(t *testing.T, cfg *pipeline.Config, pkt []byte, inbound bool) bool {
	t.Helper()
	var cache pipeline.VerdictCache
	f := &pipeline.Frame{Config: cfg, Now: 1}
	for range 3 {
		f.Packet.Decode(pkt)
		v, seen := filter.Verdict{}, false
		if inbound {
			v, seen = f.Inbound(), f.SeesIn()
		} else {
			v, seen = f.Outbound(), f.SeesOut()
		}
		if v.Response != filter.Accept {
			t.Fatalf("%+v", v)
		}
		cache.Fill(f, seen)
	}
	if cache.Lookup(pkt) != len(pkt) {
		t.Fatal("the cache does not know the packet")
	}
	return !cache.Unseen
}
