package netstack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/netstack"
)

const patience = 20 * time.Second // for what should take milliseconds

// node is a Wrapper with a stack on it.
type node struct {
	w      *tstun.Wrapper
	s      *netstack.Stack
	v4, v6 netip.Addr
}

func (n *node) addrs() []netip.Addr { return []netip.Addr{n.v4, n.v6} }

// on returns an address of the node for package net.
func (n *node) on(a netip.Addr, port int) string {
	return netip.AddrPortFrom(a, uint16(port)).String()
}

var nodeAddrs = [2][2]netip.Addr{
	{netip.MustParseAddr("100.64.7.1"), netip.MustParseAddr("fd7a:115c::7:1")},
	{netip.MustParseAddr("100.64.7.2"), netip.MustParseAddr("fd7a:115c::7:2")},
}

// newNode makes the node with the number, on a fake device, with a filter that
// allows everything.
func newNode(t testing.TB, i int) *node {
	t.Helper()
	n := &node{w: tstun.Wrap(nil, tstun.NewFake()), v4: nodeAddrs[i][0], v6: nodeAddrs[i][1]}
	n.w.SetFilter(filter.NewAllowAll(nil))
	return n
}

// start puts the stack on the node's Wrapper.
func (n *node) start(t testing.TB) {
	t.Helper()
	s, err := netstack.New(n.w, netstack.Config{Addrs: n.addrs()})
	if err != nil {
		t.Fatal(err)
	}
	n.s = s
	t.Cleanup(func() {
		n.s.Close()
		n.w.Close()
	})
}

// cable moves packets from one Wrapper to another until either is closed. see,
// if not nil, looks at each packet and may drop it with false.
func cable(from, to *tstun.Wrapper, see func(pkt []byte) bool) {
	const offset = tstun.PacketStartOffset
	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	var out [][]byte
	for {
		n, err := from.Read(bufs, sizes, offset)
		if err != nil {
			return
		}
		out = out[:0]
		for i := range n {
			if sizes[i] > 0 && (see == nil || see(bufs[i][offset:offset+sizes[i]])) {
				out = append(out, bufs[i][:offset+sizes[i]])
			}
		}
		if _, err := to.Write(out, offset); err != nil {
			return
		}
	}
}

// connect makes the two nodes peers of each other without WireGuard.
func connect(t testing.TB, a, b *node, see func(pkt []byte) bool) {
	var wg sync.WaitGroup
	wg.Go(func() { cable(a.w, b.w, see) })
	wg.Go(func() { cable(b.w, a.w, see) })
	t.Cleanup(func() {
		a.w.Close()
		b.w.Close()
		wg.Wait()
	})
}

// backToBack returns two nodes that are connected without WireGuard.
func backToBack(t testing.TB) (a, b *node) {
	t.Helper()
	a, b = newNode(t, 0), newNode(t, 1)
	connect(t, a, b, nil)
	a.start(t)
	b.start(t)
	return a, b
}

// overWireGuard returns two nodes that are connected by wireguard-go devices
// on loopback.
func overWireGuard(t testing.TB) (a, b *node) {
	t.Helper()
	a, b = newNode(t, 0), newNode(t, 1)
	a.start(t)
	b.start(t)
	rig.Join(t, rig.NewNode(t, a.w, a.addrs()...), rig.NewNode(t, b.w, b.addrs()...))
	return a, b
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

func mustListen(t testing.TB, s *netstack.Stack, network, address string) net.Listener {
	t.Helper()
	l, err := s.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustDial(t testing.TB, s *netstack.Stack, network, address string) net.Conn {
	t.Helper()
	c, err := s.DialContext(ctx(t), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) }
