package netstack_test

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tstun/packet"
)

// A connection goes on while another address is replaced and the MTU shrinks;
// the new address answers, the old one does not.
func TestNewSettings(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	longest := make(chan int, 1<<16)
	connect(t, a, b, func(pkt []byte) bool {
		select {
		case longest <- len(pkt):
		default:
		}
		return true
	})
	a.start(t)
	b.start(t)
	l := mustListen(t, b.s, "tcp", ":80")
	c := mustDial(t, a.s, "tcp", b.on(b.v4, 80))
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, served)
		got <- n
	}()
	const half = 500_000
	if _, err := io.CopyN(c, pattern(1), half); err != nil {
		t.Fatal(err)
	}
	other := netip.MustParseAddr("fd7a:115c::7:3")
	if err := b.s.SetAddrs([]netip.Addr{other, b.v4}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		if err := n.s.SetMTU(1280); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.CopyN(c, pattern(2), half); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if n := <-got; n != 2*half {
		t.Errorf("%d bytes arrived, want %d", n, 2*half)
	}
	if _, err := a.s.Ping(ctx(t), other); err != nil {
		t.Errorf("the new address: %v", err)
	}
	before := b.s.Counters().In.Packets
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.s.Ping(short, b.v6); err == nil || b.s.Counters().In.Packets != before {
		t.Errorf("the old address: %v", err)
	}
	for len(longest) > 0 {
		<-longest
	}
	c = mustDial(t, a.s, "tcp", b.on(b.v4, 80))
	if _, err := io.CopyN(c, pattern(1), 100_000); err != nil {
		t.Fatal(err)
	}
	for len(longest) > 0 {
		if n := <-longest; n > 1280 {
			t.Fatalf("a packet of %d bytes", n)
		}
	}
}

// What is refused changes nothing.
func TestBadSettings(t *testing.T) {
	a, b := backToBack(t)
	for want, addrs := range map[string][]netip.Addr{
		"no addresses": nil, "given twice": {b.v4, b.v4}, "not one that a stack can have": {in6(b.v4)},
	} {
		if err := b.s.SetAddrs(addrs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for _, mtu := range []int{0, 1279, packet.MaxLen + 1} {
		if err := b.s.SetMTU(mtu); err == nil || !strings.Contains(err.Error(), "want 1280 to") {
			t.Errorf("MTU %d: %v", mtu, err)
		}
	}
	for _, addr := range b.addrs() {
		if _, err := a.s.Ping(ctx(t), addr); err != nil {
			t.Errorf("ping %v: %v", addr, err)
		}
	}
}

func in6(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
