package e2e_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
)

// timestamps is what the kernel's segments lose to that option: RFC 7323 §3.2,
// with its padding.
const timestamps = 12

// TestKernelsClampedMSS: two kernels connect through WireGuard, one of whose ends
// clamps, and both send segments of that size, whichever connects.
func TestKernelsClampedMSS(t *testing.T) {
	near, nearDev := rig.NewHost(t, rig.TUNOfNew(t))
	far, farDev := rig.NewHost(t, rig.TUNOfNew(t))
	near.Configure(t, host4, host6)
	far.Configure(t, peer4, peer6)
	w, other := tstun.Wrap(t.Logf, nearDev), tstun.Wrap(t.Logf, farDev)
	w.SetFilter(filter.NewAllowAll(nil))
	other.SetFilter(filter.NewAllowAll(nil))
	rig.Join(t, rig.NewNode(t, w, host4, host6), rig.NewNode(t, other, peer4, peer6))
	for _, tt := range []struct {
		name         string
		all, peer    tstun.MSSClamp
		want4, want6 int
	}{
		{"off", tstun.MSSClamp{}, tstun.MSSClamp{}, 1240, 1220},
		{"for all", tstun.ClampToMTU(1000), tstun.MSSClamp{}, 960, 940},
		{"for the peer", tstun.ClampToMTU(1000), tstun.MSSClamp{IPv4: 900, IPv6: 800}, 900, 800},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.SetMSSClamp(tt.all)
			prefixes := []netip.Prefix{netip.PrefixFrom(peer4, 32), netip.PrefixFrom(peer6, 128)}
			if err := w.SetPeers([]tstun.Peer{{Prefixes: prefixes, MSSClamp: tt.peer}}); err != nil {
				t.Fatal(err)
			}
			wantMSS(t, near, far, peer4, tt.want4)
			wantMSS(t, far, near, host4, tt.want4)
			wantMSS(t, near, far, peer6, tt.want6)
			wantMSS(t, far, near, host6, tt.want6)
		})
	}
}

// wantMSS connects two hosts, and checks the size of segments at both ends.
func wantMSS(t *testing.T, from, to *rig.Host, at netip.Addr, want int) {
	t.Helper()
	l := to.ListenTCP(t, netip.AddrPortFrom(at, 0))
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	var c net.Conn
	ctx, cancel := context.WithTimeout(t.Context(), pingWait*10)
	defer cancel()
	if err := from.NS.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, ok := <-accepted
	if !ok {
		t.Fatal("nothing was accepted")
	}
	defer s.Close()
	for end, c := range map[string]net.Conn{"who connects": c, "who accepts": s} {
		if got := maxSegment(t, c) + timestamps; got != want {
			t.Errorf("%v, %s: MSS %d, want %d", at, end, got, want)
		}
	}
}

// maxSegment returns what TCP_MAXSEG says of a connection (tcp(7)).
func maxSegment(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	if err := raw.Control(func(fd uintptr) { n, optErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) }); err != nil || optErr != nil {
		t.Fatal(err, optErr)
	}
	return n
}
