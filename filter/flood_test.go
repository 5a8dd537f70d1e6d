package filter_test

import (
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/ipproto"
)

// flooder returns the nth of many endpoints of peers, to one of the host's.
func flooder(n int, hostPort uint16) pair {
	a := addr("fd7a:0:0:1::").As16()
	a[14], a[15] = byte(n>>24), byte(n>>16)
	return pair{addrPort(host6, hostPort), netip.AddrPortFrom(netip.AddrFrom16(a), uint16(n))}
}

// handshake opens a connection from the host.
func handshake(t *testing.T, f *filter.Filter, at time.Duration, e pair) {
	t.Helper()
	walk(t, f, e, []step{{at, true, syn, none}, {at, false, synAck, none}, {at, true, ack, none}})
}

// No flood of a peer's, answered or not, pushes out what the host opened.
func TestPeersDoNotEvictTheHosts(t *testing.T) {
	floods := map[string]func(f *filter.Filter, at time.Duration, e pair){
		"one packet": func(f *filter.Filter, at time.Duration, e pair) {
			judge(f, at, e.udpIn(), 0)
		},
		"answered": func(f *filter.Filter, at time.Duration, e pair) {
			judge(f, at, e.udpIn(), 0)
			judge(f, at, e.udpOut(), 0)
		},
		"used again": func(f *filter.Filter, at time.Duration, e pair) {
			judge(f, at, e.udpIn(), 0)
			judge(f, at, e.udpOut(), 0)
			judge(f, at, e.udpIn(), 0)
		},
		"connections": func(f *filter.Filter, at time.Duration, e pair) {
			judge(f, at, e.tcpIn(syn), 0)
			judge(f, at, e.tcpOut(synAck), 0)
			judge(f, at, e.tcpIn(ack), 0)
		},
		"pings": func(f *filter.Filter, at time.Duration, e pair) {
			judge(f, at, e.pingIn(e.peer.Port()), 0)
			judge(f, at, e.pongOut(e.peer.Port()), 0)
		},
		"mixed": func(f *filter.Filter, at time.Duration, e pair) {
			judge(f, at, e.udpIn(), 0)
			judge(f, at, e.udpOut(), 0)
			judge(f, at, e.tcpIn(syn), 0)
			judge(f, at, e.pingIn(1), 0)
		},
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			f := newFilter(t, filter.Config{
				Matches: []filter.Match{rule(port(80))},
				Limits:  filter.Limits{Flows: 60, TCP: 30, UDP: 30, ICMP: 10},
			})
			tcp, opening := flooder(-1, 4000), flooder(-2, 4001)
			handshake(t, f, 0, tcp)
			expect(t, f, 0, opening.tcpOut(syn), none)
			query, ping := flooder(-3, 4002), flooder(-4, 0)
			expect(t, f, 0, query.udpOut(), none)
			expect(t, f, 0, ping.pingOut(9), none)
			for i := range 2000 {
				flood(f, time.Duration(i)*time.Millisecond, flooder(i, 80))
			}
			shut := newFilter(t, filter.Config{State: f.State()})
			at := 3 * time.Second
			expect(t, shut, at, opening.tcpIn(synAck), none)
			expect(t, shut, at, tcp.tcpIn(ack), none)
			expect(t, shut, at, query.udpIn(), none)
			expect(t, shut, at, ping.pongIn(9), none)
			if s := f.State().Stats().Flows; s.Entries > 60 || s.Evicted == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// With the default limits: more flows of a peer's than the table holds, each
// answered, and a connection of the host's that is silent meanwhile. The peer
// gets half of the table.
func TestAnsweredFloodAtDefaultLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a table of the default size")
	}
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(53), ipproto.UDP)}})
	ssh := pair{addrPort(host6, 4000), addrPort("fd7a::77", 22)}
	handshake(t, f, 0, ssh)
	for i := range filter.DefaultFlows + 20_000 {
		e := flooder(i, 53)
		judge(f, minute, e.udpIn(), 0)
		judge(f, minute, e.udpOut(), 0)
	}
	expect(t, f, minute+1, ssh.tcpIn(ack), none)
	if s := f.State().Stats().Flows; s.Entries != filter.DefaultFlows/2+1 || s.Evicted < filter.DefaultFlows/2+20_000 {
		t.Errorf("%+v", s)
	}
}

// Where everything is the host's, a peer's flow is not remembered, and passes
// by the rules all the same.
func TestTableFullOfTheHostsFlows(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}, Limits: filter.Limits{Flows: 10}})
	for i := range uint16(10) {
		expect(t, f, 0, ends4(1000+i, 53).udpOut(), none)
	}
	for i := range 100 {
		at := time.Duration(i) * time.Second
		expect(t, f, at, flooder(i, 80).udpIn(), none)
		expect(t, f, at, flooder(i, 80).tcpIn(syn), none)
		expect(t, f, at, flooder(i, 81).udpIn(), noRule)
	}
	for i := range uint16(10) {
		expect(t, f, 100*time.Second, ends4(1000+i, 53).udpIn(), none)
	}
	if s := f.State().Stats().Flows; s.Refused == 0 || s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
	// The host's newest takes the place of its oldest.
	expect(t, f, 101*time.Second, ends4(2000, 53).udpOut(), none)
	expect(t, f, 101*time.Second, ends4(2000, 53).udpIn(), none)
}

