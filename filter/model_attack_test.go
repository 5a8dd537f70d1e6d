package filter_test

import (
	"testing"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// Moves of the directed histories.
func forges(k flowName, flags packet.TCPFlag, where, acks int) move {
	return move{deed: doForge, k: k, arg: int(flags), where: where, acks: acks}
}

func rulesNow(c modelConfig) move { return move{deed: doSwap, config: c} }
func passes(d time.Duration) move { return move{deed: doJump, jump: d} }

func hostTCP(k flowName, what int) move { return move{deed: doHostTCP, k: k, arg: what} }
func peerTCP(k flowName, what int) move { return move{deed: doPeerTCP, k: k, arg: what} }

// Of tcpDeeds.
const (
	connects = iota
	writes
	closes
	halfCloses
	aborts
	repeats
)

// Of modelRules.
const (
	rulesNone = iota
	rules80
	rules53And80
	rulesWide
)

// Where forged numbers are, as forge takes them.
const (
	inOrder, rightAck = 0, 0
	outside, wrongAck = 2, 2
)

func peerSends(k flowName) move   { return move{deed: doPeerSend, k: k} }
func hostAnswers(k flowName) move { return move{deed: doAnswer, k: k} }
func hostBegins(k flowName) move  { return move{deed: doHostSend, k: k} }
func jails(k flowName) move       { return move{deed: doJail, k: k, on: true} }

func floods(peer uint8, hostPort uint16, kind, n int) move {
	return move{deed: doFlood, k: flowName{peer: peer, host: hostPort}, arg: kind, n: n}
}

// TestModelAttacks plays the histories of attacks that once got through, each
// against the invariants of the whole model.
func TestModelAttacks(t *testing.T) {
	const fewFlows = 64
	few := filter.Limits{Flows: fewFlows}
	tcp := flowName{ipproto.TCP, hostile4, 0, 80, 5000}
	udp := flowName{ipproto.UDP, hostile4, 0, 53, 5000}
	gre := flowName{ipproto.GRE, hostile4, 0, 0, 0}
	dns := flowName{ipproto.UDP, honest4, 0, 4000, 53}
	ssh := flowName{ipproto.TCP, honest4, 0, 4001, 443}
	api := flowName{ipproto.TCP, honest4, 0, apiPort, 5000}
	none, web, all := modelConfig{}, modelConfig{rules: rules80}, modelConfig{rules: rulesWide}
	both := modelConfig{rules: rules53And80}
	webKept := modelConfig{rules: rulesNone, keep: true}
	tests := []struct {
		name   string
		config modelConfig
		limits filter.Limits
		moves  []move
	}{
		{"a reset outside of the window in the handshake", web, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, rst, outside, rightAck), forges(tcp, ack, inOrder, rightAck),
			passes(transitory + 1), rulesNow(none), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"the same, and the rule goes first", web, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, rst, outside, rightAck), forges(tcp, ack, inOrder, rightAck),
			rulesNow(none), passes(transitory + 1), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"a wrong ACK in the handshake, which the host resets", web, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, wrongAck), forges(tcp, ack, inOrder, rightAck),
			passes(transitory + 1), rulesNow(none), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"a wrong ACK, in the peer's place", web, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, wrongAck), forges(tcp, ack, inOrder, rightAck),
			passes(transitory + 1), rulesNow(none), hostTCP(tcp, repeats), forges(tcp, finAck, inOrder, rightAck),
			hostTCP(tcp, writes), jails(tcp), forges(tcp, ack, inOrder, rightAck),
		}},
		{"silence until the connection is forgotten", web, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, rightAck),
			passes(established), rulesNow(none), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"UDP evicted by a flood, then a late answer", both, few, []move{
			peerSends(udp), floods(hostile4, 80, 0, 2*fewFlows), rulesNow(none),
			hostAnswers(udp), peerSends(udp),
		}},
		{"UDP evicted, answered, and then the rule goes", both, few, []move{
			peerSends(udp), floods(hostile4, 80, 2, 2*fewFlows), hostAnswers(udp), rulesNow(none), peerSends(udp),
		}},
		{"UDP evicted by another peer's flood, then jail", both, few, []move{
			peerSends(udp), floods(hostile6, 80, 1, 2*fewFlows), hostAnswers(udp), jails(udp), peerSends(udp),
		}},
		{"UDP idle, then a late answer", both, filter.Limits{}, []move{
			peerSends(udp), passes(8 * minute), hostAnswers(udp), rulesNow(none), peerSends(udp),
		}},
		{"UDP idle, and the rule goes first", both, filter.Limits{}, []move{
			peerSends(udp), passes(4 * minute), rulesNow(none), passes(4 * minute), hostAnswers(udp), peerSends(udp),
		}},
		{"GRE idle, then a late answer", all, filter.Limits{OtherIdle: time.Minute}, []move{
			peerSends(gre), passes(5 * minute), rulesNow(none), hostAnswers(gre), peerSends(gre),
		}},
		{"UDP answered after the rule has gone and a restart", both, filter.Limits{}, []move{
			peerSends(udp), rulesNow(none), rulesNow(both), {deed: doRestart}, hostAnswers(udp), rulesNow(none), peerSends(udp),
		}},
		{"an established connection evicted by answered UDP", both, few, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, rightAck),
			floods(hostile4, 80, 2, 2*fewFlows), rulesNow(none), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"the same, and the next segment comes before the rule goes", both, few, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, rightAck),
			floods(hostile4, 80, 2, 2*fewFlows), hostTCP(tcp, writes), rulesNow(none), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"a request evicted, and granted after the rule has gone", both, few, []move{
			forges(tcp, syn, inOrder, rightAck), floods(hostile4, 80, 2, 2*fewFlows), rulesNow(none),
			hostTCP(tcp, repeats), forges(tcp, ack, inOrder, rightAck),
		}},
		{"a request granted after the rule has gone and a restart", both, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), rulesNow(none), {deed: doRestart},
			hostTCP(tcp, repeats), forges(tcp, ack, inOrder, rightAck),
		}},
		{"a revoked connection evicted", both, few, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, rightAck), rulesNow(modelConfig{rules: rules53And80, shields: true}),
			hostTCP(tcp, writes), rulesNow(both), floods(hostile4, 80, 3, 2*fewFlows), rulesNow(none), hostTCP(tcp, writes), forges(tcp, ack, inOrder, rightAck),
		}},
		{"the host's query under a flood", both, few, []move{
			hostBegins(dns), floods(hostile4, 80, 1, 4*fewFlows), peerSends(dns),
		}},
		{"the host's query under a flood that it answers late", both, few, []move{
			hostBegins(dns), peerSends(udp), floods(hostile4, 80, 2, 4*fewFlows), hostAnswers(udp), passes(time.Second),
			floods(hostile6, 53, 2, 4*fewFlows), hostAnswers(udp), peerSends(dns),
		}},
		{"the host's query under a flood that is answered late", both, few, []move{
			hostBegins(dns), floods(hostile4, 80, 6, 4*fewFlows), peerSends(dns),
		}},
		{"the host's connection under floods that are answered late", both, few, []move{
			hostTCP(ssh, connects), floods(hostile4, 80, 6, 2*fewFlows), floods(hostile6, 53, 6, 2*fewFlows), peerTCP(ssh, writes),
		}},
		{"the host's connection under a flood", both, few, []move{
			hostTCP(ssh, connects), floods(hostile4, 80, 3, 2*fewFlows), floods(hostile6, 53, 2, 2*fewFlows), peerTCP(ssh, writes),
		}},
		{"a SYN that the host's listener takes after the host gave up", none, filter.Limits{}, []move{
			hostTCP(tcp, connects), passes(131 * time.Second), forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, rightAck),
		}},
		{"Keep does not revive what other rules have cut", web, filter.Limits{}, []move{
			forges(tcp, syn, inOrder, rightAck), forges(tcp, ack, inOrder, rightAck), rulesNow(none), rulesNow(webKept), forges(tcp, ack, inOrder, rightAck),
		}},
		{"Keep, and then a late answer", both, filter.Limits{}, []move{
			peerSends(udp), rulesNow(webKept), hostAnswers(udp), passes(3 * minute), peerSends(udp),
			passes(8 * minute), hostAnswers(udp), rulesNow(none), peerSends(udp),
		}},
		{"a new connection in the place of one that PeerAPIPort let in", modelConfig{peerAPI: true}, filter.Limits{}, []move{
			peerTCP(api, connects), rulesNow(none), hostTCP(api, closes), passes(2 * minute), forges(api, syn, inOrder, rightAck),
		}},
		{"what PeerAPIPort let in lives on", modelConfig{peerAPI: true}, filter.Limits{}, []move{
			peerTCP(api, connects), rulesNow(none), peerTCP(api, writes), jails(api), peerTCP(api, writes),
		}},
		{"fragments of a datagram whose rule has gone", both, filter.Limits{}, []move{
			{deed: doFragment, k: udp, arg: 0, where: 1}, rulesNow(none), {deed: doFragment, k: udp, arg: 1, where: 1},
		}},
		{"fragments of a datagram of a jailed peer's", both, filter.Limits{}, []move{
			{deed: doFragment, k: udp, arg: 0, where: 1}, jails(udp), {deed: doFragment, k: udp, arg: 1, where: 1},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := setup{tt.config, tt.limits}
			if v, n := playAll(s, tt.moves, nil); v != nil {
				report, _ := explain(s, tt.moves[:n])
				t.Error(report)
			}
		})
	}
}
