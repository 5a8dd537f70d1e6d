package filter_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// deed is what a move of a history does.
type deed uint8

const (
	doJump deed = iota
	doSwap
	doRestart
	doJail
	doHostTCP  // arg: of tcpDeeds
	doPeerTCP  // arg: of tcpDeeds
	doForge    // arg: flags; where, acks
	doHostSend // without connection: the host begins
	doAnswer   // without connection: the host answers
	doPeerSend // without connection
	doError    // arg: flags; where: from which peer
	doFragment // arg: of fragmentParts; where: datagram
	doFlood    // arg: of floodKinds; n flows
)

// tcpDeeds are what a program does with its connections, and TCP itself.
var tcpDeeds = []struct {
	name string
	do   func(*tcpEnd, flowName)
}{
	{"connects", (*tcpEnd).connect},
	{"writes", (*tcpEnd).write},
	{"closes", func(e *tcpEnd, k flowName) { e.finish(k, true) }},
	{"closes one direction", func(e *tcpEnd, k flowName) { e.finish(k, false) }},
	{"aborts", (*tcpEnd).abort},
	{"repeats or keeps alive", (*tcpEnd).repeat},
}

// fragmentParts are parts of a datagram of 64 bytes; those at 0 have the
// header. Two differ in length and overlap.
var fragmentParts = [][2]int{{0, 24}, {24, 48}, {48, 64}, {0, 32}, {16, 40}}

var floodKinds = []string{"UDP", "answered UDP", "UDP both ways", "connections", "pings", "half-open connections", "UDP answered late"}

// move is one step of a history. It means something whatever went before, so
// that a history without some of its moves is one, too.
type move struct {
	deed        deed
	k           flowName
	arg         int
	where, acks int
	n           int
	on          bool
	jump        time.Duration
	config      modelConfig
	hold        bool // what the honest peers answer waits for later moves
}

func (m move) String() string {
	s := ""
	switch m.deed {
	case doJump:
		return fmt.Sprintf("%v pass", m.jump)
	case doSwap:
		return "now in force: " + m.config.String()
	case doRestart:
		return "the program starts again, same rules, no state"
	case doJail:
		return fmt.Sprintf("peer %v jailed: %v", peerAddrs[m.k.peer], m.on)
	case doHostTCP:
		s = "the host " + tcpDeeds[m.arg].name
	case doPeerTCP:
		s = "the peer " + tcpDeeds[m.arg].name
	case doForge:
		s = fmt.Sprintf("the peer forges %v, numbers %s, ack %s", packet.TCPFlag(m.arg),
			[]string{"in order", "in the window", "outside"}[m.where%3], []string{"right", "right", "wrong"}[m.acks%3])
	case doHostSend:
		s = "the host begins"
	case doAnswer:
		s = "the host answers, if it was asked"
	case doPeerSend:
		s = "the peer sends"
	case doError:
		s = fmt.Sprintf("ICMP error from %v", peerAddrs[m.where%modelPeers])
	case doFragment:
		s = fmt.Sprintf("the peer sends bytes %v of datagram %d", fragmentParts[m.arg], m.where)
	case doFlood:
		s = fmt.Sprintf("flood of %d: %s", m.n, floodKinds[m.arg])
	}
	if m.hold {
		s += " (answers are late)"
	}
	return s + ": " + m.k.String()
}

// play does a move.
func (w *world) play(m move) {
	k := m.k
	switch m.deed {
	case doJump:
		w.now += int64(m.jump)
		w.host.expire()
		w.peers.expire()
	case doSwap:
		w.swap(m.config)
	case doRestart:
		w.restart()
	case doJail:
		w.jailed[k.peer] = m.on
	case doHostTCP:
		tcpDeeds[m.arg].do(&w.host, k)
	case doPeerTCP:
		tcpDeeds[m.arg].do(&w.peers, k)
	case doForge:
		w.forge(k, packet.TCPFlag(m.arg), m.where, m.acks)
	case doHostSend:
		w.outbound(k, tcpSegment{}, true)
	case doAnswer:
		if t := w.flows[k]; t != nil && t.peerLast != 0 {
			w.outbound(k, tcpSegment{}, false)
		}
	case doPeerSend:
		w.inbound(k, tcpSegment{})
	case doError:
		w.icmpError(k, uint8(m.where%modelPeers), packet.TCPFlag(m.acks))
	case doFragment:
		part := fragmentParts[m.arg]
		w.fragmentIn(k, m.where, part[0], part[1])
	case doFlood:
		w.flood(m)
	}
	if !m.hold {
		w.settle()
	}
}