// A revoked flow outlives the peer's other flows, so that a flood does not
// let the host reopen it.
func TestRevokedOutlivesFlood(t *testing.T) {
	e := ends4(53, 5000)
	both := []filter.Match{rule(port(53)), rule(port(80))}
	f := newFilter(t, filter.Config{Matches: both, Limits: filter.Limits{Flows: 100}})
	expect(t, f, 0, e.udpIn(), none)
	walk(t, f, e, []step{{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}})
	f = newFilter(t, filter.Config{State: f.State(), Matches: both[1:]})
	expect(t, f, 1, e.udpIn(), revoked)
	expect(t, f, 1, e.tcpIn(ack), revoked)
	for i := range 1000 {
		x := ends4(80, uint16(6000+i))
		for range 2 {
			judge(f, 2*time.Second, x.udpIn(), 0)
			judge(f, 2*time.Second, x.udpOut(), 0)
		}
		walk(t, f, x, []step{{2 * time.Second, false, syn, none}, {2 * time.Second, true, synAck, none}, {2 * time.Second, false, ack, none}})
	}
	for _, ev := range []struct{ out, in event }{{e.udpOut(), e.udpIn()}, {e.tcpOut(ack), e.tcpIn(ack)}} {
		expect(t, f, 3*time.Second, ev.out, none)
		expect(t, f, 3*time.Second, ev.in, revoked)
	}
}

// Of the peers' own flows, those that both sides have used and the peer has
// used again outlive those that were only answered.
func TestThirdPacketAssures(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(filter.AllPorts)}, Limits: filter.Limits{Flows: 10}})
	used, answered := ends4(80, 1), ends4(80, 2)
	for _, e := range []pair{used, answered} {
		expect(t, f, 0, e.udpIn(), none)
		expect(t, f, 0, e.udpOut(), none)
	}
	expect(t, f, 0, used.udpIn(), none)
	for i := range 100 {
		at := time.Duration(i) * time.Second
		expect(t, f, at, ends4(80, uint16(6000+i)).udpIn(), none)
		expect(t, f, at, ends4(80, uint16(6000+i)).udpOut(), none)
	}
	shut := newFilter(t, filter.Config{State: f.State()})
	expect(t, shut, 100*time.Second, used.udpIn(), revoked)    // still known
	expect(t, shut, 100*time.Second, answered.udpIn(), noRule) // forgotten
}

// A flow that the host picked up is evicted like one of the peer's.
func TestAdoptedYield(t *testing.T) {
	f := newFilter(t, filter.Config{Limits: filter.Limits{Flows: 10}})
	opening := ends4(4000, 443)
	expect(t, f, 0, opening.tcpOut(syn), none)
	for i := range 100 {
		expect(t, f, time.Duration(i)*time.Second, flooder(i, 80).tcpOut(ack), none)
	}
	expect(t, f, 100*time.Second, ends4(4001, 443).tcpOut(syn), none)
	expect(t, f, 101*time.Second, opening.tcpIn(synAck), none)
	expect(t, f, 101*time.Second, ends4(4001, 443).tcpIn(synAck), none)
}

// A connection that the host makes in the place of one of the peer's is the
// host's from its SYN on.
func TestHostsSynEndsYielding(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(filter.AllPorts)}, Limits: filter.Limits{Flows: 60}})
	e := flooder(-1, 4000)
	walk(t, f, e, []step{{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}, {0, true, rst, none}, {1, true, syn, none}})
	for i := range 2000 {
		judge(f, time.Duration(i)*time.Millisecond, flooder(i, 80).udpIn(), 0)
	}
	shut := newFilter(t, filter.Config{State: f.State()})
	expect(t, shut, 3*time.Second, e.tcpIn(synAck), none)
}

// A flow that was cut and allowed again is worth no more than the others.
func TestRevivedIsNotKeptLikeRevoked(t *testing.T) {
	e := ends4(80, 1)
	all := []filter.Match{rule(filter.AllPorts)}
	f := newFilter(t, filter.Config{Matches: all, Limits: filter.Limits{Flows: 10}})
	use := func(e pair, at time.Duration) {
		t.Helper()
		expect(t, f, at, e.udpIn(), none)
		expect(t, f, at, e.udpOut(), none)
		expect(t, f, at, e.udpIn(), none)
	}
	use(e, 0)
	expect(t, newFilter(t, filter.Config{State: f.State()}), 0, e.udpIn(), revoked)
	f = newFilter(t, filter.Config{State: f.State(), Matches: all})
	use(e, 0)
	for i := range 100 {
		use(ends4(80, uint16(6000+i)), time.Duration(i)*time.Second)
	}
	shut := newFilter(t, filter.Config{State: f.State()})
	expect(t, shut, 100*time.Second, e.udpIn(), noRule) // forgotten
}
