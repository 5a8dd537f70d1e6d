package tstun_test

import (
	"fmt"
	"net/netip"

	"tstun"
	"tstun/filter"
	"tstun/packet"
)

// A peer may reach one port of the host; everything else it sends is dropped
// and counted under a reason.
func Example() {
	w := tstun.Wrap(nil, tstun.NewFake()) // or a device from tstun.New
	defer w.Close()

	f, err := filter.New(filter.Config{
		Matches: []filter.Match{{
			Srcs: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
			Dsts: []filter.NetPortRange{{
				Net:   netip.MustParsePrefix("100.64.0.1/32"),
				Ports: filter.PortRange{First: 80, Last: 80},
			}},
		}},
		Local: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	w.SetFilter(f)

	// What WireGuard would do with a decrypted packet:
	for _, port := range []uint16{80, 22} {
		b := packet.Generate(packet.TCPHeader{
			Src:   netip.MustParseAddrPort("100.64.0.2:1000"),
			Dst:   netip.AddrPortFrom(netip.MustParseAddr("100.64.0.1"), port),
			Flags: packet.TCPSyn,
		}, nil)
		buf := append(make([]byte, tstun.PacketStartOffset), b...)
		_, err := w.Unbatched().Write(buf, tstun.PacketStartOffset)
		fmt.Println(port, err)
	}
	fmt.Println(w.Counters().In.Drops)
	// Output:
	// 80 <nil>
	// 22 tstun: packet dropped by filter
	// map[no-rule:1]
}

// A hook takes packets before the host sees them.
func ExampleFilterFunc() {
	w := tstun.Wrap(nil, tstun.NewFake())
	defer w.Close()
	w.SetFilter(filter.NewAllowAll(nil))
	w.PostFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		if p.Dst.Port() != 53 {
			return filter.Accept
		}
		fmt.Printf("taken: %q\n", p.Payload())
		return filter.Handled
	}
	b := packet.Generate(packet.UDPHeader{
		Src: netip.MustParseAddrPort("100.64.0.2:1000"),
		Dst: netip.MustParseAddrPort("100.64.0.1:53"),
	}, []byte("query"))
	buf := append(make([]byte, tstun.PacketStartOffset), b...)
	_, err := w.Unbatched().Write(buf, tstun.PacketStartOffset)
	fmt.Println(err)
	// Output:
	// taken: "query"
	// <nil>
}

// TCP connections through the tunnel use segments that fit packets of 1280 bytes,
// and those with one peer smaller ones, since its path is narrow.
func ExampleWrapper_SetMSSClamp() {
	w := tstun.Wrap(nil, tstun.NewFake())
	defer w.Close()
	w.SetMSSClamp(tstun.ClampToMTU(1280))
	err := w.SetPeers([]tstun.Peer{{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("100.64.0.2/32")},
		MSSClamp: tstun.MSSClamp{IPv4: 1000},
	}})
	fmt.Printf("%+v %v\n", tstun.ClampToMTU(1280), err)
	// Output: {IPv4:1240 IPv6:1220} <nil>
}

func ExampleWrapper_Flows() {
	w := tstun.Wrap(nil, tstun.NewFake())
	defer w.Close()
	w.SetFilter(filter.NewAllowNone(nil))
	w.SetFlowRecordsEnabled(true)
	syn := packet.Generate(packet.TCPHeader{
		Src: netip.MustParseAddrPort("100.64.0.2:40000"), Dst: netip.MustParseAddrPort("100.64.0.1:22"), Flags: packet.TCPSyn,
	}, nil)
	if _, err := w.Write([][]byte{append(make([]byte, tstun.PacketStartOffset), syn...)}, tstun.PacketStartOffset); err != nil {
		fmt.Println(err)
	}
	s := w.Flows()
	for r := range s.Refused {
		fmt.Println(r.Direction, r.Proto, r.Dst.Addr(), "to port", r.Src.Port(), r.Reason, r.Packets)
	}
	fmt.Println(s.Len(), "flows,", s.Rest.In.Dropped(), "dropped packets in no record")
	// Output:
	// in tcp 100.64.0.2 to port 22 no-rule 1
	// 0 flows, 0 dropped packets in no record
}
