package attack_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// The addresses are few, so that flows meet, but for a part of the peers'
// that counts rounds: each round has flows of its own.
var (
	host4    = netip.MustParseAddr("172.16.0.1")
	host6    = netip.MustParseAddr("fd00:1::1")
	foreign4 = netip.MustParseAddr("172.16.0.2") // behind the host, not in Local
	foreign6 = netip.MustParseAddr("fd00:1::2")
	hostNet4 = netip.MustParsePrefix("172.16.0.0/16")
	hostNet6 = netip.MustParsePrefix("fd00:1::/64")
	peerNet4 = netip.MustParsePrefix("10.0.0.0/8")
	peerNet6 = netip.MustParsePrefix("fd00:2::/32")

	markIn      = netip.MustParseAddr("172.16.255.1")
	markRefused = netip.MustParseAddr("172.16.255.2")
	markOut     = netip.MustParseAddr("10.255.255.1")
	markPeer    = netip.MustParseAddr("10.255.255.2")
	gateway4    = netip.MustParseAddr("192.0.2.1")
	gateway6    = netip.MustParseAddr("2001:db8::1")

	local = []netip.Prefix{netip.PrefixFrom(host4, 32), netip.PrefixFrom(host6, 128)}
)

// peerAddr returns one of the peers' addresses of a round.
func peerAddr(round int, v6 bool, n byte) netip.Addr {
	if v6 {
		a := [16]byte{0xfd, 0, 0, 2, byte(round >> 8), byte(round), 15: n}
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, byte(round >> 8), byte(round), n})
}

// talk is everything that is said between two endpoints in one protocol: for
// pings, the host's port is the identifier.
type talk struct {
	proto      ipproto.Proto
	host, peer netip.AddrPort
	past       []*step
	script     []line // what a decent pair would say next
	// parted names the difference for which filter and kernel, by intention,
	// hold different states of this flow from then on.
	parted string
}

// line is one TCP segment of a script.
type line struct {
	out   bool
	flags packet.TCPFlag
}

// step is one packet and what both sides said of it.
type step struct {
	pkt    []byte
	out    bool
	kind   kind
	talk   *talk // that it belongs to, or that it quotes
	policy int
	flags  packet.TCPFlag // of TCP
	icmp   uint8          // type
	defect string         // what is wrong with its form
	odd    string         // what is wrong with its quote

	ours   bool
	reason fmt.Stringer
	kernel opinion
}

// kind is what a step is.
type kind uint8

const (
	isData  kind = iota // TCP, UDP, ESP
	isPing              // echo request, or another query
	isPong              // echo response, or another reply
	isError             // ICMP error that quotes the talk
	isInfo              // any other ICMP
)

func (s *step) String() string {
	var p packet.Parsed
	p.Decode(s.pkt)
	way := "in "
	if s.out {
		way = "out"
	}
	return fmt.Sprintf("%s policy %d %v icmp %d %s%s: filter %v (%v), kernel %v (%v, reply %v)",
		way, s.policy, &p, s.icmp, s.defect, s.odd, s.ours, s.reason, s.kernel.accepted, s.kernel.state, s.kernel.reply)
}

// isTCP reports whether s is a TCP segment.
func (s *step) isTCP() bool { return s.talk.proto == ipproto.TCP && s.kind == isData }

// space is the talks of one round.
func space(round int) (talks []*talk) {
	for _, v6 := range []bool{false, true} {
		host, foreign, icmp := host4, foreign4, ipproto.ICMPv4
		if v6 {
			host, foreign, icmp = host6, foreign6, ipproto.ICMPv6
		}
		add := func(proto ipproto.Proto, host netip.Addr, hostPorts []uint16, peerPorts ...uint16) {
			for n := byte(1); n <= 2; n++ {
				for _, hp := range hostPorts {
					for _, pp := range peerPorts {
						talks = append(talks, &talk{
							proto: proto,
							host:  netip.AddrPortFrom(host, hp),
							peer:  netip.AddrPortFrom(peerAddr(round, v6, n), pp),
						})
					}
				}
			}
		}
		add(ipproto.TCP, host, []uint16{22, 80, 5000}, 80, 4000)
		add(ipproto.UDP, host, []uint16{53, 80, 5000}, 53)
		add(icmp, host, []uint16{1, 2}, 0)
		add(protoESP, host, []uint16{0}, 0)
		add(ipproto.TCP, foreign, []uint16{22}, 80)
		add(ipproto.UDP, foreign, []uint16{53}, 53)
	}
	return talks
}

// pick returns one of the choices, each as often as its weight says.
func pick[T any](rng *rand.Rand, choices []weighted[T]) T {
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := rng.IntN(sum)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.value
		}
	}
	panic("unreachable")
}

type weighted[T any] struct {
	weight int
	value  T
}
