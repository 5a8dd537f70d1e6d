package filter_test

import (
	"testing"

	"tstun/filter"
	"tstun/packet"
)

// A flow that the peer opened must not become one of the host's, which no
// change of the rules can end: not by time, and not by anything that the peer
// sends and the host ignores, such as a RST whose sequence number is wrong.
func TestPeersConnectionStaysThePeers(t *testing.T) {
	handshake := []step{{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}}
	tests := []struct {
		name  string
		steps []step // under rules that allow the connection
		later []step // after these have changed
	}{
		{"RST, then silence", []step{{0, false, rst, none}, {transitory, true, ack, none}}, nil},
		{"RST before the rules change", []step{{0, false, rst, none}}, []step{{transitory + 1, true, ack, none}}},
		{"FIN, then silence", []step{{0, false, finAck, none}, {0, true, ack, none}, {transitory, true, ack, none}}, nil},
		{"FIN before the rules change", []step{{0, false, finAck, none}}, []step{{transitory + 1, true, ack, none}}},
		{"FIN, RST and FIN", []step{{0, false, finAck, none}, {0, false, rst, none}, {0, false, finAck, none}},
			[]step{{transitory + 1, true, ack, none}}},
		{"SYN, answered by a challenge", []step{{0, false, syn, none}, {0, true, ack, none}},
			[]step{{transitory + 1, true, ack, none}}},
		{"RST, then a SYN that is challenged", []step{{0, false, rst, none}, {1, false, syn, none}, {1, true, ack, none}},
			[]step{{transitory + 1, true, ack, none}}},
		{"RST, then a SYN that is ignored", []step{{0, false, rst, none}, {1, false, syn, none}},
			[]step{{transitory + 1, true, ack, none}}},
		{"half closed by the host", []step{{0, true, finAck, none}, {0, false, ack, none}},
			[]step{{transitory + 1, true, ack, none}}},
		{"revoked, then RST", nil,
			[]step{{1, false, rst, revoked}, {transitory + 1, true, ack, none}}},
		{"RST, then revoked", []step{{0, false, rst, none}},
			[]step{{1, false, ack, revoked}, {transitory + 1, true, ack, none}, {established, true, ack, none}}},
		{"revoked, then SYN", nil,
			[]step{{1, false, syn, noRule}, {transitory + 1, true, ack, none}}},
	}
	for _, tt := range tests {
		for _, family := range families {
			t.Run(tt.name+"/"+family.name, func(t *testing.T) {
				e := family.ends
				f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
				walk(t, f, e, handshake)
				walk(t, f, e, tt.steps)
				f = newFilter(t, filter.Config{State: f.State()})
				walk(t, f, e, tt.later)
				for range 2 {
					now := established + minute
					expectFlags(t, f, now, e.tcpIn(ack), filter.Jailed, filter.ReasonJailed)
					expect(t, f, now, e.tcpIn(ack), revoked)
					expect(t, f, now, e.tcpIn(syn), noRule)
					expect(t, f, now, e.tcpOut(ack), none)
				}
			})
		}
	}
}

// A connection that the host picks up in mid-stream may be the peer's: it
// heals while the rules stay, and is judged by new ones.
func TestPickedUpConnections(t *testing.T) {
	for _, first := range []packet.TCPFlag{ack, finAck, packet.TCPFin, 0} {
		for _, family := range families {
			e := family.ends
			pickUp := func(c filter.Config) *filter.Filter {
				f := newFilter(t, filter.Config{})
				expect(t, f, 0, e.tcpOut(first), none)
				expect(t, f, 1, e.tcpIn(ack), none)
				expectFlags(t, f, 1, e.tcpIn(ack), filter.Jailed, filter.ReasonJailed)
				c.State = f.State()
				return newFilter(t, c)
			}
			allow := []filter.Match{rule(port(80))}
			expect(t, pickUp(filter.Config{Matches: allow}), 2, e.tcpIn(ack), none)
			expect(t, pickUp(filter.Config{Keep: true}), 2, e.tcpIn(ack), none)
			expect(t, pickUp(filter.Config{ShieldsUp: true}), 2, e.tcpIn(ack), revoked)
			f := pickUp(filter.Config{})
			expect(t, f, 2, e.tcpOut(ack), none)
			expect(t, f, 3, e.tcpIn(ack), revoked)
			expect(t, f, 4, errorIn(e.peer.Addr().String(), e.host.Addr(), e.tcpOut(ack)), noFlow)
			walk(t, f, e, []step{{5, true, syn, none}, {6, false, synAck, none}, {7, true, ack, none}})
			f = newFilter(t, filter.Config{State: f.State()})
			expect(t, f, 8, e.tcpIn(ack), none) // the host's own by now
		}
	}
}

// A connection that the host accepts anew is as short-lived as any other that
// is opening, whatever went before.
func TestReopenedConnectionIsOpening(t *testing.T) {
	e := ends4(80, 5000)
	for after, want := range map[bool]filter.Reason{false: revoked, true: noRule} {
		f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
		walk(t, f, e, []step{
			{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}, {1, false, rst, none},
			{2, false, syn, none}, {3, true, synAck, none},
		})
		at := 3 + transitory - 1
		if after {
			at++
		}
		f = newFilter(t, filter.Config{State: f.State()})
		expect(t, f, at, e.tcpIn(ack), want)
	}
}

// TestSynAckHandsAConnectionOver: the peer's SYN, which a rule allows, takes
// the place of the host's own connection once the host grants it; from then
// on the connection is the peer's, for new rules and for jail.
func TestSynAckHandsAConnectionOver(t *testing.T) {
	for _, ended := range []bool{false, true} {
		e := ends4(80, 5000)
		f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
		walk(t, f, e, []step{{0, true, syn, none}, {1, false, synAck, none}, {2, true, ack, none}})
		if ended {
			expect(t, f, 3, e.tcpOut(finAck), none)
		}
		walk(t, f, e, []step{{4, false, syn, none}, {5, true, synAck, none}, {6, false, ack, none}})
		expectFlags(t, f, 7, e.tcpIn(ack), filter.Jailed, filter.ReasonJailed)
		f = newFilter(t, filter.Config{State: f.State()})
		expect(t, f, 8, e.tcpIn(ack), revoked)
	}
}
