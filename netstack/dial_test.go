package netstack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"tstun"
	"tstun/netstack"
)

func TestRefusedPort(t *testing.T) {
	for _, path := range nets {
		a, b := path.build(t)
		for _, to := range b.addrs() {
			began := time.Now()
			_, err := a.s.DialContext(ctx(t), "tcp", b.on(to, 81))
			if !errors.Is(err, syscall.ECONNREFUSED) || time.Since(began) > time.Second {
				t.Errorf("%s: %v after %v", path.name, err, time.Since(began))
			}
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "dial" || op.Addr.String() != b.on(to, 81) {
				t.Errorf("%s: %#v", path.name, err)
			}
		}
	}
}

func TestDialErrors(t *testing.T) {
	a, b := backToBack(t)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name, network, address string
		ctx                    context.Context
		is                     error
	}{
		{"network", "unix", "/tmp/x", nil, net.UnknownNetworkError("unix")},
		{"no port", "tcp", b.v4.String(), nil, nil},
		{"port range", "tcp", b.v4.String() + ":65536", nil, nil},
		{"port name", "tcp", b.v4.String() + ":http", nil, nil},
		{"name", "tcp", "example.com:80", nil, nil},
		{"zone", "tcp", "[fe80::1%eth0]:80", nil, nil},
		{"family 4", "tcp4", b.on(b.v6, 80), nil, nil},
		{"family 6", "udp6", b.on(b.v4, 80), nil, nil},
		{"nobody", "tcp", ":80", nil, nil},
		{"unspecified", "udp", "0.0.0.0:80", nil, nil},
		{"canceled", "tcp", b.on(b.v4, 80), canceled, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ctx == nil {
				tt.ctx = ctx(t)
			}
			c, err := a.s.DialContext(tt.ctx, tt.network, tt.address)
			var op *net.OpError
			if c != nil || !errors.As(err, &op) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
}

func TestDialTimesOut(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	connect(t, a, b, func([]byte) bool { return false })
	a.start(t)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.s.DialContext(short, "tcp", b.on(b.v4, 80)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial into nowhere: %v", err)
	}
}

func TestListen(t *testing.T) {
	a, b := backToBack(t)
	l := mustListen(t, b.s, "tcp", ":0") // both IP versions
	port := l.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, to := range b.addrs() {
		mustDial(t, a.s, "tcp", b.on(to, port))
	}
	if _, err := b.s.Listen("tcp", b.on(b.v4, port)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	if _, err := b.s.Listen("tcp", "192.0.2.1:80"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("foreign address: %v", err)
	}
	if _, err := b.s.Listen("udp", ":80"); err == nil {
		t.Error("Listen on UDP worked")
	}
	if _, err := b.s.ListenPacket("tcp", ":80"); err == nil {
		t.Error("ListenPacket on TCP worked")
	}
	six := mustListen(t, b.s, "tcp6", ":0")
	if _, err := a.s.DialContext(ctx(t), "tcp", b.on(b.v4, six.Addr().(*net.TCPAddr).Port)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("IPv4 to a tcp6 listener: %v", err)
	}
}

func TestListenerClose(t *testing.T) {
	_, b := backToBack(t)
	l := mustListen(t, b.s, "tcp", ":0")
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	l.Close()
	if err := <-accepted; !isClosed(err) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestNewRefusesBadConfig(t *testing.T) {
	v4, v6 := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd00::1")
	tests := []struct {
		name string
		in   netstack.Config
	}{
		{"no address", netstack.Config{}},
		{"zero address", netstack.Config{Addrs: []netip.Addr{{}}}},
		{"unspecified", netstack.Config{Addrs: []netip.Addr{netip.IPv4Unspecified()}}},
		{"multicast", netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr("224.0.0.1")}}},
		{"mapped", netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr("::ffff:100.64.0.1")}}},
		{"zone", netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr("fe80::1%a")}}},
		{"twice", netstack.Config{Addrs: []netip.Addr{v4, v4}}},
		{"MTU", netstack.Config{Addrs: []netip.Addr{v4}, MTU: 67}},
		{"MTU of IPv6", netstack.Config{Addrs: []netip.Addr{v6}, MTU: 1279}},
		{"big MTU", netstack.Config{Addrs: []netip.Addr{v4}, MTU: 65536}},
		{"host", netstack.Config{Addrs: []netip.Addr{v4}, Host: []netip.Prefix{{}}}},
		{"host bits", netstack.Config{Addrs: []netip.Addr{v4}, Host: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := tstun.Wrap(nil, tstun.NewFake())
			defer w.Close()
			if _, err := netstack.New(w, tt.in); err == nil {
				t.Error("accepted")
			}
			if w.PostFilterIn != nil || w.PreFilterFromTunToNetstack != nil {
				t.Error("left hooks behind")
			}
		})
	}
}
