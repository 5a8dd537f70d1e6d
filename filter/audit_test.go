package filter

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/flow"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// first is the first packet of a flow, as the audit filter is to be asked about it.
type first struct {
	d        Direction
	src, dst netip.AddrPort
	proto    ipproto.Proto
}

// verdictOf is what f's ExplainNew says of it.
func (p first) verdictOf(f *Filter) Verdict {
	e := f.ExplainNew(p.d, p.src, p.dst, p.proto)
	return Verdict{Response: e.Response, Reason: e.Reason}
}

// auditFlags are the flags of first segments. A SYN-ACK of the host's accepts a
// connection that the peer began.
var auditFlags = []packet.TCPFlag{packet.TCPSyn, packet.TCPSyn, packet.TCPSynAck, packet.TCPAck}

// packetOf returns a random packet between the two ends, the sender's first. n is a
// number of its own.
func (s space) packetOf(d Direction, host, peer netip.AddrPort, n uint16) (pkt []byte, p first) {
	peer = netip.AddrPortFrom(peer.Addr(), 1000+n)
	p = first{d: d, src: host, dst: peer, proto: someProtos[s.r.IntN(len(someProtos))]}
	if d == Inbound {
		p.src, p.dst = peer, host
	}
	src, dst := p.src, p.dst
	switch p.proto {
	case ipproto.TCP:
		flags := auditFlags[s.r.IntN(len(auditFlags))]
		pkt = packet.Generate(packet.TCPHeader{Src: src, Dst: dst, Flags: flags}, nil)
		if d == Outbound && flags == packet.TCPSynAck {
			p.d, p.src, p.dst = Inbound, peer, host
		}
	case ipproto.UDP:
		pkt = packet.Generate(packet.UDPHeader{Src: src, Dst: dst}, []byte("x"))
	case ipproto.SCTP:
		pkt = craft.SCTP(src, dst)
	case ipproto.GRE:
		pkt = packet.Generate(packet.IPHeader{Src: src.Addr(), Dst: dst.Addr(), Proto: p.proto}, make([]byte, 16))
	default:
		p.proto = ipproto.ICMPv4
		if src.Addr().Is6() {
			p.proto = ipproto.ICMPv6
		}
		pkt = craft.Echo(src.Addr(), dst.Addr(), n, false)
	}
	return pkt, p
}

// What the audit filter is noted to have said of a flow is what its ExplainNew says of
// the flow's first packet, whichever way that went and whoever is held for its initiator.
// So is what it says of a refused flow.
func TestAuditIsExplainNew(t *testing.T) {
	said, by := make(map[Verdict]int), make(map[Initiator]int)
	refused := 0
	for seed := range uint64(80) {
		s := space{rand.New(rand.NewPCG(seed, 21)), 3, int(seed % 4)}
		f, audit := randomFilter(t, s), randomFilter(t, s)
		if seed%10 == 0 {
			f = NewAllowAll(nil) // as the policy is of which stricter ones are tried
		}
		f.state.KeepAccounts(&Accounts{
			Began: func(*Flow) {},
			Ended: func(*Flow, flow.Counts, int64) {},
			Adopt: func(flow.ID) (a flow.Account, c flow.Counts, ok bool) { return },
		})
		f.state.SetAudit(audit)
		begun := make(map[flow.Key]first)
		for n := range uint16(250) {
			v6 := s.r.IntN(3) == 0
			host, peer := s.end(v6), s.end(v6)
			if host.Addr().Is4() != peer.Addr().Is4() {
				continue
			}
			d := directions[s.r.IntN(2)]
			pkt, is := s.packetOf(d, host, peer, n)
			var p packet.Parsed
			p.Decode(pkt)
			var v Verdict
			key, tracked := inKey(&p)
			asked := flow.In(&p)
			if d == Inbound {
				v = f.In(&p, int64(n), 0)
			} else {
				key, tracked = outKey(&p)
				asked = flow.Out(&p)
				if v = f.Out(&p, int64(n), 0); v.Response == Accept {
					f.Record(&p, int64(n))
				}
			}
			if _, known := begun[key]; tracked && !known && f.isOpen(key, int64(n), false) {
				begun[key] = is
			}
			if v.Response == Accept {
				continue
			}
			refused++
			is.d, is.src, is.dst = d, p.Src, p.Dst
			if got, want := AuditVerdict(f.state.AskAudit(d, asked)), is.verdictOf(audit); got != want {
				t.Fatalf("%v %v is refused: the audit filter says %+v, ExplainNew %+v", d, &p, got, want)
			}
		}
		snapshot := f.state.BeginSnapshot()
		snapshot.Collect()
		for fl := range snapshot.All {
			is, ok := begun[fl.Key]
			if want := is.verdictOf(audit); !ok || fl.Audit != want {
				t.Fatalf("seed %d: %v, by %v, from %+v: the audit filter says %+v, ExplainNew %+v", seed, fl.Key, fl.Initiator, is, fl.Audit, want)
			}
			said[fl.Audit]++
			by[fl.Initiator]++
		}
	}
	for _, r := range []Reason{ReasonNone, ReasonNoRule, ReasonNotLocal, ReasonShieldsUp, ReasonLinkLocal, ReasonMartian} {
		if said[verdictFor(r)] == 0 {
			t.Errorf("of no flow does the audit filter say %v", r)
		}
	}
	for _, i := range []Initiator{InitiatorHost, InitiatorPeer, InitiatorUnknown} {
		if by[i] < 100 {
			t.Errorf("%d flows are by %v", by[i], i)
		}
	}
	if refused < 1000 {
		t.Errorf("%d packets were refused", refused)
	}
}