// flood opens flows of a peer's that were never there.
func (w *world) flood(m move) {
	var late []flowName
	for range m.n {
		if w.failed != nil {
			return
		}
		w.flooded++
		k := m.k
		k.port = uint16(10_000 + w.flooded%50_000)
		if peerAddrs[k.peer].Is6() {
			k.addr = uint16(w.flooded%250 + 1)
		}
		k.proto = ipproto.UDP
		switch kind := floodKinds[m.arg]; kind {
		case "connections", "half-open connections":
			k.proto = ipproto.TCP
			if w.inbound(k, tcpSegment{flags: syn, seq: 5000}) && kind == "connections" {
				if c := w.host.conns[k]; c != nil {
					w.inbound(k, tcpSegment{flags: ack, seq: c.want, ack: c.next})
				}
			}
		case "pings":
			k.proto, k.host, k.port = ipproto.ICMPv4, k.port, askedByPeer
			if peerAddrs[k.peer].Is6() {
				k.proto = ipproto.ICMPv6
			}
			w.inbound(k, tcpSegment{})
		default:
			switch passed := w.inbound(k, tcpSegment{}); {
			case !passed || kind == "UDP":
			case kind == "UDP answered late":
				late = append(late, k)
			default:
				w.outbound(k, tcpSegment{}, false)
				if kind == "UDP both ways" {
					w.inbound(k, tcpSegment{})
				}
			}
		}
	}
	for _, k := range late {
		w.outbound(k, tcpSegment{}, false)
	}
}

// author makes up histories.
type author struct {
	*rand.Rand
	limits filter.Limits
	focus  []flowName
	// calm histories have few floods, restarts and hostile deeds, so that
	// connections get old.
	calm bool
}

