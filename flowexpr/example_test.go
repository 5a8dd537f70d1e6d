package flowexpr_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"tstun/filter"
	"tstun/flow"
	"tstun/flowexpr"
	"tstun/ipproto"
	"tstun/packet"
)

func Example() {
	laptop := flow.NumberedPeer(1)
	expr, err := flowexpr.Compile("in and tcp dst port 22 or 443 and peer laptop", flowexpr.Options{
		Peers: map[string]flow.PeerID{"laptop": laptop},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(expr)
	host, peer := netip.MustParseAddrPort("100.64.0.1:443"), netip.MustParseAddrPort("100.64.0.2:40000")

	var p packet.Parsed
	p.Decode(packet.Generate(packet.TCPHeader{Src: peer, Dst: host, Flags: packet.TCPSyn}, nil))
	s := flowexpr.Packet(&p, filter.Inbound, filter.Verdict{Response: filter.Accept})
	if expr.UsesPeer() {
		s.Peer = laptop
	}
	fmt.Println("a packet:", expr.Match(&s))

	s = flowexpr.Flow(ipproto.TCP, host, peer, filter.InitiatorHost)
	fmt.Println("a flow of the host's:", expr.Match(&s))
	// Output:
	// in and tcp dst port 22 or tcp dst port 443 and peer "laptop"
	// a packet: true
	// a flow of the host's: false
}

func ExampleError() {
	const text = "in and tcp port 443 and net 10.1.2.3/8"
	_, err := flowexpr.Compile(text, flowexpr.Options{})
	var wrong *flowexpr.Error
	if errors.As(err, &wrong) {
		fmt.Println(text)
		fmt.Println(strings.Repeat(" ", wrong.Pos) + "^ " + wrong.Message)
	}
	// Output:
	// in and tcp port 443 and net 10.1.2.3/8
	//                             ^ bits behind the first 8 are set: want net 10.0.0.0/8 or host 10.1.2.3
}
