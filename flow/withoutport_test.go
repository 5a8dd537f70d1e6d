package flow_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/flow"
	"tstun/ipproto"
)

// What an ID says of its key without a port, or of one side of it, is what the key says
// that is made without.
func TestWithoutPort(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	addrs := []netip.Addr{
		netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2"),
		netip.MustParseAddr("::ffff:100.64.0.1"), netip.MustParseAddr("fd7a::1"), netip.MustParseAddr("fd7a::2"),
	}
	some := func() flow.Key {
		at := func() netip.AddrPort {
			return netip.AddrPortFrom(addrs[random.IntN(len(addrs))], uint16(random.IntN(3)))
		}
		return flow.MakeKey([]ipproto.Proto{ipproto.TCP, ipproto.UDP}[random.IntN(2)], at(), at())
	}
	for range 20_000 {
		a, b := some(), some()
		idA, idB := a.ID(), b.ID()
		for _, peer := range []bool{false, true} {
			side, port, rest := flow.Key.Host, a.HostPort(), a.WithPorts(0, a.PeerPort())
			if peer {
				side, port, rest = flow.Key.Peer, a.PeerPort(), a.WithPorts(a.HostPort(), 0)
			}
			if got, want := idA.SameSide(&idB, peer), side(a).Addr() == side(b).Addr(); got != want {
				t.Fatalf("%v, %v, peer %v: same side %v", a, b, peer, got)
			}
			if idA.Port(peer) != port || idA.TagWithoutPort(peer) != rest.Tag() {
				t.Fatalf("%v, peer %v: port %d, tag %#x, want %d, %#x", a, peer, idA.Port(peer), idA.TagWithoutPort(peer), port, rest.Tag())
			}
			var id flow.ID
			id.SetSide(&idA, peer, ipproto.SCTP, 3)
			if want := flow.MakeKey(ipproto.SCTP, netip.AddrPort{}, netip.AddrPortFrom(side(a).Addr(), 3)).ID(); !id.Equal(&want) {
				t.Fatalf("%v, peer %v: the side's key is %v, want %v", a, peer, id.Key(), want.Key())
			}
			if got, want := idA.IsWithoutPort(&b, peer), b == rest; got != want {
				t.Fatalf("%v, %v, peer %v: is without port %v", a, b, peer, got)
			}
			if !idA.IsWithoutPort(&rest, peer) {
				t.Fatalf("%v, peer %v: is not what it is without port", a, peer)
			}
		}
	}
}
