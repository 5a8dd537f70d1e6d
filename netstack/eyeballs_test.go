package netstack_test

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"tstun/netstack"
	"tstun/packet"
)

// names is a Lookup of one name for all addresses, in this order.
type names []netip.Addr

func (n names) LookupNetIP(_ context.Context, network, _ string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, a := range n {
		if network == "ip" || a.Is4() == (network == "ip4") {
			found = append(found, a)
		}
	}
	return found, nil
}

func (names) LookupPort(ctx context.Context, network, service string) (int, error) {
	return net.DefaultResolver.LookupPort(ctx, network, service)
}

// hole drops the packets to some addresses, and notes who was asked for a
// connection.
type hole struct {
	black []netip.Addr
	mu    sync.Mutex
	asked []netip.Addr // guarded by mu
}

func (h *hole) see(pkt []byte) bool {
	var p packet.Parsed
	p.Decode(pkt)
	to := p.Dst.Addr()
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.TCPFlags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn && !slices.Contains(h.asked, to) {
		h.asked = append(h.asked, to)
	}
	return !slices.Contains(h.black, to)
}

func (h *hole) who() []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

// giveUp cancels a dial some time after so many addresses were asked.
func (h *hole) giveUp(t *testing.T, asked int, cancel func()) {
	for end := time.Now().Add(patience); len(h.who()) < asked; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("asked %v only", h.who())
			break
		}
	}
	time.Sleep(100 * time.Millisecond) // for another address that is not to be asked
	cancel()
}

// eyeball is one dial of the server's name. The server listens on port 80, and
// on port 82 of IPv4.
type eyeball struct {
	name    string
	network string // "": tcp
	port    string // "": 80
	names   names
	black   []netip.Addr
	dialer  netstack.Dialer
	want    netip.Addr // whom the connection leads to; zero: none
	asked   int        // how many addresses were asked
	is      error
}

func TestHappyEyeballs(t *testing.T) {
	v4, v6 := nodeAddrs[1][0], nodeAddrs[1][1]
	nobody6 := netip.MustParseAddr("fd7a:115c::7:99")
	const never, soon = time.Hour, 20 * time.Millisecond
	tests := []eyeball{
		{name: "the first one answers", names: names{v6, v4}, dialer: netstack.Dialer{FallbackDelay: never}, want: v6, asked: 1},
		{name: "the first one's version counts", names: names{v4, v6}, dialer: netstack.Dialer{FallbackDelay: never}, want: v4, asked: 1},
		{name: "IPv6 into a black hole", names: names{v6, v4}, black: []netip.Addr{v6}, dialer: netstack.Dialer{FallbackDelay: soon}, want: v4, asked: 2},
		{name: "IPv4 into a black hole", names: names{v4, v6}, black: []netip.Addr{v4}, dialer: netstack.Dialer{FallbackDelay: soon}, want: v6, asked: 2},
		{name: "default delay", names: names{v6, v4}, black: []netip.Addr{v6}, want: v4, asked: 2},
		{name: "several of the first version", names: names{nobody6, v4, v6}, black: []netip.Addr{nobody6, v4}, dialer: netstack.Dialer{FallbackDelay: soon, Timeout: 4 * time.Second}, want: v6, asked: 3},
		{name: "no fallback", names: names{v6, v4}, black: []netip.Addr{v6}, dialer: netstack.Dialer{FallbackDelay: -1}, asked: 1, is: context.Canceled},
		{name: "one version only", network: "tcp6", names: names{v6, v4}, black: []netip.Addr{v6}, dialer: netstack.Dialer{FallbackDelay: soon}, asked: 1, is: context.Canceled},
		{name: "one version only, the other", network: "tcp4", names: names{v6, v4}, want: v4, asked: 1},
		{name: "both into black holes", names: names{v6, v4}, black: []netip.Addr{v6, v4}, dialer: netstack.Dialer{FallbackDelay: soon}, asked: 2, is: context.Canceled},
		{name: "all refuse", port: "81", names: names{v6, v4}, dialer: netstack.Dialer{FallbackDelay: never}, asked: 2, is: syscall.ECONNREFUSED},
		{name: "the first refuses, without delay", names: names{v6, v4}, port: "82", dialer: netstack.Dialer{FallbackDelay: never}, want: v4, asked: 2},
		{name: "in turn", port: "82", names: names{v6, v4}, dialer: netstack.Dialer{FallbackDelay: -1}, want: v4, asked: 2},
		{name: "local address of IPv4", names: names{v6, v4}, dialer: netstack.Dialer{LocalAddr: &net.TCPAddr{IP: nodeAddrs[0][0].AsSlice()}}, want: v4, asked: 1},
		{name: "local address of IPv6", names: names{v4, v6}, dialer: netstack.Dialer{LocalAddr: &net.TCPAddr{IP: nodeAddrs[0][1].AsSlice()}}, want: v6, asked: 1},
		{name: "local address of no use", names: names{v4}, dialer: netstack.Dialer{LocalAddr: &net.TCPAddr{IP: nodeAddrs[0][1].AsSlice()}}},
		{name: "a service", port: "http", names: names{v4}, want: v4, asked: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t)
		})
	}
}

func (e eyeball) run(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	h := &hole{black: e.black}
	connect(t, a, b, h.see)
	a.start(t)
	b.start(t)
	mustListen(t, b.s, "tcp", ":80")
	mustListen(t, b.s, "tcp4", ":82")
	e.dialer.Stack, e.dialer.Resolver = a.s, e.names
	dial, cancel := context.WithCancel(ctx(t))
	if e.is == context.Canceled {
		wait := background(func() { h.giveUp(t, e.asked, cancel) })
		defer wait()
	}
	defer cancel()
	c, err := e.dialer.DialContext(dial, cmp.Or(e.network, "tcp"), "server.test:"+cmp.Or(e.port, "80"))
	e.check(t, c, err)
	if asked := h.who(); len(asked) != e.asked {
		t.Errorf("asked %v, want %d addresses", asked, e.asked)
	}
	if c != nil {
		if n := a.s.Endpoints(); n == 0 {
			t.Error("the connection is not counted")
		}
		c.(*netstack.TCPConn).SetLinger(0)
		c.Close()
	}
	nothingIsLeft(t, a.s)
}

func (e eyeball) check(t *testing.T, c net.Conn, err error) {
	t.Helper()
	switch {
	case !e.want.IsValid():
		if c != nil || err == nil || e.is != nil && !errors.Is(err, e.is) {
			t.Errorf("got %v, %v; want %v", c, err, e.is)
		}
	case err != nil:
		t.Error(err)
	default:
		if got := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != e.want {
			t.Errorf("connected to %v, want %v", got, e.want)
		}
	}
}

// nothingIsLeft waits until the losers of a race are gone.
func nothingIsLeft(t *testing.T, s *netstack.Stack) {
	t.Helper()
	for end := time.Now().Add(patience); s.Endpoints() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are left", s.Endpoints())
		}
	}
}
