package filter_test

import (
	"fmt"
	"net/netip"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

func Example() {
	f, err := filter.New(filter.Config{
		Local: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")},
		Matches: []filter.Match{{
			IPProto: []ipproto.Proto{ipproto.TCP},
			Srcs:    []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
			Dsts: []filter.NetPortRange{{
				Net:   netip.MustParsePrefix("100.64.0.1/32"),
				Ports: filter.PortRange{First: 80, Last: 80},
			}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	host := netip.MustParseAddrPort("100.64.0.1:5353")
	peer := netip.MustParseAddrPort("100.64.0.2:53")

	var reply, request packet.Parsed
	reply.Decode(packet.Generate(packet.UDPHeader{Src: peer, Dst: host}, []byte("42")))
	request.Decode(packet.Generate(packet.UDPHeader{Src: host, Dst: peer}, []byte("?")))

	fmt.Println("unasked:", f.In(&reply, 0, 0).Reason)
	f.Record(&request, 1)
	fmt.Println("asked:", f.In(&reply, 2, 0).Response)
	// Output:
	// unasked: no-rule
	// asked: accept
}
