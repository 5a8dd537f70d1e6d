package flowlog

import (
	"net/netip"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/netlogtype"
)

// A record is the same after it was in the ring.
func TestPack(t *testing.T) {
	at := time.Unix(1_800_000_000, 123)
	four, six := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("[2001:db8::1]:65535")
	for _, r := range []Record{
		{Kind: Began, Time: at, Flow: tstun.FlowRecord{
			Connection: netlogtype.Connection{Proto: ipproto.TCP, Src: four, Dst: four},
			Initiator:  filter.InitiatorPeer, Phase: filter.PhaseNew, First: at, Last: at,
		}},
		{Kind: Ended, Time: at, Flow: tstun.FlowRecord{
			Connection: netlogtype.Connection{Proto: ipproto.ICMPv6, Src: six, Dst: netip.AddrPortFrom(six.Addr(), 0)},
			Counts:     netlogtype.Counts{TxPackets: 1, TxBytes: 1 << 40, RxPackets: 1 << 33, RxBytes: 4},
			Initiator:  filter.InitiatorHost, Phase: filter.PhaseReset, Exempt: true, Revoked: true,
			First: at.Add(-time.Hour), Last: at, End: tstun.FlowReset, Peer: 1 << 63, Policy: 7,
			Audit: filter.Verdict{Response: filter.Drop, Reason: filter.ReasonNoRule},
		}},
		{Kind: Refused, Time: at, Refused: tstun.RefusedRecord{
			Connection: netlogtype.Connection{Proto: ipproto.UDP, Src: four, Dst: four},
			Direction:  filter.Inbound, Reason: filter.ReasonJailed, Stage: filter.ReasonJailed.Stage(),
			Packets: 5, Bytes: 6, First: at, Last: at, Peer: 3, Policy: 9,
		}},
		{Kind: RefusedEnded, Time: at, Refused: tstun.RefusedRecord{
			Connection: netlogtype.Connection{Dst: netip.AddrPortFrom(six.Addr(), 0)},
			Reason:     filter.ReasonNoRule, Stage: filter.ReasonNoRule.Stage(), More: true, Packets: 1, First: at, Last: at,
		}},
	} {
		if p := pack(&r); p.unpack() != r {
			t.Errorf("%+v became %+v", r, p.unpack())
		}
	}
}
