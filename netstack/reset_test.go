package netstack_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"tstun/netstack"
)

// A stack's first listener may be one that cannot be.
func TestListenAtAnotherAddress(t *testing.T) {
	a, _ := backToBack(t)
	if l, err := a.s.Listen("tcp", "192.0.2.1:80"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("listens at %v: %v", l, err)
	}
}

// resetConn opens a connection and resets it, and returns its address once the
// other node has the reset, or an error that the dial had.
func resetConn(t *testing.T, from, to *node) (string, error) {
	t.Helper()
	before := to.s.Resets()
	c, err := from.s.DialContext(ctx(t), "tcp", to.on(to.v4, 80))
	if err != nil {
		return "", err
	}
	c.(*netstack.TCPConn).SetLinger(0)
	c.Close()
	for all := ctx(t); to.s.Resets() == before; time.Sleep(time.Millisecond) {
		if all.Err() != nil {
			t.Fatal("the reset did not come")
		}
	}
	return c.LocalAddr().String(), nil
}

// A connection that the peer resets before Accept is accepted, as on Linux,
// has both addresses, and fails at Read or Write.
func TestResetBeforeAccept(t *testing.T) {
	a, b := backToBack(t)
	l := mustListen(t, b.s, "tcp", ":80")
	calls := map[string]func(net.Conn) (int, error){
		"read":  func(c net.Conn) (int, error) { return c.Read(make([]byte, 1)) },
		"write": func(c net.Conn) (int, error) { return c.Write([]byte("x")) },
	}
	for name, call := range calls {
		from, err := resetConn(t, a, b)
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if at := c.RemoteAddr(); at == nil || at.String() != from || c.LocalAddr().String() != b.on(b.v4, 80) {
			t.Errorf("connection from %v to %v, want from %s", at, c.LocalAddr(), from)
		}
		c.SetDeadline(time.Now().Add(patience))
		err = nil
		for err == nil { // the reset may be in the stack's hands still
			_, err = call(c)
		}
		if !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), from) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}

// Connections that were reset before Accept take their places in the backlog
// only until they are accepted.
func TestResetsInTheBacklog(t *testing.T) {
	a, b := backToBack(t)
	const backlog = 8
	l, err := (&netstack.ListenConfig{Stack: b.s, Backlog: backlog}).Listen(ctx(t), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 10 {
		for range backlog {
			if _, err := resetConn(t, a, b); err != nil {
				t.Fatal(err)
			}
		}
		for range backlog {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	}
	good := mustDial(t, a.s, "tcp", b.on(b.v4, 80))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	good.Write([]byte("x"))
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	c.Close()
}
