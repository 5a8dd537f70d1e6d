package filter_test

import (
	"testing"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// step is one packet of a walk through TCP's states: its flags, its direction
// and what is to become of it.
type step struct {
	at    time.Duration
	out   bool
	flags packet.TCPFlag
	want  filter.Reason
}

func walk(t *testing.T, f *filter.Filter, e pair, steps []step) {
	t.Helper()
	for i, s := range steps {
		ev := e.tcpIn(s.flags)
		if s.out {
			ev = e.tcpOut(s.flags)
		}
		if v := judge(f, s.at, ev, 0); v.Reason != s.want {
			t.Errorf("step %d (%+v): reason %v", i, s, v.Reason)
		}
	}
}

const (
	noRule  = filter.ReasonNoRule
	revoked = filter.ReasonRevoked

	minute      = time.Minute
	transitory  = filter.DefaultTCPTransitory
	established = filter.DefaultTCPEstablished
)

func TestTCPWalks(t *testing.T) {
	allow80 := []filter.Match{rule(port(80), ipproto.TCP)}
	tests := []struct {
		name  string
		rules []filter.Match
		steps []step
	}{
		{"host opens, both close", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none},
			{0, true, finAck, none}, {0, false, ack, none}, {0, false, finAck, none}, {0, true, ack, none},
			{1, false, finAck, none},                // retransmitted in TIME_WAIT
			{2, false, syn, noRule},                 // the peer may not reuse it
			{transitory - 1, false, finAck, none},   // still there
			{transitory + 1, false, finAck, noRule}, // the peer alone cannot prolong it
		}},
		{"peer opens, host closes first", allow80, []step{
			{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none},
			{0, true, finAck, none}, {0, false, finAck, none}, {0, true, ack, none},
			{1, false, syn, none}, // reused: the rules allow it
			{1, true, synAck, none}, {1, false, ack, none},
			{1 + established - 1, false, ack, none}, // established again
		}},
		{"established lasts, and each packet prolongs it", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none},
			{established - 1, false, ack, none},
			{2*established - 2, false, ack, none},
			{3*established - 2, false, ack, noRule},
		}},
		{"a SYN without an answer is forgotten soon", nil, []step{
			{0, true, syn, none}, {transitory, false, synAck, noRule},
		}},
		{"a handshake without its last ACK too", nil, []step{
			{0, true, syn, none}, {1, false, synAck, none}, {1 + transitory, false, ack, noRule},
		}},
		{"what the answerer sends does not complete it", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, false, ack, none}, {transitory, false, ack, noRule},
		}},
		{"half closed by the host: the peer goes on", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none}, {0, true, finAck, none},
			{established - 1, false, ack, none}, {2*established - 2, false, ack, none},
			{3*established - 2, false, ack, noRule},
		}},
		{"half closed by the peer", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none}, {0, false, finAck, none},
			{established - 1, true, ack, none}, {2*established - 2, false, ack, none},
			{2*established - 2, false, finAck, none}, {3*established - 3, true, finAck, none},
			{3*established - 3, false, ack, none}, {3*established + transitory - 3, false, ack, noRule},
		}},
		{"both closed: the peer's FIN alone shortens nothing", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none},
			{0, true, finAck, none}, {1, false, finAck, none}, {established - 1, false, finAck, none},
			{established, false, finAck, noRule},
		}},
		{"reset by the peer", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none}, {0, false, rst, none},
			{1, false, ack, none}, {2, false, syn, noRule},
			{established - 1, false, ack, none}, {established, false, ack, noRule},
		}},
		{"reset by the peer, and the host takes no notice", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none}, {1, false, rst, none},
			{established - 1, true, ack, none}, {2*established - 2, false, ack, none},
			{3*established - 2, false, ack, noRule},
		}},
		{"reset by the peer, then by the host: nothing prolongs it", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none}, {0, false, rst, none},
			{minute, false, ack, none}, {minute, true, rst, none},
			{3 * minute, false, ack, none}, {3 * minute, true, rst, none},
			{5*minute - 1, false, ack, none}, {5*minute - 1, true, rst, none},
			{5 * minute, false, ack, noRule},
		}},
		{"closed by both: the host's RST does not prolong it", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none},
			{0, true, finAck, none}, {0, false, finAck, none}, {0, true, ack, none},
			{3 * minute, true, rst, none}, {transitory - 1, false, ack, none}, {transitory, false, ack, noRule},
		}},
		{"reset by the host in a connection that goes on", nil, []step{
			{0, true, syn, none}, {0, false, ack, none}, {0, true, rst, none}, {1, false, synAck, none}, {1, true, ack, none},
			{established, false, ack, none},
		}},
		{"refused by a reset, forgotten soon", nil, []step{
			{0, true, syn, none}, {minute, false, rst | ack, none}, {transitory, false, ack, noRule},
		}},
		{"reset by the host", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, rst, none},
			{1, false, ack, none}, {transitory, false, ack, noRule},
		}},
		{"refused by a reset, tried again", nil, []step{
			{0, true, syn, none}, {0, false, rst | ack, none},
			{minute, true, syn, none}, {minute, false, synAck, none}, {minute, true, ack, none},
			{minute + established - 1, false, ack, none},
		}},
		{"simultaneous open", nil, []step{
			{0, true, syn, none}, {0, false, syn, none}, {0, true, synAck, none}, {0, false, synAck, none},
			{established - 1, false, ack, none},
		}},
		{"simultaneous open begun by the peer", allow80, []step{
			{0, false, syn, none}, {0, true, syn, none}, {0, false, synAck, none}, {0, true, synAck, none},
			{1, false, ack, none},
		}},
		{"no simultaneous open where the host went on in mid-stream", nil, []step{
			{0, true, ack, none}, {minute, false, syn, noRule}, {minute, true, synAck, none}, {minute, false, ack, revoked},
		}},
		{"nor where it began with a FIN", nil, []step{
			{0, true, packet.TCPFin, none}, {minute, false, syn, noRule}, {minute, true, synAck, none}, {minute, false, ack, revoked},
		}},
		{"nor where it began with no flags", nil, []step{
			{0, true, 0, none}, {minute, false, syn, noRule}, {minute, true, synAck, none}, {minute, false, ack, revoked},
		}},
		{"nor where its SYN was answered", nil, []step{
			{0, true, syn, none}, {1, false, synAck, none}, {2, false, syn, noRule},
		}},
		{"the host's SYN-ACK opens nothing that the rules do not allow", nil, []step{
			{0, true, synAck, none}, {1, false, ack, noRule},
		}},
		{"the host's SYN-ACK after a restart", allow80, []step{
			{0, true, synAck, none}, {1, false, ack, none}, {established, false, ack, none},
		}},
		{"SYN into the host's established connection", nil, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none},
			{1, false, syn, noRule}, {2, false, ack, none},
		}},
		{"the same where a rule allows it: the connection stays the host's", allow80, []step{
			{0, true, syn, none}, {0, false, synAck, none}, {0, true, ack, none},
			{1, false, syn, none}, {established, false, ack, none},
		}},
		{"the host's SYN into the peer's connection makes it the host's", allow80, []step{
			{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none},
			{1, true, syn, none}, {1, false, synAck, none}, {1, true, ack, none},
		}},
		{"the host's SYN retransmitted: before the answer", nil, []step{
			{0, true, syn, none}, {1, true, syn, none}, {2, false, synAck, none}, {2, true, ack, none},
			{2 + established - 1, false, ack, none},
		}},
		{"the host's SYN retransmitted: crossing the answer", nil, []step{
			{0, true, syn, none}, {1, false, synAck, none}, {2, true, syn, none}, {3, true, ack, none},
			{3 + established - 1, false, ack, none},
		}},
		{"the host's SYN retransmitted: late", nil, []step{
			{0, true, syn, none}, {1, false, synAck, none}, {2, true, ack, none}, {3, true, syn, none},
			{3 + established - 1, false, ack, none},
		}},
		{"the host's SYN into what it went on with makes that its own", nil, []step{
			{0, true, ack, none}, {1, false, ack, none}, {2, true, syn, none}, {3, false, synAck, none}, {3, true, ack, none},
			{4, false, syn, noRule}, {3 + established - 1, false, ack, none},
		}},
		{"retransmitted SYNs", allow80, []step{
			{0, false, syn, none}, {1, false, syn, none}, {2, true, synAck, none}, {3, false, syn, none},
			{3, true, synAck, none}, {4, false, ack, none}, {4 + established - 1, false, ack, none},
		}},
		{"mid-stream from the host heals after a restart", nil, []step{
			{0, false, ack, noRule}, {0, true, ack, none}, {1, false, ack, none}, {2, true, ack, none},
			{2 + established - 1, false, ack, none},
		}},
		{"mid-stream without an answer is forgotten soon", nil, []step{
			{0, true, ack, none}, {transitory, false, ack, noRule},
		}},
		{"the host's RST opens nothing", nil, []step{
			{0, true, rst, none}, {0, true, rst | ack, none}, {1, false, ack, noRule}, {1, false, syn, noRule},
		}},
		{"SYN with RST opens nothing", nil, []step{
			{0, true, syn | rst, none}, {1, false, synAck, noRule},
		}},
		{"the peer's mid-stream segments need a rule", allow80, []step{
			{0, false, ack, none}, {1, true, ack, none}, {2, false, ack, none},
			{2 + established - 1, false, ack, none},
		}},
		{"odd flags are judged by the rules", nil, []step{
			{0, false, 0, noRule}, {0, false, packet.TCPFin, noRule}, {0, false, ack, noRule},
			{0, false, packet.TCPFin | packet.TCPPsh | packet.TCPUrg, noRule},
			{0, false, syn | packet.TCPFin, noRule}, {0, false, synAck, noRule}, {0, false, rst, noRule},
		}},
		{"reused by the peer after a reset", allow80, []step{
			{0, false, syn, none}, {0, true, synAck, none}, {0, false, ack, none}, {0, false, rst, none},
			{1, false, syn, none}, {1, false, syn, none}, {2, true, synAck, none}, {3, false, ack, none},
			{3 + established - 1, false, ack, none},
		}},
		{"unanswered closing segments stay transitory", allow80, []step{
			{0, false, finAck, none}, {transitory - 1, false, finAck, none},
		}},
	}
	for _, tt := range tests {
		for _, family := range families {
			t.Run(tt.name+"/"+family.name, func(t *testing.T) {
				walk(t, newFilter(t, filter.Config{Matches: tt.rules}), family.ends, tt.steps)
			})
		}
	}
}

