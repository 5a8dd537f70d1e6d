package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/netstack"
)

// forwardPatience is for what should take milliseconds.
const forwardPatience = 20 * time.Second

// joined is two kernels with a TUN each, whose Wrappers are joined without
// WireGuard.
type joined struct {
	client, gateway *rig.Host
	clientW, gwW    *tstun.Wrapper
}

// carry moves packets from one Wrapper to another until either is closed.
func carry(from, to *tstun.Wrapper) {
	const offset = tstun.PacketStartOffset
	bufs, sizes := make([][]byte, from.BatchSize()), make([]int, from.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, offset+65535)
	}
	for {
		n, err := from.Read(bufs, sizes, offset)
		if err != nil {
			return
		}
		var out [][]byte
		for i := range n {
			if sizes[i] > 0 {
				out = append(out, bufs[i][:offset+sizes[i]])
			}
		}
		if _, err := to.Write(out, offset); errors.Is(err, tstun.ErrClosed) {
			return
		}
	}
}

// join makes the two. start is called with the gateway's Wrapper before packets
// flow.
func join(t *testing.T, start func(w *tstun.Wrapper)) *joined {
	t.Helper()
	var j joined
	client, clientDev := rig.NewHost(t, rig.TUNOfNew(t))
	gateway, gwDev := rig.NewHost(t, rig.TUNOfNew(t))
	j.client, j.gateway = client, gateway
	j.clientW, j.gwW = tstun.Wrap(nil, clientDev), tstun.Wrap(nil, gwDev)
	for _, w := range []*tstun.Wrapper{j.clientW, j.gwW} {
		w.SetFilter(filter.NewAllowAll(nil))
	}
	start(j.gwW)
	client.Configure(t, netip.MustParseAddr("100.64.7.1"), netip.MustParseAddr("fd7a:115c::7:1"))
	gateway.Configure(t, netip.MustParseAddr("100.64.7.3"), netip.MustParseAddr("fd7a:115c::7:3"))
	for _, route := range []string{"192.0.2.0/24", "2001:db8::/64"} {
		if err := client.NS.AddRoute(client.Name, netip.MustParsePrefix(route)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { carry(j.clientW, j.gwW) })
	wg.Go(func() { carry(j.gwW, j.clientW) })
	t.Cleanup(func() {
		j.clientW.Close()
		j.gwW.Close()
		wg.Wait()
	})
	return &j
}

// dial dials from the client's kernel.
func (j *joined) dial(network, address string) (c net.Conn, err error) {
	err = j.client.NS.Do(func() (err error) {
		c, err = net.DialTimeout(network, address, forwardPatience)
		return err
	})
	if err == nil {
		c.SetDeadline(time.Now().Add(forwardPatience))
	}
	return c, err
}

// echoes reports whether what is written to c comes back.
func echoes(t *testing.T, c net.Conn, size int) {
	t.Helper()
	defer c.Close()
	sent, got := make([]byte, size), make([]byte, size)
	rand.Read(sent)
	if _, err := c.Write(sent); err != nil {
		t.Errorf("%v: %v", c.RemoteAddr(), err)
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%v: other bytes came back, %v", c.RemoteAddr(), err)
	}
}

// echo serves TCP until l is closed.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

func loopback(t *testing.T) (tcp, udp string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go echo(l)
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		pc.Close()
	})
	return l.Addr().String(), pc.LocalAddr().String()
}

// A stack forwards beside a kernel's TUN, and the peer is a kernel too: each
// address leads to where it should, and refusals arrive as they were made.
func TestForwardBesideTheKernel(t *testing.T) {
	tcp, udp := loopback(t)
	to := func(address string) netstack.DialFunc {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	refusals := map[uint16]error{81: syscall.EHOSTUNREACH, 82: syscall.ENETUNREACH, 83: syscall.ECONNREFUSED}
	relay := netstack.RelayTCP(to(tcp))
	var stack *netstack.Stack
	j := join(t, func(w *tstun.Wrapper) {
		var err error
		stack, err = netstack.New(w, netstack.Config{
			Addrs: []netip.Addr{netip.MustParseAddr("100.64.7.2"), netip.MustParseAddr("fd7a:115c::7:2")},
			Host:  []netip.Prefix{netip.MustParsePrefix("100.64.7.3/32"), netip.MustParsePrefix("fd7a:115c::7:3/128")},
			Forward: &netstack.Forward{
				Rules: []netstack.ForwardRule{{
					Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
					TCP: func(r *netstack.TCPRequest) {
						if err := refusals[r.Destination.Port()]; err != nil {
							r.Reject(err)
							return
						}
						relay(r)
					},
					UDP: netstack.RelayUDP(to(udp)),
				}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stack.Close() })
	})
	own, err := stack.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	go echo(own)
	for _, at := range []string{"100.64.7.3:7", "[fd7a:115c::7:3]:7"} {
		go echo(j.gateway.ListenTCP(t, netip.MustParseAddrPort(at)))
	}
	for _, address := range []string{
		"192.0.2.80:80", "[2001:db8::80]:80", // forwarded
		"100.64.7.2:7", "[fd7a:115c::7:2]:7", // the stack's own
		"100.64.7.3:7", "[fd7a:115c::7:3]:7", // the kernel's
	} {
		c, err := j.dial("tcp", address)
		if err != nil {
			t.Errorf("dial %s: %v", address, err)
			continue
		}
		echoes(t, c, 100_000)
	}
	for port, want := range refusals {
		for _, host := range []string{"192.0.2.80", "2001:db8::80"} {
			address := netip.AddrPortFrom(netip.MustParseAddr(host), port).String()
			if _, err := j.dial("tcp", address); !errors.Is(err, want) {
				t.Errorf("dial %s: %v, want %v", address, err, want)
			}
		}
	}
	for _, address := range []string{"192.0.2.80:9", "[2001:db8::80]:9"} {
		for _, size := range []int{1, 1200, 20_000} { // the last one in fragments
			c, err := j.dial("udp", address)
			if err != nil {
				t.Fatal(err)
			}
			echoes(t, c, size)
		}
	}
	if c := stack.Counters(); c.Drops[netstack.ReasonForward]+c.Drops[netstack.ReasonChecksum]+c.Drops[netstack.ReasonMalformed] > 0 {
		t.Errorf("dropped %v", c.Drops)
	}
}
