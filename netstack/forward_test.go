package netstack_test

import (
	"bytes"
	"context"
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
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/netstack"
)

// beyond are addresses that neither node has.
var beyond = [2]netip.Addr{netip.MustParseAddr("192.0.2.80"), netip.MustParseAddr("2001:db8::80")}

var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// gateway returns a node, and one that forwards for it.
func gateway(t testing.TB, c netstack.Forward) (peer, gw *node) {
	t.Helper()
	return gatewayOn(t, tstun.Wrap(nil, tstun.NewFake()), netstack.Config{Forward: &c})
}

func gatewayOn(t testing.TB, w *tstun.Wrapper, c netstack.Config) (peer, gw *node) {
	t.Helper()
	peer, gw = newNode(t, 0), newNode(t, 1)
	gw.w.Close()
	gw.w = w
	gw.w.SetFilter(filter.NewAllowAll(nil))
	connect(t, peer, gw, nil)
	peer.start(t)
	c.Addrs = gw.addrs()
	s, err := netstack.New(gw.w, c)
	if err != nil {
		t.Fatal(err)
	}
	gw.s = s
	t.Cleanup(func() { s.Close() })
	return peer, gw
}

func forwardAll(tcp func(*netstack.TCPRequest), udp func(*netstack.UDPRequest)) netstack.Forward {
	return netstack.Forward{Rules: []netstack.ForwardRule{{Prefixes: everywhere, TCP: tcp, UDP: udp}}}
}

// dialer dials one address whatever it is asked for, and notes what that was.
type dialer struct {
	to    string
	asked chan string
}

func newDialer(to net.Addr) *dialer { return &dialer{to: to.String(), asked: make(chan string, 1000)} }

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.asked <- network + " " + address
	return (&net.Dialer{}).DialContext(ctx, network, d.to)
}

