package flowlog

import (
	"net/netip"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/netlogtype"
)

// packed is a Record without pointers, so that the garbage collector does not look at the
// ring. Times are nanoseconds of the system's clock since 1970.
type packed struct {
	src, dst          side
	counts            netlogtype.Counts // of a refused flow: Rx alone
	first, last, time int64
	peer              flow.PeerID
	policy            uint32
	proto             ipproto.Proto
	kind              Kind
	initiator         filter.Initiator
	phase             filter.Phase
	end               tstun.FlowEnd
	reason            filter.Reason
	direction         filter.Direction
	audit             filter.Verdict
	flags             uint8
}

const (
	exempt uint8 = 1 << iota
	revoked
	more
)

// side is one side of a flow.
type side struct {
	addr   [16]byte
	port   uint16
	family uint8 // 4 or 6; 0: there is no address
}

func packSide(a netip.AddrPort) side {
	s := side{addr: a.Addr().As16(), port: a.Port()}
	switch {
	case a.Addr().Is4():
		s.family = 4
	case a.Addr().IsValid():
		s.family = 6
	}
	return s
}

func (s *side) addrPort() netip.AddrPort {
	switch a := netip.AddrFrom16(s.addr); s.family {
	case 4:
		return netip.AddrPortFrom(a.Unmap(), s.port)
	case 6:
		return netip.AddrPortFrom(a, s.port)
	}
	return netip.AddrPortFrom(netip.Addr{}, s.port)
}

// pack returns the Record in its short form.
func pack(r *Record) packed {
	c := r.Connection()
	p := packed{src: packSide(c.Src), dst: packSide(c.Dst), proto: c.Proto, kind: r.Kind, time: r.Time.UnixNano()}
	if r.Kind.IsRefused() {
		p.packRefused(&r.Refused)
		return p
	}
	f := &r.Flow
	p.counts, p.first, p.last = f.Counts, f.First.UnixNano(), f.Last.UnixNano()
	p.peer, p.policy, p.audit = f.Peer, f.Policy, f.Audit
	p.initiator, p.phase, p.end = f.Initiator, f.Phase, f.End
	p.set(exempt, f.Exempt)
	p.set(revoked, f.Revoked)
	return p
}

func (p *packed) packRefused(f *tstun.RefusedRecord) {
	p.first, p.last = f.First.UnixNano(), f.Last.UnixNano()
	p.peer, p.policy, p.audit = f.Peer, f.Policy, f.Audit
	p.direction, p.reason = f.Direction, f.Reason
	p.counts.RxPackets, p.counts.RxBytes = f.Packets, f.Bytes
	p.set(more, f.More)
}

func (p *packed) set(flag uint8, on bool) {
	if on {
		p.flags |= flag
	}
}

func (p *packed) has(flag uint8) bool { return p.flags&flag != 0 }

// unpack returns the Record that pack made p of.
func (p *packed) unpack() Record {
	r := Record{Kind: p.kind, Time: time.Unix(0, p.time)}
	c := netlogtype.Connection{Proto: p.proto, Src: p.src.addrPort(), Dst: p.dst.addrPort()}
	first, last := time.Unix(0, p.first), time.Unix(0, p.last)
	if p.kind.IsRefused() {
		r.Refused = tstun.RefusedRecord{
			Connection: c, Direction: p.direction, Reason: p.reason, Stage: p.reason.Stage(), More: p.has(more),
			Packets: p.counts.RxPackets, Bytes: p.counts.RxBytes, First: first, Last: last,
			Peer: p.peer, Policy: p.policy, Audit: p.audit,
		}
		return r
	}
	r.Flow = tstun.FlowRecord{
		Connection: c, Counts: p.counts, Initiator: p.initiator, Phase: p.phase, End: p.end,
		Exempt: p.has(exempt), Revoked: p.has(revoked), First: first, Last: last,
		Peer: p.peer, Policy: p.policy, Audit: p.audit,
	}
	return r
}
