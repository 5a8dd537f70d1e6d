package netstack_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestPing(t *testing.T) {
	for _, net := range nets {
		t.Run(net.name, func(t *testing.T) {
			a, b := net.build(t)
			for _, to := range []netip.Addr{b.v4, b.v6, a.v4, a.v6} {
				if took, err := a.s.Ping(ctx(t), to); err != nil || took <= 0 {
					t.Errorf("Ping(%v) = %v, %v", to, took, err)
				}
			}
		})
	}
}

func TestPingWithoutReply(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	connect(t, a, b, func([]byte) bool { return false }) // a cable that loses everything
	a.start(t)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := a.s.Ping(short, b.v4); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping of nobody: %v", err)
	}
}

func TestPingRefusesWhatIsNoAddress(t *testing.T) {
	a, _ := backToBack(t)
	for _, to := range []netip.Addr{{}, netip.MustParseAddr("::ffff:1.2.3.4"), netip.MustParseAddr("fe80::1%eth0")} {
		if _, err := a.s.Ping(ctx(t), to); err == nil {
			t.Errorf("Ping(%v) worked", to)
		}
	}
}