func TestLooseTCP(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{LooseTCP: true})
	walk(t, f, e, []step{
		{0, false, ack, none}, {0, false, synAck, none}, {0, false, finAck, none}, {0, false, rst, none},
		{0, false, syn, noRule}, {0, false, syn | packet.TCPFin, noRule},
	})
	if n := f.State().Stats().Flows.Entries; n != 0 {
		t.Errorf("loose segments opened %d flows", n)
	}
	expect(t, f, 0, e.udpIn(), noRule)
	expectFlags(t, f, 0, e.tcpIn(ack), filter.Jailed, filter.ReasonJailed)
	shut := newFilter(t, filter.Config{LooseTCP: true, ShieldsUp: true})
	for _, flags := range []packet.TCPFlag{ack, synAck, finAck, rst, 0} {
		expect(t, shut, 0, e.tcpIn(flags), filter.ReasonShieldsUp)
	}
	away := pair{addrPort("10.1.1.1", 80), e.peer}
	expect(t, f, 0, away.tcpIn(ack), filter.ReasonNotLocal)
}

func TestIdleTimeouts(t *testing.T) {
	e := ends4(80, 5000)
	custom := filter.Limits{
		TCPEstablished: 10 * time.Second, TCPTransitory: 3 * time.Second,
		UDPUnreplied: 4 * time.Second, UDPReplied: 8 * time.Second,
		SCTP: 5 * time.Second, ICMPEcho: 2 * time.Second, OtherIdle: 6 * time.Second,
	}
	for name, tt := range map[string]struct {
		limits       filter.Limits
		udp1, udp2   time.Duration
		sctp, echo   time.Duration
		other, estab time.Duration
	}{
		"defaults": {filter.Limits{}, 2 * minute, 5 * minute, 10 * minute, minute, 10 * minute, 124 * minute},
		"custom": {custom, 4 * time.Second, 8 * time.Second, 5 * time.Second, 2 * time.Second,
			6 * time.Second, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := func() *filter.Filter { return newFilter(t, filter.Config{Limits: tt.limits}) }
			idle := func(idle time.Duration, answer event, begin ...event) {
				t.Helper()
				f := fresh()
				for _, ev := range begin {
					judge(f, 0, ev, 0)
				}
				expect(t, f, idle-1, answer, none)
				f = fresh()
				for _, ev := range begin {
					judge(f, 0, ev, 0)
				}
				if v := judge(f, idle, answer, 0); !v.Response.IsDrop() {
					t.Errorf("%v idle: %v", idle, v)
				}
			}
			idle(tt.udp1, e.udpIn(), e.udpOut())
			idle(tt.udp1, e.udpIn(), e.udpOut(), e.udpOut())
			idle(tt.udp2, e.udpIn(), e.udpOut(), e.udpIn())
			idle(tt.sctp, e.sctpIn(), e.sctpOut())
			idle(tt.echo, e.pongIn(1), e.pingOut(1))
			idle(tt.other, e.plainIn(47), e.plainOut(47))
			idle(tt.estab, e.tcpIn(ack), e.tcpOut(syn), e.tcpIn(synAck), e.tcpOut(ack))
		})
	}
}
