package netstack_test

import (
	"net/netip"
	"testing"

	"tstun/ipproto"
)

// Listens knows listeners and sockets of UDP by address, and none that is gone, connected
// or of another protocol.
func TestListens(t *testing.T) {
	a, b := backToBack(t)
	const port = 7
	type want struct{ tcp4, tcp6, udp4, udp6 bool }
	check := func(when string, w want) {
		t.Helper()
		got := want{
			a.s.Listens(ipproto.TCP, netip.AddrPortFrom(a.v4, port)), a.s.Listens(ipproto.TCP, netip.AddrPortFrom(a.v6, port)),
			a.s.Listens(ipproto.UDP, netip.AddrPortFrom(a.v4, port)), a.s.Listens(ipproto.UDP, netip.AddrPortFrom(a.v6, port)),
		}
		if got != w {
			t.Errorf("%s: %+v, want %+v", when, got, w)
		}
	}
	check("at first", want{})
	all, err := a.s.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	one, err := a.s.ListenPacket("udp", netip.AddrPortFrom(a.v6, port).String())
	if err != nil {
		t.Fatal(err)
	}
	check("open", want{tcp4: true, tcp6: true, udp6: true})
	if a.s.Listens(ipproto.TCP, netip.AddrPortFrom(a.v4, port+1)) || a.s.Listens(ipproto.SCTP, netip.AddrPortFrom(a.v4, port)) {
		t.Error("another port, or another protocol")
	}
	c, err := b.s.DialContext(ctx(t), "tcp", netip.AddrPortFrom(a.v4, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := all.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	all.Close()
	one.Close()
	check("closed, with a connection open", want{})
}
