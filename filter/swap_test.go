package filter_test

import (
	"net/netip"
	"testing"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// begin opens a flow from the peer or, if byHost, from the host.
func (s sender) begin(t *testing.T, f *filter.Filter, e pair, byHost bool) {
	t.Helper()
	if byHost {
		expect(t, f, 0, s.out(e), none)
		expect(t, f, 0, s.replyIn(e), none)
		return
	}
	expect(t, f, 0, s.in(e), none)
	expect(t, f, 0, s.reply(e), none)
}

// reply is what the host sends if the peer began.
func (s sender) reply(e pair) event {
	switch s.name {
	case "tcp":
		return e.tcpOut(synAck)
	case "ping":
		return e.pongOut(7)
	}
	return s.out(e)
}

// more is what the peer sends next in a flow it began.
func (s sender) more(e pair) event {
	if s.name == "tcp" {
		return e.tcpIn(ack)
	}
	return s.in(e)
}

// TestSwap changes the rules in mid-flow. (docs/lessons.md 13)
func TestSwap(t *testing.T) {
	var allow []filter.Match
	for _, p := range []ipproto.Proto{1, 6, 17, 47, 50, 58, 132} {
		allow = append(allow, rule(filter.AllPorts, p))
	}
	for _, family := range families {
		for _, s := range senders {
			e := family.ends
			next := func(t *testing.T, c filter.Config, byHost bool) *filter.Filter {
				f := newFilter(t, filter.Config{Matches: allow})
				s.begin(t, f, e, byHost)
				if c.State == nil {
					c.State = f.State()
				} else {
					c.State = nil
				}
				return newFilter(t, c)
			}
			fresh := new(filter.State) // stands for none
			t.Run(family.name+"/"+s.name, func(t *testing.T) {
				t.Run("re-judged and allowed", func(t *testing.T) {
					expect(t, next(t, filter.Config{Matches: allow}, false), 1, s.more(e), none)
				})
				t.Run("re-judged and cut", func(t *testing.T) {
					f := next(t, filter.Config{}, false)
					expect(t, f, 1, s.more(e), revoked)
					expect(t, f, 2, s.more(e), revoked)
				})
				t.Run("the host cannot reopen what was cut", func(t *testing.T) {
					for _, first := range []event{s.more(e), s.reply(e)} {
						f := next(t, filter.Config{}, false)
						judge(f, 1, first, 0)
						expect(t, f, 2, s.reply(e), none)
						expect(t, f, 3, s.more(e), revoked)
					}
				})
				t.Run("cut by shields", func(t *testing.T) {
					expect(t, next(t, filter.Config{Matches: allow, ShieldsUp: true}, false), 1, s.more(e), revoked)
				})
				t.Run("kept", func(t *testing.T) {
					f := next(t, filter.Config{Keep: true}, false)
					expect(t, f, 1, s.more(e), none)
					expect(t, f, 2, s.reply(e), none)
					expect(t, f, 3, s.more(e), none)
					// The next change without Keep cuts it after all.
					f = newFilter(t, filter.Config{State: f.State()})
					expect(t, f, 4, s.more(e), revoked)
				})
				t.Run("cut and allowed again", func(t *testing.T) {
					f := next(t, filter.Config{}, false)
					expect(t, f, 1, s.more(e), revoked)
					f = newFilter(t, filter.Config{State: f.State(), Matches: allow})
					expect(t, f, 2, s.more(e), none)
					expect(t, f, 3, s.more(e), none)
				})
				t.Run("Keep revives nothing", func(t *testing.T) {
					f := next(t, filter.Config{}, false)
					expect(t, f, 1, s.more(e), revoked)
					f = newFilter(t, filter.Config{State: f.State(), Keep: true})
					expect(t, f, 2, s.more(e), revoked)
				})
				t.Run("Keep lets the rules revive", func(t *testing.T) {
					f := next(t, filter.Config{}, false)
					expect(t, f, 1, s.more(e), revoked)
					f = newFilter(t, filter.Config{State: f.State(), Keep: true, Matches: allow})
					expect(t, f, 2, s.more(e), none)
				})
				t.Run("the host's flows live on", func(t *testing.T) {
					f := newFilter(t, filter.Config{})
					s.begin(t, f, e, true)
					want := none
					if s.pickedUp {
						want = revoked // it may be the peer's
					}
					expect(t, newFilter(t, filter.Config{State: f.State(), ShieldsUp: true}), 1, s.replyIn(e), want)
					expect(t, newFilter(t, filter.Config{State: f.State(), Keep: true}), 1, s.replyIn(e), want)
				})
				t.Run("the host's flows that the rules let the peer open", func(t *testing.T) {
					want := revoked // they may be the peer's
					if s.name == "ping" || s.name == "tcp" && !s.pickedUp {
						want = none // the packet says whose it is
					}
					expect(t, next(t, filter.Config{}, true), 1, s.replyIn(e), want)
					expect(t, next(t, filter.Config{ShieldsUp: true}, true), 1, s.replyIn(e), want)
					expect(t, next(t, filter.Config{Keep: true}, true), 1, s.replyIn(e), none)
				})
				t.Run("fresh state", func(t *testing.T) {
					for _, byHost := range []bool{false, true} {
						f := next(t, filter.Config{State: fresh}, byHost)
						if v := judge(f, 1, s.more(e), 0); v.Reason != noRule {
							t.Errorf("reason %v", v.Reason)
						}
					}
				})
			})
		}
	}
}

// A SYN ends a revocation: the rules judge the peer's, the host's is free.
func TestSynEndsRevocation(t *testing.T) {
	e := ends4(80, 5000)
	cut := func() *filter.Filter {
		f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
		walk(t, f, e, []step{{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}})
		f = newFilter(t, filter.Config{State: f.State()})
		expect(t, f, 1, e.tcpIn(ack), revoked)
		return f
	}
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
	walk(t, f, e, []step{{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}})
	f = newFilter(t, filter.Config{State: f.State()})
	walk(t, f, e, []step{{1, false, syn, noRule}, {2, false, ack, revoked}})

	walk(t, cut(), e, []step{{2, false, syn, noRule}, {3, false, ack, revoked}})
	walk(t, cut(), e, []step{
		{2, true, ack, none}, {3, false, ack, revoked},
		{4, true, syn, none}, {5, false, synAck, none}, {6, true, ack, none}, {7, false, ack, none},
	})
}

// Two filters that share a state, as while one replaces the other, each judge
// by their own rules.
func TestTwoFiltersOneState(t *testing.T) {
	e := ends4(80, 5000)
	open := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
	expect(t, open, 0, e.udpIn(), none)
	closed := newFilter(t, filter.Config{State: open.State()})
	for range 3 {
		expect(t, closed, 1, e.udpIn(), revoked)
		expect(t, open, 1, e.udpIn(), none)
	}
}

// A revocation lasts as long as the flow is not idle.
func TestRevocationExpires(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
	expect(t, f, 0, e.udpIn(), none)
	f = newFilter(t, filter.Config{State: f.State()})
	expect(t, f, minute, e.udpIn(), revoked)
	expect(t, f, 2*minute, e.udpOut(), none)
	expect(t, f, 4*minute-1, e.udpIn(), revoked)
	expect(t, f, 6*minute-1, e.udpIn(), noRule)
	// The host may still answer, for ten minutes.
	expect(t, f, 6*minute, e.udpOut(), none)
	expect(t, f, 6*minute, e.udpIn(), noRule)
	expect(t, f, 16*minute, e.udpOut(), none)
	expect(t, f, 16*minute, e.udpIn(), none)
}

func TestExempt(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{ShieldsUp: true})
	ev := e.tcpIn(syn)
	expect(t, f, 0, ev, filter.ReasonShieldsUp)
	expectFlags(t, f, 0, ev, filter.Exempt|filter.Jailed, filter.ReasonJailed)
	expectFlags(t, f, 0, ev, filter.Exempt, none)
	walk(t, f, e, []step{{0, true, synAck, none}, {1, false, ack, none}})
	expectFlags(t, f, 2, e.tcpIn(ack), filter.Jailed, filter.ReasonJailed)

	f = newFilter(t, filter.Config{State: f.State()})
	expect(t, f, 3, e.tcpIn(ack), none) // exempt from new rules
	walk(t, f, e, []step{{4, false, rst, none}, {4, true, rst, none}, {5, false, syn, noRule}})

	// Nothing is exempt from form and address.
	away := pair{addrPort("10.9.9.9", 80), e.peer}
	expectFlags(t, f, 6, away.tcpIn(syn), filter.Exempt, filter.ReasonNotLocal)
	expectFlags(t, f, 6, in(away.tcpIn(syn).b[:10]), filter.Exempt, filter.ReasonMalformed)
}

