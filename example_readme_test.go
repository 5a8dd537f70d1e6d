package tstun_test

import (
	"fmt"
	"log"
	"net/netip"

	"golang.zx2c4.com/wireguard/device"

	"tstun"
	"tstun/bind"
	"tstun/filter"
	"tstun/ipproto"
)

func Example_readme() {
	dev := tstun.NewFake() // tstun.New(log.Printf, "tun0") makes a real one, as root
	w := tstun.Wrap(log.Printf, dev)
	defer w.Close()

	me := netip.MustParsePrefix("100.64.0.1/32")
	f, err := filter.New(filter.Config{
		Local: []netip.Prefix{me},
		Matches: []filter.Match{{
			IPProto: []ipproto.Proto{ipproto.TCP},
			Srcs:    []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")},
			Dsts:    []filter.NetPortRange{{Net: me, Ports: filter.PortRange{First: 443, Last: 443}}},
		}},
	})
	if err != nil {
		log.Fatal(err) // names the rule
	}
	w.SetFilter(f)
	w.SetStatisticsEnabled(true)

	wg := device.NewDevice(w, bind.New(), device.NewLogger(device.LogLevelError, ""))
	defer wg.Close()
	// Here wg.IpcSet gives it keys and peers. Up is for the program to call.
	if err := wg.Up(); err != nil {
		log.Fatal(err)
	}

	peer := netip.MustParseAddrPort("100.64.0.2:50000")
	for _, port := range []uint16{443, 22} {
		fmt.Println(f.Explain(peer, netip.AddrPortFrom(me.Addr(), port), ipproto.TCP))
	}
	fmt.Println(w.Counters().In.Drops)      // refused packets by reason
	fmt.Println(len(w.ExtractStatistics())) // connections, with packets and bytes
	// Output:
	// accept (rules): rule 0: tcp from 100.64.0.0/10 to 100.64.0.1/32:443
	// drop (rules): No rule allows this new flow.
	// rule 0 comes nearest: port 22 is not in 443
	// map[]
	// 0
}
