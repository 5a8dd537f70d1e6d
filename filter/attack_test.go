package filter_test

import (
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// Two filters made once and put in force by turns: what the one let in is not
// known to the other as rules of the past.
func TestFiltersInTurns(t *testing.T) {
	e := ends4(80, 5000)
	open := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
	shut := newFilter(t, filter.Config{State: open.State(), ShieldsUp: true, Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
	other := ends4(9, 9)
	expect(t, shut, 0, other.udpIn(), filter.ReasonShieldsUp) // shields were up first
	// 1 h later they are down, and a flow is opened and forgotten.
	at := time.Hour
	expect(t, open, at, e.udpIn(), none)
	at += 6 * minute
	expect(t, shut, at, other.udpIn(), filter.ReasonShieldsUp)
	expect(t, shut, at, e.udpOut(), none) // the host's late answer
	if v := judge(shut, at, e.udpIn(), 0); !v.Response.IsDrop() {
		t.Error("the peer is in with shields up")
	}
}

func TestBackToTheFilterBefore(t *testing.T) {
	e, other := ends4(80, 5000), ends4(9, 9)
	shut := newFilter(t, filter.Config{})
	expect(t, shut, 0, other.udpIn(), noRule)
	open := newFilter(t, filter.Config{State: shut.State(), Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
	at := time.Hour
	expect(t, open, at, e.udpIn(), none)
	at += 3 * minute
	expect(t, shut, at, e.udpOut(), none)
	expect(t, shut, at, e.udpIn(), noRule)
}

// Reloads once a minute keep rules that went hours ago.
func TestRulesOfThePastEnd(t *testing.T) {
	e, other := ends4(80, 5000), ends4(9, 9)
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
	at := time.Duration(0)
	expect(t, f, at, e.udpIn(), none)
	for i := range 180 {
		f = newFilter(t, filter.Config{State: f.State(), Matches: []filter.Match{rule(port(uint16(1000+i)), ipproto.UDP)}})
		at += minute
		expect(t, f, at, other.udpIn(), noRule)
	}
	// A flow of the peer's under today's rule is forgotten.
	last := ends4(1179, 7)
	expect(t, f, at, last.udpIn(), none)
	at += 3 * minute
	expect(t, f, at, last.udpOut(), none)
	// The host asks from port 80, which a rule let the peer reach 3 h ago.
	expect(t, f, at, e.udpOut(), none)
	expect(t, f, at, e.udpIn(), none)
}

type idOf struct{ id uint64 }

func (p *idOf) PeerOf(a netip.Addr) flow.PeerID { return flow.NumberedPeer(p.id) }

// The program gives the address to another peer, or names it for the first
// time.
func TestPeerIsRenamed(t *testing.T) {
	e := ends4(80, 5000)
	run := func(f *filter.Filter, at time.Duration, ev event, p filter.Peers) filter.Reason {
		var q packet.Parsed
		q.Decode(ev.b)
		var id flow.ID
		if ev.out {
			id.SetOut(&q)
			f.RecordRun(&q, &id, int64(at), 0, p, nil)
			return 0
		}
		id.SetIn(&q)
		v, _ := f.InRun(&q, &id, int64(at), 0, p, nil)
		return v.Reason
	}
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
	p := &idOf{1}
	run(f, 0, ends4(9, 9).udpIn(), p)
	at := time.Hour
	if r := run(f, at, e.udpIn(), p); r != none {
		t.Fatal(r)
	}
	at += 3 * minute
	run(f, at, ends4(80, 9).udpOut(), p)
	f = newFilter(t, filter.Config{State: f.State()})
	run(f, at, ends4(9, 9).udpIn(), p)
	p = &idOf{2}
	run(f, at, e.udpOut(), p)
	if r := run(f, at, e.udpIn(), p); r != noRule {
		t.Errorf("after the peer got another ID, its forgotten flow is the host's: %v", r)
	}
}

// A jail, and an exempt connection.
func TestJailAndExempt(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{})
	expectFlags(t, f, 0, e.tcpIn(syn), filter.Exempt, none)
	expect(t, f, 0, e.tcpOut(synAck), none)
	expect(t, f, 0, e.tcpIn(ack), none)
	expectFlags(t, f, 1, e.tcpIn(ack), filter.Jailed, filter.ReasonJailed)
}

func TestTinyLimits(t *testing.T) {
	for _, l := range []filter.Limits{{Flows: 1, Fragments: 1}, {Flows: 2, UDP: 1, Fragments: 1}, {UDP: 1}, {Flows: 3, ICMP: 1}} {
		e := ends4(80, 5000)
		f := newFilter(t, filter.Config{Limits: l, Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
		at := time.Hour
		expect(t, f, 0, ends4(9, 9).udpIn(), noRule)
		expect(t, f, at, e.udpIn(), none)
		for i := range 5 {
			expect(t, f, at+1, flooder(i, 80).udpIn(), none)
			expect(t, f, at+1, ends4(4000+uint16(i), 53).udpOut(), none)
			expect(t, f, at+1, ends4(4000+uint16(i), 53).udpIn(), none)
		}
		f = newFilter(t, filter.Config{State: f.State()})
		expect(t, f, at+2, ends4(9, 9).udpIn(), noRule)
		expect(t, f, at+3, e.udpOut(), none)
		if v := judge(f, at+3, e.udpIn(), 0); !v.Response.IsDrop() {
			t.Errorf("%+v: the peer is in", l)
		}
	}
}
