package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/proxy"
)

func TestForwardTCP(t *testing.T) {
	echo := startEcho(t)
	l := listen(t)
	f := &proxy.Forward{To: newLab(), Destination: proxy.Endpoint{Host: "far.example", Port: port(echo)}}
	start(t, func(ctx context.Context) error { return f.ServeTCP(ctx, l) })
	for range 2 {
		c := dial(t, l.Addr().String())
		send(t, c, []byte("hello"))
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// Expose is Forward to the host, whose loopback is meant.
func TestForwardToLoopback(t *testing.T) {
	echo := startEcho(t)
	l := listen(t)
	f := &proxy.Forward{To: proxy.Host{}, Destination: proxy.Endpoint{Host: "127.0.0.1", Port: port(echo)}}
	start(t, func(ctx context.Context) error { return f.ServeTCP(ctx, l) })
	c := dial(t, l.Addr().String())
	send(t, c, []byte("hello"))
	if got := receive(t, c, 5); string(got) != "hello" {
		t.Errorf("got %q", got)
	}
}

// What cannot be reached is a reset, and a log line.
func TestForwardTCPRefused(t *testing.T) {
	closed := listen(t)
	closed.Close()
	logged := make(chan string, 1)
	l := listen(t)
	f := &proxy.Forward{
		To: newLab(), Destination: proxy.Endpoint{Host: "far.example", Port: port(closed.Addr())},
		Logf: func(format string, args ...any) { logged <- fmt.Sprintf(format, args...) },
	}
	start(t, func(ctx context.Context) error { return f.ServeTCP(ctx, l) })
	c, err := net.Dial("tcp", l.Addr().String())
	if err == nil {
		c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	if line := within(t, "a log line", logged); !strings.Contains(line, "far.example") || !strings.Contains(line, "refused") {
		t.Errorf("logged %q", line)
	}
}

// startForwardUDP starts a Forward and returns its address.
func startForwardUDP(t *testing.T, f *proxy.Forward) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(ctx context.Context) error { return f.ServeUDP(ctx, c) })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Each client gets its own answers, also when there are more clients than
// places: then those that were silent longest give way.
func TestForwardUDP(t *testing.T) {
	echo := startUDPEcho(t)
	at := startForwardUDP(t, &proxy.Forward{
		To: newLab(), Destination: proxy.Endpoint{Host: "far.example", Port: port(echo.LocalAddr())}, Limits: proxy.Limits{Datagrams: 4},
	})
	large := bytes.Repeat([]byte("x"), 60000)
	var clients []*net.UDPConn
	for i := range 12 {
		c := listenUDP(t)
		clients = append(clients, c)
		for _, data := range [][]byte{fmt.Appendf(nil, "client %d", i), {}, large} {
			sendTo(t, c, at, data)
			wantFrom(t, c, at, data)
		}
	}
	sendTo(t, clients[0], at, []byte("again"))
	wantFrom(t, clients[0], at, []byte("again"))
}

// A destination that refuses costs datagrams and nothing else.
func TestForwardUDPRefused(t *testing.T) {
	gone := listenUDP(t)
	to := gone.LocalAddr().(*net.UDPAddr)
	gone.Close()
	at := startForwardUDP(t, &proxy.Forward{To: newLab(), Destination: proxy.Endpoint{Host: "far.example", Port: uint16(to.Port)}})
	c := listenUDP(t)
	sendTo(t, c, at, []byte("to nobody"))
	back, err := net.ListenUDP("udp4", to)
	if err != nil {
		t.Skip("another took the port: ", err)
	}
	defer back.Close()
	back.SetReadDeadline(time.Now().Add(patience))
	heard := make(chan string, 100)
	go func() {
		buf := make([]byte, 100)
		n, _, _ := back.ReadFromUDPAddrPort(buf)
		heard <- string(buf[:n])
	}()
	for {
		sendTo(t, c, at, []byte("to somebody"))
		select {
		case got := <-heard:
			if got != "to somebody" && got != "to nobody" {
				t.Errorf("heard %q", got)
			}
			return
		case <-time.After(10 * time.Millisecond): // then once more
		}
	}
}

// closableBuffer is a standard output that can be closed.
type closableBuffer struct {
	bytes.Buffer
	closed bool
}

func (b *closableBuffer) Close() error { b.closed = true; return nil }

func TestConnect(t *testing.T) {
	echo := startEcho(t)
	for _, size := range []int{0, 5, 1 << 20} {
		in, out := bytes.Repeat([]byte("x"), size), &closableBuffer{}
		err := proxy.Connect(t.Context(), newLab(), proxy.Endpoint{Host: "far.example", Port: port(echo)}, bytes.NewReader(in), out)
		if err != nil || !bytes.Equal(out.Bytes(), in) || !out.closed {
			t.Errorf("%d of %d bytes, closed %v, %v", out.Len(), size, out.closed, err)
		}
	}
}

func TestConnectErrors(t *testing.T) {
	closed := listen(t)
	closed.Close()
	for host, want := range map[string]error{far4.String(): syscall.ECONNREFUSED, "localhost": proxy.ErrDestination, "::1": proxy.ErrDestination} {
		err := proxy.Connect(t.Context(), newLab(), proxy.Endpoint{Host: host, Port: port(closed.Addr())}, strings.NewReader(""), io.Discard)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: %v, want %v", host, err, want)
		}
	}
}

// The end of the context, and a reset, end Connect while standard input waits.
func TestConnectEnds(t *testing.T) {
	accepted := make(chan net.Conn, 1)
	server := startTCP(t, func(c net.Conn) {
		accepted <- c
		io.Copy(io.Discard, c)
	})
	for _, reset := range []bool{false, true} {
		stdin, typed := io.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- proxy.Connect(ctx, newLab(), proxy.Endpoint{Host: far4.String(), Port: port(server)}, stdin, io.Discard)
		}()
		c := within(t, "a connection", accepted)
		want := context.Canceled
		if reset {
			want = error(syscall.ECONNRESET)
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		} else {
			cancel()
		}
		if err := within(t, "Connect", done); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		cancel()
		typed.Close()
	}
}
