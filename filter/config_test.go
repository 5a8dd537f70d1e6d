package filter_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

func TestNewErrors(t *testing.T) {
	good := rule(port(80))
	with := func(change func(*filter.Match)) filter.Config {
		bad := rule(port(80))
		change(&bad)
		return filter.Config{Matches: []filter.Match{good, good, bad}}
	}
	tests := []struct {
		want string
		in   filter.Config
	}{
		{"filter: rule 2: no Srcs", with(func(m *filter.Match) { m.Srcs = nil })},
		{"filter: rule 2: no Dsts", with(func(m *filter.Match) { m.Dsts = nil })},
		{"filter: rule 2: source 1: the prefix is not valid", with(func(m *filter.Match) {
			m.Srcs = append(nets("10.0.0.0/8"), netip.Prefix{})
		})},
		{"filter: rule 2: source 0: ::ffff:10.0.0.0/104 maps IPv4 addresses: name the IPv4 prefix instead",
			with(func(m *filter.Match) { m.Srcs = nets("::ffff:10.0.0.0/104") })},
		{"filter: rule 2: destination 0: the prefix is not valid", with(func(m *filter.Match) { m.Dsts[0].Net = netip.Prefix{} })},
		{"filter: rule 2: destination 1: port range 81-80 is empty", with(func(m *filter.Match) {
			m.Dsts[1].Ports = filter.PortRange{First: 81, Last: 80}
		})},
		{"filter: rule 2: destination 0: ports 80: gre has no ports, so the rule needs AllPorts", with(func(m *filter.Match) {
			m.IPProto = []ipproto.Proto{ipproto.TCP, ipproto.GRE}
		})},
		{"filter: rule 2: protocol unknown cannot be named by a rule", with(func(m *filter.Match) {
			m.IPProto = []ipproto.Proto{ipproto.Unknown}
		})},
		{"filter: rule 2: protocol fragment cannot be named by a rule", with(func(m *filter.Match) {
			m.IPProto = []ipproto.Proto{ipproto.TCP, ipproto.Fragment}
		})},
		{"filter: rule 2: no source is of the IP version of any destination, so it allows nothing", with(func(m *filter.Match) {
			m.Srcs, m.Dsts = nets("10.0.0.0/8", "100.64.0.0/10"), to(port(80), "fd7a::/48")
		})},
		{"filter: rule 2: no source is of the IP version of any destination, so it allows nothing", with(func(m *filter.Match) {
			m.Srcs, m.Dsts = nets("::/0"), to(port(80), "0.0.0.0/0")
		})},
		{"filter: rule 2: source 1: 10.0.0.1/8 has bits behind its length: name 10.0.0.0/8 or 10.0.0.1/32",
			with(func(m *filter.Match) { m.Srcs = nets("10.0.0.0/8", "10.0.0.1/8") })},
		{"filter: rule 2: destination 1: fd7a::1/64 has bits behind its length: name fd7a::/64 or fd7a::1/128",
			with(func(m *filter.Match) { m.Dsts[1].Net = netip.MustParsePrefix("fd7a::1/64") })},
		{"filter: Local[0]: 100.64.0.9/10 has bits behind its length: name 100.64.0.0/10 or 100.64.0.9/32",
			filter.Config{Local: nets("100.64.0.9/10")}},
		{"filter: LogIPs[1]: ::1/0 has bits behind its length: name ::/0 or ::1/128",
			filter.Config{LogIPs: nets("::/0", "::1/0")}},
		{"filter: rule 2: destination 1: no Ports, and tcp has ports: set them, or AllPorts",
			with(func(m *filter.Match) { m.Dsts[1].Ports = filter.PortRange{} })},
		{"filter: rule 2: destination 0: no Ports, and sctp has ports: set them, or AllPorts", with(func(m *filter.Match) {
			m.IPProto = []ipproto.Proto{ipproto.ICMPv4, ipproto.SCTP}
			m.Dsts[0].Ports = filter.PortRange{}
		})},
		{"filter: rule 2: destination 0: ports 0: gre has no ports, so the rule needs AllPorts", with(func(m *filter.Match) {
			m.IPProto = []ipproto.Proto{ipproto.GRE}
			m.Dsts[0].Ports = filter.PortRange{}
		})},
		{"filter: Local[1]: the prefix is not valid", filter.Config{Local: []netip.Prefix{local[0], {}}}},
		{"filter: LogIPs[0]: ::ffff:1.2.3.4/128 maps IPv4 addresses: name the IPv4 prefix instead",
			filter.Config{LogIPs: nets("::ffff:1.2.3.4/128")}},
		{"filter: Limits.Flows is -1, less than 0", filter.Config{Limits: filter.Limits{Flows: -1}}},
		{"filter: Limits.UDPReplied is -1s, not between 0 and 8760h0m0s",
			filter.Config{Limits: filter.Limits{UDPReplied: -time.Second}}},
		{"filter: Limits.TCPEstablished is 8761h0m0s, not between 0 and 8760h0m0s",
			filter.Config{Limits: filter.Limits{TCPEstablished: 8761 * time.Hour}}},
	}
	for _, tt := range tests {
		f, err := filter.New(tt.in)
		if f != nil || err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// Where the ports are not looked at, they need not be set.
func TestICMPNeedsNoPorts(t *testing.T) {
	m := rule(filter.PortRange{}, ipproto.ICMPv4, ipproto.ICMPv6)
	f := newFilter(t, filter.Config{Matches: []filter.Match{m}})
	expect(t, f, 0, ends4(1, 1).pingIn(1), none)
	expect(t, f, 0, ends6(1, 1).pingIn(1), none)
}

// A range that holds more than port 0 is one that somebody wrote.
func TestPortZeroInARange(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(filter.PortRange{First: 0, Last: 80})}})
	expect(t, f, 0, ends4(80, 1).udpIn(), none)
}

