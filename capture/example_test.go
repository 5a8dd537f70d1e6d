package capture_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/packet"
)

// A program captures what a peer sends, and asks what other rules would have done.
func Example() {
	w := tstun.Wrap(nil, tstun.NewFake()) // or a device from tstun.New
	defer w.Close()
	host := netip.MustParseAddr("100.64.0.1")
	allow := func(port uint16) *filter.Filter {
		f, err := filter.New(filter.Config{
			Local: []netip.Prefix{netip.PrefixFrom(host, 32)},
			Matches: []filter.Match{{
				Srcs: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
				Dsts: []filter.NetPortRange{{Net: netip.PrefixFrom(host, 32), Ports: filter.PortRange{First: port, Last: port}}},
			}},
		})
		if err != nil {
			panic(err)
		}
		return f
	}
	w.SetFilter(allow(80))

	var file bytes.Buffer // or an os.File, or a pipe into tshark
	c, err := capture.New(&file, capture.Options{SnapLen: 128})
	if err != nil {
		fmt.Println(err)
		return
	}
	w.SetCapture(c.Sink)
	for _, port := range []uint16{80, 22} { // what WireGuard would do with decrypted packets
		syn := packet.Generate(packet.TCPHeader{
			Src: netip.MustParseAddrPort("100.64.0.2:1000"), Dst: netip.AddrPortFrom(host, port), Flags: packet.TCPSyn,
		}, nil)
		buf := append(make([]byte, tstun.PacketStartOffset), syn...)
		w.Write([][]byte{buf}, tstun.PacketStartOffset)
	}
	w.SetCapture(nil)
	if err := c.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%+v\n", c.Stats())

	each := func(p *capture.Replayed) error {
		fmt.Printf("packet %d: %v then, %v now\n", p.Number, p.Note.Verdict.Response, p.Verdict.Response)
		return nil
	}
	result, err := capture.Replay(&file, allow(22), capture.ReplayOptions{Each: each})
	fmt.Println(result.Different, "different", err)
	// Output:
	// {Seen:2 Written:2 Lost:0 Waiting:0}
	// packet 1: accept then, drop now
	// packet 2: drop then, accept now
	// 2 different <nil>
}