func choose[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// history returns a beginning and steps moves.
func history(seed uint64, steps int) (setup, []move) {
	a := &author{Rand: rand.New(rand.NewPCG(seed, 7))}
	s := setup{modelConfig: a.config(), limits: a.someLimits()}
	a.limits = withDefaults(s.limits)
	a.calm = a.IntN(3) == 0
	for range 2 + a.IntN(3) {
		a.focus = append(a.focus, a.anyFlow())
	}
	moves := make([]move, steps)
	for i := range moves {
		moves[i] = a.move()
	}
	return s, moves
}

func (a *author) someLimits() filter.Limits {
	l := filter.Limits{Flows: 20 + a.IntN(180)}
	if a.IntN(3) == 0 {
		l.TCP, l.UDP, l.ICMP, l.Other = 10+a.IntN(40), 10+a.IntN(40), 4+a.IntN(10), 4+a.IntN(10)
	}
	if a.IntN(4) == 0 {
		l.TCPTransitory, l.UDPUnreplied, l.UDPReplied = 20*time.Second, 5*time.Second, 12*time.Second
		l.SCTP, l.OtherIdle, l.ICMPEcho = 15*time.Second, 15*time.Second, 5*time.Second
		l.TCPEstablished = 10 * time.Minute
	}
	if a.IntN(8) == 0 {
		l.UDPReplied = 30 * time.Minute
	}
	return l
}

func (a *author) config() modelConfig {
	return modelConfig{
		rules: choose(a.Rand, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7), keep: a.IntN(8) == 0, loose: a.IntN(12) == 0,
		shields: a.IntN(10) == 0, noSix: a.IntN(20) == 0, peerAPI: a.IntN(3) == 0,
	}
}

func (a *author) anyFlow() flowName {
	proto := choose(a.Rand, ipproto.TCP, ipproto.TCP, ipproto.TCP, ipproto.UDP, ipproto.UDP, ipproto.ICMPv4, ipproto.SCTP, ipproto.GRE)
	return a.flowOf(proto)
}

func (a *author) flowOf(proto ipproto.Proto) flowName {
	k := flowName{proto: proto, peer: uint8(a.IntN(modelPeers)), host: choose(a.Rand, hostPorts...), port: choose(a.Rand, peerPorts...)}
	switch {
	case proto.IsICMP():
		k.host, k.port = uint16(1+a.IntN(3)), choose[uint16](a.Rand, askedByHost, askedByPeer)
		if peerAddrs[k.peer].Is6() {
			k.proto = ipproto.ICMPv6
		}
	case !proto.HasPorts():
		k.host, k.port = 0, 0
	}
	return k
}

// flow returns one of the few that the history is about, mostly.
func (a *author) flow() flowName {
	if a.IntN(5) == 0 {
		return a.anyFlow()
	}
	return choose(a.Rand, a.focus...)
}

func (a *author) jumpLength() time.Duration {
	l := &a.limits
	t := choose(a.Rand, l.TCPEstablished, l.TCPTransitory, l.TCPTransitory, l.UDPUnreplied, l.UDPReplied, l.SCTP,
		l.ICMPEcho, l.OtherIdle, l.Fragment, 10*time.Minute, 63*time.Second, 2*time.Minute)
	switch a.IntN(8) {
	case 0, 1:
		return choose(a.Rand, time.Millisecond, time.Second, 5*time.Second, 20*time.Second)
	case 2, 3:
		return t + time.Duration(a.IntN(3)-1)
	case 4:
		return time.Duration(a.Int64N(int64(t))) + 1
	case 5:
		return t/2 + time.Duration(a.IntN(2))
	case 6:
		return time.Duration(a.Int64N(int64(20*time.Minute))) + 1
	}
	return choose(a.Rand, time.Minute, 11*time.Minute, time.Hour, 3*time.Hour, time.Second, time.Millisecond)
}

func (a *author) move() move {
	switch n := a.IntN(100); {
	case n < 14:
		return move{deed: doJump, jump: a.jumpLength()}
	case n < 18:
		return move{deed: doSwap, config: a.config()}
	case n < 19:
		if a.IntN(3) == 0 {
			return move{deed: doRestart}
		}
		return a.talk()
	case n < 22:
		return move{deed: doJail, k: flowName{peer: a.flow().peer}, on: a.IntN(2) == 0}
	case n < 24:
		if a.calm || a.IntN(4) != 0 {
			return a.talk()
		}
		return a.floodMove()
	case n < 28:
		return move{deed: doError, k: a.flow(), where: a.IntN(modelPeers), acks: int(choose(a.Rand, syn, ack, rst, synAck))}
	case n < 32:
		k := a.flowOf(ipproto.UDP)
		return move{deed: doFragment, k: k, arg: a.IntN(len(fragmentParts)), where: 1 + a.IntN(2)}
	}
	return a.talk()
}

func (a *author) floodMove() move {
	n := a.limits.Flows
	return move{
		deed: doFlood, k: flowName{peer: uint8(a.IntN(modelPeers)), host: choose(a.Rand, hostPorts...)},
		arg: a.IntN(len(floodKinds)), n: n/4 + a.IntN(n*3/2),
	}
}

// talk is a move of either side in one flow.
func (a *author) talk() move {
	k := a.flow()
	m := move{k: k, hold: a.IntN(6) == 0}
	if k.proto != ipproto.TCP {
		switch n := a.IntN(8); {
		case n < 4 || k.proto.IsICMP() && n < 5:
			m.deed = doPeerSend
		case k.proto.IsICMP():
			m.deed = doHostSend
			m.k.port = askedByHost
		case n < 7 && isService(k.host) || n == 4:
			m.deed = doAnswer
		default:
			m.deed = doHostSend
		}
		return m
	}
	byHost := a.IntN(2) == 0
	m.arg = choose(a.Rand, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5)
	switch {
	case isHostile(k.peer) && !byHost && a.IntN(3) > 0:
		m.deed = doForge
		m.arg = int(choose(a.Rand, syn, syn, ack, ack, ack, rst, rst|ack, finAck, synAck, packet.TCPFin, 0, syn|packet.TCPFin))
		m.where, m.acks = choose(a.Rand, 0, 0, 1, 2), choose(a.Rand, 0, 0, 2)
	case byHost:
		m.deed = doHostTCP
	default:
		m.deed = doPeerTCP
	}
	return m
}