func TestHasLocal(t *testing.T) {
	for _, tt := range []struct {
		local []netip.Prefix
		want  bool
	}{{nil, false}, {[]netip.Prefix{}, false}, {nets("100.64.0.1/32"), true}, {nets("::/0"), true}} {
		f, err := filter.New(filter.Config{Local: tt.local})
		if err != nil || f.HasLocal() != tt.want {
			t.Errorf("Local %v: %v, %v", tt.local, f.HasLocal(), err)
		}
	}
}

// New keeps nothing of the caller's slices.
func TestNewCopies(t *testing.T) {
	m := rule(port(80), ipproto.UDP)
	m.Srcs = nets("0.0.0.0/0")
	c := filter.Config{Matches: []filter.Match{m}, Local: nets(host4 + "/32")}
	f := newFilter(t, c)
	m.Srcs[0], m.Dsts[0], m.IPProto[0], c.Local[0] = netip.Prefix{}, filter.NetPortRange{}, 1, netip.Prefix{}
	expect(t, f, 0, ends4(80, 1).udpIn(), none)
}

func TestZeroConfig(t *testing.T) {
	f, err := filter.New(filter.Config{})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, f, 0, ends4(80, 1).udpIn(), filter.ReasonNotLocal)
	expect(t, f, 0, ends4(80, 1).udpOut(), none)
}

func TestAllowAll(t *testing.T) {
	f := filter.NewAllowAll(nil)
	for _, family := range families {
		e := family.ends
		for proto := range 255 {
			p := ipproto.Proto(proto)
			if p == 0 || p.HasPorts() || p.IsICMP() || isExtension(p) {
				continue
			}
			expect(t, f, 0, e.plainIn(p), none)
		}
		for _, s := range senders {
			expect(t, f, 0, s.in(e), none)
		}
		expect(t, f, 0, e.pongIn(77), filter.ReasonNoFlow)
	}
	expect(t, f, 0, in(udpBetween(peer4, "224.0.0.1")), filter.ReasonMulticast)
}