func TestExemptBeginsARevokedFlowAnew(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
	expect(t, f, 0, e.tcpIn(syn), none)
	f = newFilter(t, filter.Config{State: f.State()})
	expectFlags(t, f, 1, e.tcpIn(syn), filter.Exempt, none)
	expect(t, f, 2, e.tcpIn(ack), none)
	f = newFilter(t, filter.Config{State: f.State()})
	expect(t, f, 3, e.tcpIn(ack), none)
}

func TestExemptCoversTheFragmentsOfAFirst(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{})
	whole := packet.Generate(packet.TCPHeader{Src: e.peer, Dst: e.host, Flags: syn}, make([]byte, 28))
	expectFlags(t, f, 0, in(craft.Cut(whole, 7, 0, 24)), filter.Exempt, none)
	expect(t, f, 0, in(craft.Cut(whole, 7, 24, 48)), none)
}

func TestJailedCutsThePeersFlows(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
	expect(t, f, 0, e.udpIn(), none)
	expectFlags(t, f, 1, e.udpIn(), filter.Jailed, filter.ReasonJailed)
	expect(t, f, 2, e.udpOut(), none)
	expectFlags(t, f, 3, e.udpIn(), filter.Jailed, filter.ReasonJailed)
	expect(t, f, 4, e.udpIn(), none) // set free
}