// serveBeyond runs handler for each connection to a real listener on loopback.
func serveBeyond(t *testing.T, handler func(*net.TCPConn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				handler(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr()
}

func TestForwardTCP(t *testing.T) {
	far := newDialer(serveBeyond(t, func(c *net.TCPConn) { io.Copy(c, c) }))
	peer, gw := gateway(t, forwardAll(netstack.RelayTCP(far.dial), nil))
	for _, to := range beyond {
		address := netip.AddrPortFrom(to, 443).String()
		c := mustDial(t, peer.s, "tcp", address)
		if got := <-far.asked; got != "tcp "+address {
			t.Errorf("dialed %q, want %s", got, address)
		}
		const size = 3 << 20
		go func() {
			io.CopyN(c, pattern(7), size)
			c.(*netstack.TCPConn).CloseWrite() // the echo ends by it
		}()
		want, got := make([]byte, size), new(bytes.Buffer)
		io.ReadFull(pattern(7), want)
		if _, err := io.Copy(got, c); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%v: %d bytes came back, %v", to, got.Len(), err)
		}
		c.Close()
	}
	drops := gw.s.Counters().Drops
	delete(drops, netstack.ReasonNoSocket) // acknowledgements that cross the end
	if len(drops) > 0 {
		t.Errorf("dropped %v", drops)
	}
}

// The handler sees both ends, and the peer no answer before the handler gives
// it.
func TestForwardWaitsForTheHandler(t *testing.T) {
	requests := make(chan *netstack.TCPRequest)
	done := make(chan struct{})
	peer, gw := gateway(t, forwardAll(func(r *netstack.TCPRequest) {
		requests <- r
		<-done
	}, nil))
	conn := make(chan net.Conn)
	go func() {
		c, err := peer.s.DialContext(ctx(t), "tcp", netip.AddrPortFrom(beyond[0], 22).String())
		if err != nil {
			t.Error(err)
		}
		conn <- c
	}()
	r := <-requests
	if n := peer.w.Counters().In.Packets; n != 0 {
		t.Errorf("the peer got %d packets before the answer", n)
	}
	if c := gw.s.Counters(); c.Opening != 1 || c.Connections != 0 {
		t.Errorf("counted %+v", c)
	}
	mine, err := r.Accept()
	if err != nil {
		t.Fatal(err)
	}
	theirs := <-conn
	if mine.LocalAddr().String() != "192.0.2.80:22" || mine.LocalAddr().String() != r.Destination.String() ||
		mine.RemoteAddr().String() != theirs.LocalAddr().String() || mine.RemoteAddr().String() != r.Source.String() {
		t.Errorf("connection from %v to %v, request %v to %v", mine.RemoteAddr(), mine.LocalAddr(), r.Source, r.Destination)
	}
	if _, err := r.Accept(); !errors.Is(err, netstack.ErrAnswered) {
		t.Errorf("second Accept: %v", err)
	}
	r.Reject(nil) // of no effect
	awaitOpening(t, gw, 0)
	if c := gw.s.Counters(); c.Connections != 1 {
		t.Errorf("counted %+v", c)
	}
	close(done)
	fromPeer := make(chan error)
	go func() { _, err := theirs.Write([]byte("x")); fromPeer <- err }()
	if _, err := io.ReadFull(mine, make([]byte, 1)); err != nil || <-fromPeer != nil {
		t.Errorf("read %v", err)
	}
	mine.Close()
	theirs.Close()
}

// The peer's dial fails as the one beyond did.
func TestForwardRejects(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	answers := make(chan error, 1)
	real := netstack.RelayTCP(newDialer(closed.Addr()).dial)
	peer, gw := gateway(t, forwardAll(func(r *netstack.TCPRequest) {
		switch err := <-answers; err {
		case io.EOF: // dial for real
			real(r)
		case io.ErrUnexpectedEOF: // no answer
		default:
			r.Reject(err)
		}
	}, nil))
	tests := []struct {
		answer error
		want   syscall.Errno
	}{
		{io.EOF, syscall.ECONNREFUSED},
		{io.ErrUnexpectedEOF, syscall.ECONNREFUSED},
		{errors.New("any"), syscall.ECONNREFUSED},
		{&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, syscall.EHOSTUNREACH},
		{syscall.ENETUNREACH, syscall.ENETUNREACH},
	}
	for _, tt := range tests {
		for _, to := range beyond {
			if to.Is6() && tt.want == syscall.EHOSTUNREACH {
				continue // gVisor's client ignores it; Linux' does not
			}
			answers <- tt.answer
			_, err := peer.s.DialContext(ctx(t), "tcp", netip.AddrPortFrom(to, 25).String())
			if !errors.Is(err, tt.want) {
				t.Errorf("%v: peer's dial to %v: %v, want %v", tt.answer, to, err, tt.want)
			}
		}
	}
	awaitOpening(t, gw, 0)
	if c := gw.s.Counters(); c.Dropped() > 0 {
		t.Errorf("counted %+v", c)
	}
}

// awaitOpening waits until so many requests are not answered, or for too long:
// a peer may have the answer before the place is free.
func awaitOpening(t *testing.T, gw *node, want int) {
	t.Helper()
	for until := time.Now().Add(patience); gw.s.Counters().Opening != want; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("counted %+v, want %d requests", gw.s.Counters(), want)
		}
	}
}

// A reset goes through in both directions.
func TestForwardCarriesResets(t *testing.T) {
	got := make(chan error, 1)
	far := newDialer(serveBeyond(t, func(c *net.TCPConn) {
		one := make([]byte, 1)
		io.ReadFull(c, one)
		if one[0] == 'r' {
			c.SetLinger(0) // and Close resets
			return
		}
		c.Write(one)
		_, err := c.Read(one)
		got <- err
	}))
	peer, _ := gateway(t, forwardAll(netstack.RelayTCP(far.dial), nil))
	c := mustDial(t, peer.s, "tcp", "192.0.2.1:80")
	c.Write([]byte("r"))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server reset, the peer read %v", err)
	}
	c = mustDial(t, peer.s, "tcp", "192.0.2.1:80")
	c.Write([]byte("w"))
	io.ReadFull(c, make([]byte, 1))
	c.(*netstack.TCPConn).SetLinger(0)
	c.Close()
	if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer reset, the server read %v", err)
	}
}