// isExtension reports whether p is an IPv6 extension header, so that it
// cannot be the protocol of a datagram, or one that Decode rejects.
func isExtension(p ipproto.Proto) bool {
	switch p {
	case 43, 44, 51, 60, 135, 139, 140, 253, 254:
		return true
	}
	return false
}

func TestAllowNone(t *testing.T) {
	for _, family := range families {
		for _, s := range senders {
			f := filter.NewAllowNone(nil)
			expect(t, f, 0, s.in(family.ends), noRule)
			expect(t, f, 0, s.out(family.ends), none)
			expect(t, f, 0, s.replyIn(family.ends), none)
		}
	}
}

func TestRunInRunOut(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{})
	run := func(ev event) filter.Response {
		var p packet.Parsed
		p.Decode(ev.b)
		if ev.out {
			return f.RunOut(&p, 0)
		}
		return f.RunIn(&p, 0)
	}
	for i, step := range []struct {
		ev   event
		want filter.Response
	}{
		{e.udpIn(), filter.Drop}, {e.udpOut(), filter.Accept}, {e.udpIn(), filter.Accept},
		{out(udpBetween(host4, "224.0.0.1")), filter.DropSilently},
	} {
		if got := run(step.ev); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if a, b := filter.Now(), filter.Now(); b < a || a < 0 {
		t.Errorf("Now went from %d to %d", a, b)
	}
}

// RunIn and RunOut keep to the fake clock of a synctest bubble.
func TestNowInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFilter(t, filter.Config{})
		e := ends4(80, 5000)
		f.RunOut(decoded(e.udpOut()), 0)
		time.Sleep(filter.DefaultUDPUnreplied - 1)
		if r := f.RunIn(decoded(e.udpIn()), 0); r != filter.Accept {
			t.Errorf("before the time is over: %v", r)
		}
		time.Sleep(filter.DefaultUDPReplied)
		if r := f.RunIn(decoded(e.udpIn()), 0); r != filter.Drop {
			t.Errorf("after: %v", r)
		}
	})
}

// Limits per protocol hold, and what is given up is counted.
func TestLimits(t *testing.T) {
	f := newFilter(t, filter.Config{Limits: filter.Limits{Flows: 20, TCP: 5, UDP: 6, ICMP: 3, Other: 2}})
	entries := func() int { return f.State().Stats().Flows.Entries }
	for i := range uint16(50) {
		e := ends4(1000+i, 53)
		expect(t, f, time.Duration(i), e.tcpOut(syn), none)
	}
	if n := entries(); n != 5 {
		t.Errorf("%d TCP flows, limit 5", n)
	}
	for i := range uint16(50) {
		expect(t, f, time.Duration(i), ends4(1000+i, 53).udpOut(), none)
		expect(t, f, time.Duration(i), ends4(80, 53).pingOut(i), none)
		expect(t, f, time.Duration(i), ends4(1000+i, 53).sctpOut(), none)
	}
	s := f.State().Stats().Flows
	if s.Entries != 5+6+3+2 || s.Evicted != 45+44+47+48 {
		t.Errorf("%+v", s)
	}
	expect(t, f, 99, ends4(1049, 53).tcpIn(synAck), none)
	expect(t, f, 99, ends4(1000, 53).tcpIn(synAck), noRule)
}

// A flood of new flows does not push out those that are answered.
func TestFloodSparesEstablished(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(filter.AllPorts)}, Limits: filter.Limits{Flows: 50}})
	var keep []pair
	for i := range uint16(10) {
		e := ends4(2000+i, 443)
		walk(t, f, e, []step{{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none}})
		keep = append(keep, e)
	}
	for i := range uint16(1000) {
		at := time.Duration(i) * time.Second
		expect(t, f, at, ends4(80, 10000+i).tcpIn(syn), none)
		expect(t, f, at, ends4(80, 10000+i).udpIn(), none)
	}
	shut := newFilter(t, filter.Config{State: f.State()})
	for _, e := range keep {
		expect(t, shut, 1001*time.Second, e.tcpIn(ack), none)
	}
	if s := f.State().Stats().Flows; s.Entries > 50 || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
}