// TestSwapLocal: an open flow is not let in to an address that is no longer
// local, also when the host has gone on with it under the new rules.
func TestSwapLocal(t *testing.T) {
	for _, family := range families {
		for _, s := range senders {
			for _, hostGoesOn := range []bool{false, true} {
				e := family.ends
				f := newFilter(t, filter.Config{})
				s.begin(t, f, e, true)
				expect(t, f, 0, s.replyIn(e), none)
				f = newFilter(t, filter.Config{State: f.State(), Local: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
				if hostGoesOn {
					expect(t, f, 0, s.out(e), none)
				}
				expect(t, f, 0, s.replyIn(e), filter.ReasonNotLocal)
			}
		}
	}
}

// TestSwapLocalUnderThePeersFlows: nor by a flow of the peer's that the new
// rules allow, when the host has gone on with it.
func TestSwapLocalUnderThePeersFlows(t *testing.T) {
	for _, family := range families {
		for _, s := range senders {
			e := family.ends
			allow := []filter.Match{rule(filter.AllPorts), rule(filter.AllPorts, s.proto(e))}
			f := newFilter(t, filter.Config{Matches: allow})
			s.begin(t, f, e, false)
			expect(t, f, 0, s.more(e), none)
			f = newFilter(t, filter.Config{State: f.State(), Matches: allow, Local: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
			expect(t, f, 0, s.reply(e), none)
			expect(t, f, 0, s.more(e), filter.ReasonNotLocal)
		}
	}
}