// What no rule covers goes to the device, as do the host's own addresses; what
// the stack listens on is its own.
func TestForwardLeavesTheRest(t *testing.T) {
	dev := testdev.New(1)
	web := netip.MustParsePrefix("192.0.2.0/24")
	asked := make(chan string, 10)
	peer, gw := gatewayOn(t, tstun.Wrap(nil, dev), netstack.Config{
		Host: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")},
		Forward: &netstack.Forward{Rules: []netstack.ForwardRule{{
			Prefixes: []netip.Prefix{web}, Ports: []filter.PortRange{{First: 80, Last: 90}},
			TCP: func(r *netstack.TCPRequest) { asked <- r.Destination.String() },
		}}},
	})
	from := peer.on(peer.v4, 5)
	rest := [][]byte{
		syn(from, "192.0.2.1:79"), syn(from, "192.0.2.1:91"), syn(from, "192.0.3.1:80"), syn(from, "192.0.2.9:80"),
		udpPacket(from, "192.0.2.1:80", "no rule for UDP"), syn("[fd7a:115c::7:1]:5", "[2001:db8::1]:80"),
		craft.Echo(peer.v4, netip.MustParseAddr("192.0.2.1"), 1, false),
	}
	for _, pkt := range rest {
		receive(t, gw.w, pkt)
	}
	if got := dev.Written(); len(got) != len(rest) {
		t.Errorf("%d packets reached the device, want %d", len(got), len(rest))
	}
	l := mustListen(t, gw.s, "tcp", ":80") // also for any address
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	mustDial(t, peer.s, "tcp", gw.on(gw.v4, 80))
	if _, err := peer.s.DialContext(ctx(t), "tcp", "192.0.2.1:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial of what the handler refuses: %v", err)
	}
	if got := <-asked; got != "192.0.2.1:80" || len(asked) > 0 {
		t.Errorf("the handler was asked for %s and %d more", got, len(asked))
	}
	// Nobody speaks in the host's or the stack's name.
	before := gw.w.Counters().In.Drops[filter.ReasonHook]
	receive(t, gw.w, syn("192.0.2.9:5", "192.0.2.1:80"))
	receive(t, gw.w, syn(gw.on(gw.v4, 5), "192.0.2.1:80"))
	if n := gw.w.Counters().In.Drops[filter.ReasonHook] - before; n != 2 {
		t.Errorf("%d forged packets were dropped, want 2", n)
	}
	if got := dev.Written(); len(got) > 0 {
		t.Errorf("more packets reached the device: %x", got)
	}
}

// A SYN flood through the forwarder is bounded by memory like any.
func TestForwardCountsInMemory(t *testing.T) {
	c := forwardAll(func(r *netstack.TCPRequest) {
		if c, err := r.Accept(); err == nil {
			<-r.Context().Done()
			defer c.Close()
			c.Read(make([]byte, 1))
		}
	}, nil)
	const conns = 64 // what Memory below is for
	peer, gw := gatewayOn(t, tstun.Wrap(nil, tstun.NewFake()), netstack.Config{Memory: conns * 16 << 10, Forward: &c})
	var open int
	var refused error
	for i := 0; i < 2*conns && refused == nil; i++ {
		c, err := peer.s.DialContext(ctx(t), "tcp", netip.AddrPortFrom(beyond[0], uint16(1+i)).String())
		if refused = err; err == nil {
			defer c.Close()
			open++
		}
	}
	count := gw.s.Counters()
	if !errors.Is(refused, syscall.ECONNREFUSED) || count.Drops[netstack.ReasonMemory] == 0 || open < conns/4 || open > conns {
		t.Errorf("%d connections, then %v: %+v", open, refused, count)
	}
	if count.Memory < int64(open)*16<<10 || count.MemoryBound != conns*16<<10 {
		t.Errorf("%d connections take %d bytes of %d", open, count.Memory, count.MemoryBound)
	}
}
