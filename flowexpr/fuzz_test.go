package flowexpr_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/flow"
	"tstun/flowexpr"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
)

// FuzzCompile: any text compiles or is wrong at a place within it, and what String makes of
// it is the same predicate.
func FuzzCompile(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add(randomExpression(r, 3).text)
	}
	for _, text := range []string{
		"in and dropped and (reason no-rule or shields-up)", `peer laptop or "my phone" or \or`, "accepted or out", "net 10 mask 255.0.0.0",
		"net 10.0.1.0 mask 255.0.255.0", "tcp[13] & 2 != 0", "(((", `"`, `"\xff"`, "portrange 1-", "port 0x50 or http", "len != 5 or less 7",
		"net ::ffff:10.0.0.0/104", "host fe80::1%eth0", "not not !tcp", "src or dst and src or", "port (80 or not (443))",
	} {
		f.Add(text)
	}
	subjects := someSubjects(r)
	f.Fuzz(func(t *testing.T, text string) {
		o := flowexpr.Options{Peers: somePeers}
		e, err := flowexpr.Compile(text, o)
		if wrong := (*flowexpr.Error)(nil); err != nil {
			if !errors.As(err, &wrong) || wrong.Pos > len(text) || !strings.HasPrefix(text[wrong.Pos:], wrong.Token) || wrong.Message == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		again, err := flowexpr.Compile(e.String(), o)
		if err != nil {
			t.Fatalf("%q is not understood: %v", e, err)
		}
		if again.String() != e.String() || again.UsesPeer() != e.UsesPeer() {
			t.Fatalf("%q, and then %q", e, again)
		}
		for i := range subjects {
			if e.Match(&subjects[i]) != again.Match(&subjects[i]) {
				t.Fatalf("%q of %+v: %v, and then not", e, subjects[i], e.Match(&subjects[i]))
			}
		}
	})
}

// someSubjects returns subjects of all kinds.
func someSubjects(r *rand.Rand) (all []flowexpr.Subject) {
	for i := range 60 {
		v := accepted
		if i%3 == 0 {
			v = filter.Verdict{Reason: pick(r, filter.Reasons())}
		}
		s := packetOf(randomPacket(r), i%2 == 0, v)
		s.Peer = flow.PeerID(i % 7)
		all = append(all, s)
	}
	for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, 47} {
		for _, peer := range []netip.Addr{craft.Peer4, craft.Peer6} {
			a, b := netip.AddrPortFrom(pick(r, someAddrs4), 80), netip.AddrPortFrom(peer, pick(r, somePorts))
			all = append(all, flowexpr.Flow(proto, a, b, filter.InitiatorPeer), flowexpr.Flow(proto, a, b, filter.InitiatorUnknown),
				flowexpr.Refused(proto, a, b, filter.Inbound, filter.ReasonNoRule), flowexpr.Refused(0, netip.AddrPort{}, b, filter.Inbound, filter.ReasonHook))
		}
	}
	return all
}
