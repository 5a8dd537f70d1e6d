package proxy_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	xproxy "golang.org/x/net/proxy"

	"tstun/cmd/tstun/internal/proxy"
)

var errNoNetwork error = syscall.ENETUNREACH

// request returns a request of RFC 1928 §4 for a name, or an address.
func request(command byte, host string, port uint16) []byte {
	b := []byte{5, command, 0}
	if a, err := netip.ParseAddr(host); err != nil {
		b = append(append(b, 3, byte(len(host))), host...)
	} else if a.Is4() {
		b = append(append(b, 1), a.AsSlice()...)
	} else {
		b = append(append(b, 4), a.AsSlice()...)
	}
	return binary.BigEndian.AppendUint16(b, port)
}

// greet opens a connection to a server without a password.
func greet(t testing.TB, server string) *net.TCPConn {
	t.Helper()
	c := dial(t, server)
	send(t, c, []byte{5, 1, 0})
	if got := receive(t, c, 2); !bytes.Equal(got, []byte{5, 0}) {
		t.Fatalf("method %x", got)
	}
	return c
}

// readReply returns code and bound address of a reply.
func readReply(t testing.TB, c io.Reader) (byte, netip.AddrPort) {
	t.Helper()
	head := receive(t, c, 4)
	length := map[byte]int{1: 4, 4: 16}[head[3]]
	if head[0] != 5 || head[2] != 0 || length == 0 {
		t.Fatalf("reply begins with %x", head)
	}
	rest := receive(t, c, length+2)
	ip, _ := netip.AddrFromSlice(rest[:length])
	return head[1], netip.AddrPortFrom(ip, binary.BigEndian.Uint16(rest[length:]))
}

func TestSOCKS5Connect(t *testing.T) {
	echo := startEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	for _, host := range []string{far4.String(), "::ffff:192.0.2.1", "far.example", "second.example"} {
		t.Run(host, func(t *testing.T) {
			c := greet(t, server)
			// The data may come in one segment with the request.
			send(t, c, append(request(1, host, port(echo)), "hello"...))
			code, bound := readReply(t, c)
			if code != 0 || bound.Addr() != near4 || bound.Port() == 0 {
				t.Fatalf("reply %d, bound to %v", code, bound)
			}
			c.CloseWrite() // the rest comes all the same
			if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Each refusal has its code, and a reply of ten bytes, whatever the request's
// address was.
func TestSOCKS5Refusals(t *testing.T) {
	closed := listen(t)
	closed.Close()
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Limits: proxy.Limits{Dial: 50 * time.Millisecond}})
	tests := []struct {
		name string
		in   []byte
		want byte
	}{
		{"bad version", []byte{4, 1, 0, 1, 192, 0, 2, 1, 0, 80}, 1},
		{"reserved byte", []byte{5, 1, 9, 1, 192, 0, 2, 1, 0, 80}, 1},
		{"empty name", []byte{5, 1, 0, 3, 0, 0, 80}, 1},
		{"not allowed", request(1, "127.0.0.1", 80), 2},
		{"no network", request(1, nowhere.String(), 80), 3},
		{"no such name", request(1, "missing.example", 80), 4},
		{"refused", request(1, far4.String(), port(closed.Addr())), 5},
		{"no time left", request(1, silent.String(), 80), 6},
		{"BIND", request(2, far4.String(), 80), 7},
		{"unknown command", request(9, far4.String(), 80), 7},
		{"unknown address type", []byte{5, 1, 0, 2, 192, 0, 2, 1, 0, 80}, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := greet(t, server)
			send(t, c, append(tt.in, "early data that nobody reads"...))
			want := []byte{5, tt.want, 0, 1, 0, 0, 0, 0, 0, 0}
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
				t.Errorf("reply %x, %v, want %x", got, err, want)
			}
		})
	}
}

// Nothing is dialled for any spelling of the host itself, not even where a
// server listens.
func TestSOCKS5RefusesTheHost(t *testing.T) {
	echo := startEcho(t)
	network := newLab()
	server := startSOCKS(t, &proxy.SOCKS5{Network: network})
	for _, host := range own {
		for form, in := range map[string][]byte{"address": request(1, host, port(echo)), "name": asName(1, host, port(echo))} {
			t.Run(host+"/"+form, func(t *testing.T) {
				c := greet(t, server)
				send(t, c, in)
				if code, _ := readReply(t, c); code != 2 {
					t.Errorf("reply %d, want 2", code)
				}
			})
		}
	}
	if n := network.dials.Load(); n != 0 {
		t.Errorf("%d dials", n)
	}
	c := greet(t, server) // the one address that is left is good
	send(t, c, request(1, "rebound.example", port(echo)))
	if code, _ := readReply(t, c); code != 0 || network.dials.Load() != 1 {
		t.Errorf("reply %d, %d dials", code, network.dials.Load())
	}
}

