package gso_test

import (
	"fmt"
	"net/netip"

	"tstun/internal/gso"
	"tstun/packet"
)

// Three datagrams of one flow become one super-packet, and come back.
func Example() {
	var pkts [][]byte
	for i, text := range []string{"one.", "two.", "3."} {
		pkts = append(pkts, packet.Generate(packet.UDPHeader{
			Src: netip.MustParseAddrPort("10.0.0.1:5"),
			Dst: netip.MustParseAddrPort("10.0.0.2:6"),
			ID:  uint16(i + 1),
		}, []byte(text)))
	}
	var j gso.Joiner
	j.Plan(pkts, 0, gso.Kinds{UDP: true})

	super := make([]byte, gso.MaxHeader)
	v := j.Header(0, pkts[j.First(0)], super)
	super = super[:v.HeaderLen]
	for i := j.First(0); i >= 0; i = j.After(i) {
		super = append(super, pkts[i][v.HeaderLen:]...)
	}
	fmt.Println(j.Groups(), "group of", j.Len(0), "with", len(super), "bytes")

	opts, err := v.Options(super)
	var s gso.Splitter
	if err == nil {
		err = s.Reset(super, opts)
	}
	for buf := make([]byte, 1500); err == nil && s.More(); {
		var n int
		n, err = s.Next(buf)
		fmt.Printf("%s\n", buf[28:n])
	}
	fmt.Println(err)
	// Output:
	// 1 group of 3 with 38 bytes
	// one.
	// two.
	// 3.
	// <nil>
}
