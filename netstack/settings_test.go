package netstack_test

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tstun/netstack"
)

// What package net's Dialer, ListenConfig and setters make of keep-alive, which
// no system call can be asked for here: seen in the stack.
func TestKeepAliveSettings(t *testing.T) {
	const s = time.Second
	def := netstack.Settings{KeepAlive: true, Idle: 15 * s, Interval: 15 * s, Count: 9, NoDelay: true}
	off := def
	off.KeepAlive = false
	own := net.KeepAliveConfig{Enable: true, Idle: 5 * s, Interval: 3 * s, Count: 7}
	tests := []struct {
		name   string
		period time.Duration
		config net.KeepAliveConfig
		want   netstack.Settings
	}{
		{"none", 0, net.KeepAliveConfig{}, def},
		{"period", 40 * s, net.KeepAliveConfig{}, netstack.Settings{KeepAlive: true, Idle: 40 * s, Interval: 15 * s, Count: 9, NoDelay: true}},
		{"off", -1, net.KeepAliveConfig{}, off},
		{"config", -1, own, netstack.Settings{KeepAlive: true, Idle: 5 * s, Interval: 3 * s, Count: 7, NoDelay: true}},
		{"config of defaults", 40 * s, net.KeepAliveConfig{Enable: true}, def},
	}
	a, b := backToBack(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lc := netstack.ListenConfig{Stack: b.s, KeepAlive: tt.period, KeepAliveConfig: tt.config}
			l, err := lc.Listen(ctx(t), "tcp", b.on(b.v4, 0))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			d := netstack.Dialer{Stack: a.s, KeepAlive: tt.period, KeepAliveConfig: tt.config}
			c, err := d.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			e, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			for _, c := range []net.Conn{c, e} {
				if got := c.(*netstack.TCPConn).Settings(); got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
			}
		})
	}
}

func TestSetters(t *testing.T) {
	a, b := backToBack(t)
	l := mustListen(t, b.s, "tcp", ":0")
	c := mustDial(t, a.s, "tcp", b.on(b.v4, port(l.Addr()))).(*netstack.TCPConn)
	want := c.Settings()
	steps := []struct {
		name string
		do   func() error
		want func(*netstack.Settings)
	}{
		{"delay", func() error { return c.SetNoDelay(false) }, func(s *netstack.Settings) { s.NoDelay = false }},
		{"off", func() error { return c.SetKeepAlive(false) }, func(s *netstack.Settings) { s.KeepAlive = false }},
		{"period", func() error { return c.SetKeepAlivePeriod(7 * time.Second) }, func(s *netstack.Settings) { s.Idle = 7 * time.Second }},
		{"no change", func() error { return c.SetKeepAlivePeriod(-1) }, func(*netstack.Settings) {}},
		{"config", func() error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: 100 * time.Millisecond, Count: -1})
		}, func(s *netstack.Settings) { s.KeepAlive, s.Interval = true, 100*time.Millisecond }},
		{"default period", func() error { return c.SetKeepAlivePeriod(0) }, func(s *netstack.Settings) { s.Idle = 15 * time.Second }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		step.want(&want)
		if got := c.Settings(); got != want {
			t.Errorf("%s: got %+v, want %+v", step.name, got, want)
		}
	}
}

// A peer that is gone is noticed by a reader who would wait for ever, on both
// sides.
func TestVanishedPeerIsNoticed(t *testing.T) {
	for i, version := range []string{"IPv4", "IPv6"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			a, b := newNode(t, 0), newNode(t, 1)
			var cut atomic.Bool
			connect(t, a, b, func([]byte) bool { return !cut.Load() })
			a.start(t)
			b.start(t)
			alive := net.KeepAliveConfig{Enable: true, Idle: 60 * time.Millisecond, Interval: 60 * time.Millisecond, Count: 12}
			lc := netstack.ListenConfig{Stack: b.s, KeepAliveConfig: alive}
			l, err := lc.Listen(ctx(t), "tcp", b.on(b.addrs()[i], 0))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			d := netstack.Dialer{Stack: a.s, KeepAliveConfig: alive}
			c, err := d.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			e, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			conns := []net.Conn{c, e}
			lives(t, c, e, 300*time.Millisecond)
			cut.Store(true)
			for _, c := range conns {
				c.SetReadDeadline(time.Now().Add(patience))
				_, err := c.Read(make([]byte, 1))
				noticed(t, err)
			}
		})
	}
}

// lives holds that an idle connection outlives its probes while they are
// answered. Afterwards nothing is unacknowledged, which would be another timer's.
func lives(t *testing.T, c, d net.Conn, idle time.Duration) {
	t.Helper()
	d.Write([]byte("x"))
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("before: %d, %v", n, err)
	}
	c.SetReadDeadline(time.Now().Add(idle))
	if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("idle: %v", err)
	}
}

// noticed wants the error of a connection that timed out, as Linux has it.
func noticed(t *testing.T, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.Is(err, syscall.ETIMEDOUT) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %s", describe(err))
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
