package packet_test

import (
	"fmt"
	"net/netip"

	"tstun/packet"
)

func Example() {
	syn := packet.Generate(packet.TCPHeader{
		Src:   netip.MustParseAddrPort("192.0.2.1:4000"),
		Dst:   netip.MustParseAddrPort("198.51.100.2:80"),
		Flags: packet.TCPSyn,
	}, nil)

	var p packet.Parsed
	p.Decode(syn)
	fmt.Println(p.String())

	p.SetDstAddr(netip.MustParseAddr("10.0.0.7"))
	fmt.Println(p.String())

	reset, _ := p.TCPReset()
	p.Decode(reset)
	fmt.Println(p.String())

	p.Decode(reset[:30])
	fmt.Println(p.Problem())
	// Output:
	// TCP{192.0.2.1:4000 > 198.51.100.2:80 SYN}
	// TCP{192.0.2.1:4000 > 10.0.0.7:80 SYN}
	// TCP{10.0.0.7:80 > 192.0.2.1:4000 RST|ACK}
	// malformed
}