func TestSOCKS5Methods(t *testing.T) {
	credentials := proxy.Credentials{Username: "alice", Password: strings.Repeat("x", 255)}
	open := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	locked := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Credentials: credentials})
	login := func(version byte, name, password string) []byte {
		b := append([]byte{version, byte(len(name))}, name...)
		return append(append(b, byte(len(password))), password...)
	}
	tests := []struct {
		name   string
		server string
		in     []byte
		want   []byte // all that the server says
	}{
		{"version 4", open, []byte{4, 1, 0, 80, 192, 0, 2, 1, 0}, nil},
		{"HTTP", open, []byte("GET / HTTP/1.1\r\n\r\n"), nil},
		{"no methods", open, []byte{5, 0}, []byte{5, 0xff}},
		{"GSSAPI alone", open, []byte{5, 1, 1}, []byte{5, 0xff}},
		{"password alone, and none is needed", open, []byte{5, 1, 2}, []byte{5, 0xff}},
		{"none, and one is needed", locked, []byte{5, 1, 0}, []byte{5, 0xff}},
		{"right", locked, append([]byte{5, 3, 0, 1, 2}, login(1, "alice", credentials.Password)...), []byte{5, 2, 1, 0}},
		{"wrong password", locked, append([]byte{5, 1, 2}, login(1, "alice", "y")...), []byte{5, 2, 1, 1}},
		{"wrong name", locked, append([]byte{5, 1, 2}, login(1, "bob", credentials.Password)...), []byte{5, 2, 1, 1}},
		{"empty", locked, append([]byte{5, 1, 2}, login(1, "", "")...), []byte{5, 2, 1, 1}},
		{"wrong version", locked, append([]byte{5, 1, 2}, login(5, "alice", credentials.Password)...), []byte{5, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, tt.server)
			send(t, c, tt.in)
			c.CloseWrite()
			got, err := io.ReadAll(c)
			// What came after a broken greeting was not read: a reset is right.
			if !bytes.Equal(got, tt.want) || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %x, %v, want %x", got, err, tt.want)
			}
		})
	}
}

// TestSOCKS5SecondClient uses the client of golang.org/x/net.
func TestSOCKS5SecondClient(t *testing.T) {
	echo := startEcho(t)
	credentials := proxy.Credentials{Username: "alice", Password: "secret"}
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Credentials: credentials})
	for password, wrong := range map[string]bool{"secret": false, "guess": true} {
		client, err := xproxy.SOCKS5("tcp", server, &xproxy.Auth{User: "alice", Password: password}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Dial("tcp", fmt.Sprintf("far.example:%d", port(echo)))
		if (err != nil) != wrong {
			t.Errorf("%s: %v", password, err)
		}
		if err != nil {
			continue
		}
		send(t, c, []byte("hello"))
		if got := receive(t, c, 5); string(got) != "hello" {
			t.Errorf("got %q", got)
		}
		c.Close()
	}
}

func TestSOCKS5ThousandConnectionsAtOnce(t *testing.T) {
	const clients = 1000
	echo := startEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	client, err := xproxy.SOCKS5("tcp", server, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var open, all sync.WaitGroup
	open.Add(clients)
	for i := range clients {
		all.Go(func() {
			c, err := client.Dial("tcp", far(echo))
			open.Done()
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			defer c.Close()
			open.Wait() // now all are
			word := fmt.Sprintf("client %04d", i)
			if _, err := io.WriteString(c, word); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			got := make([]byte, len(word))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
				t.Errorf("client %d got %q, %v", i, got, err)
			}
		})
	}
	all.Wait()
}

// A client that says nothing, or one byte, holds its place for as long as a
// handshake may take and no longer.
func TestSOCKS5SlowHandshakes(t *testing.T) {
	echo := startEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Limits: proxy.Limits{Connections: 3, Handshake: 100 * time.Millisecond}})
	for _, in := range []string{"", "\x05", "\x05\x01\x00"} {
		c := dial(t, server)
		io.WriteString(c, in)
		defer c.Close()
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %v", in, err) // the server did not hang up
		}
	}
	c := greet(t, server)
	send(t, c, request(1, far4.String(), port(echo)))
	if code, _ := readReply(t, c); code != 0 {
		t.Errorf("reply %d", code)
	}
}

// What is open outlives the time for the handshake.
func TestSOCKS5OpenConnectionIsIdle(t *testing.T) {
	t.Parallel()
	const handshake = time.Second
	echo := startEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Limits: proxy.Limits{Handshake: handshake}})
	c := greet(t, server)
	send(t, c, request(1, far4.String(), port(echo)))
	readReply(t, c)
	<-time.After(handshake + handshake/10)
	send(t, c, []byte("hello"))
	if got := receive(t, c, 5); string(got) != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestSOCKS5Limit(t *testing.T) {
	echo := startEcho(t)
	logged := make(chan string, 10)
	s := &proxy.SOCKS5{
		Network: newLab(), Limits: proxy.Limits{Connections: 1},
		Logf: func(format string, args ...any) { logged <- fmt.Sprintf(format, args...) },
	}
	server := startSOCKS(t, s)
	first := greet(t, server)
	for range 2 {
		second, err := net.Dial("tcp", server)
		if err != nil {
			continue // reset at once
		}
		second.SetDeadline(time.Now().Add(patience))
		if _, err := second.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("one more: %v", err)
		}
		second.Close()
	}
	if line := within(t, "a log line", logged); !strings.Contains(line, "1 are served") || len(logged) != 0 {
		t.Errorf("logged %q and %d more", line, len(logged))
	}
	send(t, first, request(1, far4.String(), port(echo)))
	if code, _ := readReply(t, first); code != 0 {
		t.Errorf("reply %d", code)
	}
}

// At the end of its context, Serve ends whatever is open.
func TestSOCKS5End(t *testing.T) {
	echo := startEcho(t)
	l := listen(t)
	s := &proxy.SOCKS5{Network: newLab()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	addr := l.Addr().String()
	connected, associated, dialling, greeting := greet(t, addr), greet(t, addr), greet(t, addr), greet(t, addr)
	send(t, dialling, request(1, silent.String(), 80))
	send(t, connected, request(1, far4.String(), port(echo)))
	readReply(t, connected)
	send(t, associated, request(3, "0.0.0.0", 0))
	readReply(t, associated)
	cancel()
	if err := within(t, "Serve", done); err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{connected, associated, dialling, greeting} {
		if _, err := c.Read(make([]byte, 100)); err == nil {
			if _, err := c.Read(make([]byte, 100)); err == nil {
				t.Error("a connection is open")
			}
		}
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the listener is open")
	}
}
