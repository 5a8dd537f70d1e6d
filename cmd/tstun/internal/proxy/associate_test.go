package proxy_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/proxy"
)

// datagram returns a datagram of RFC 1928 §7.
func datagram(host string, port uint16, data string) []byte {
	b := request(0, host, port)
	return append(append([]byte{0, 0, 0}, b[3:]...), data...)
}

// associate asks for a relay and returns its address.
func associate(t *testing.T, server, host string, port uint16) (*net.TCPConn, netip.AddrPort) {
	t.Helper()
	c := greet(t, server)
	send(t, c, request(3, host, port))
	code, relay := readReply(t, c)
	if code != 0 || relay.Addr() != near4 || relay.Port() == 0 {
		t.Fatalf("reply %d, relay at %v", code, relay)
	}
	return c, relay
}

func sendTo(t *testing.T, c *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// wantFrom reads the next datagram, which the relay sends.
func wantFrom(t *testing.T, c *net.UDPConn, relay netip.AddrPort, want []byte) {
	t.Helper()
	buf := make([]byte, 1<<16)
	c.SetReadDeadline(time.Now().Add(patience))
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	if from != relay || !bytes.Equal(buf[:n], want) {
		t.Errorf("got %.40x from %v, want %.40x from %v", buf[:n], from, want, relay)
	}
}

func TestAssociate(t *testing.T) {
	echo := startUDPEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	_, relay := associate(t, server, "0.0.0.0", 0)
	c := listenUDP(t)
	at := port(echo.LocalAddr())
	large := string(make([]byte, 60000))
	for _, host := range []string{far4.String(), "::ffff:192.0.2.1", "far.example", "FAR.example", "192.0.2.1"} {
		for _, data := range []string{"hello", "", large} {
			if host == "FAR.example" {
				sendTo(t, c, relay, datagram(host, at, "to no host")) // and no harm is done
				continue
			}
			sendTo(t, c, relay, datagram(host, at, data))
			wantFrom(t, c, relay, datagram(far4.String(), at, data))
		}
	}
	text := append([]byte{0, 0, 0}, asName(0, "192.0.2.1", at)[3:]...)
	sendTo(t, c, relay, append(text, "as text"...))
	wantFrom(t, c, relay, datagram(far4.String(), at, "as text"))
}

// The relay drops what is not the client's, is no whole datagram, or goes to
// the host itself. What comes behind in order arrives alone.
func TestAssociateDrops(t *testing.T) {
	echo := startUDPEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	_, relay := associate(t, server, "0.0.0.0", 0)
	client, stranger := listenUDP(t), listenUDP(t)
	at := port(echo.LocalAddr())
	good := datagram(far4.String(), at, "good")
	change := func(i int, to byte) []byte {
		b := bytes.Clone(good)
		b[i] = to
		return b
	}
	sendTo(t, stranger, relay, []byte("no header: makes no client"))
	sendTo(t, client, relay, good)
	wantFrom(t, client, relay, good)
	bad := [][]byte{
		change(0, 1), change(1, 1), // reserved
		change(2, 1), change(2, 0x80), change(2, 0xff), // fragments
		change(3, 0), change(3, 2), change(3, 5), // address types
		good[:0], good[:3], good[:4], good[:9], // cut
		{0, 0, 0, 3}, {0, 0, 0, 3, 0, 0, 80}, {0, 0, 0, 3, 9, 'a'},
	}
	for _, host := range own {
		bad = append(bad, datagram(host, at, "to the host"))
	}
	for _, b := range bad {
		sendTo(t, client, relay, b)
	}
	sendTo(t, stranger, relay, datagram(far4.String(), at, "stranger"))
	last := datagram(far4.String(), at, "last")
	sendTo(t, client, relay, last)
	wantFrom(t, client, relay, last)
}

// Whoever sends to the relay's outer socket reaches the client, under its own
// address.
func TestAssociateAnyRemote(t *testing.T) {
	first, second := listenUDP(t), listenUDP(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	_, relay := associate(t, server, "0.0.0.0", 0)
	client := listenUDP(t)
	sendTo(t, client, relay, datagram(far4.String(), port(first.LocalAddr()), "ping"))
	buf := make([]byte, 100)
	first.SetReadDeadline(time.Now().Add(patience))
	n, outer, err := first.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "ping" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	sendTo(t, second, outer, []byte("pong"))
	wantFrom(t, client, relay, datagram(far4.String(), port(second.LocalAddr()), "pong"))
}

// A client that says from where it will send is served there alone.
func TestAssociateAnnouncedPort(t *testing.T) {
	echo := startUDPEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	at := port(echo.LocalAddr())
	for _, host := range []string{"0.0.0.0", "127.0.0.1", "10.9.8.7"} { // the last behind a NAT
		client, stranger := listenUDP(t), listenUDP(t)
		announced := port(client.LocalAddr())
		if host == "10.9.8.7" {
			announced++
		}
		_, relay := associate(t, server, host, announced)
		if host != "10.9.8.7" {
			sendTo(t, stranger, relay, datagram(far4.String(), at, "stranger"))
		}
		sendTo(t, client, relay, datagram(far4.String(), at, host))
		wantFrom(t, client, relay, datagram(far4.String(), at, host))
	}
}

// An association that is idle ends, and its control connection with it.
func TestAssociateIdle(t *testing.T) {
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Limits: proxy.Limits{IdleUDP: 50 * time.Millisecond}})
	control, _ := associate(t, server, "0.0.0.0", 0)
	if n, err := control.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes, %v on the control connection", n, err)
	}
}

// An association holds its place until its control connection closes.
func TestAssociateControlCloses(t *testing.T) {
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab(), Limits: proxy.Limits{Datagrams: 1}})
	ask := func() byte {
		c := greet(t, server)
		send(t, c, request(3, "0.0.0.0", 0))
		code, _ := readReply(t, c)
		return code
	}
	control, _ := associate(t, server, "0.0.0.0", 0)
	if code := ask(); code != 1 {
		t.Errorf("one more gets reply %d", code)
	}
	control.Close()
	for deadline := time.Now().Add(patience); ask() != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the association outlives its control connection")
		}
	}
}

// Datagrams to a name that is still looked up wait, in order; those to
// addresses overtake them.
func TestAssociateWaitsForNames(t *testing.T) {
	echo := startUDPEcho(t)
	network := &slowNames{lab: newLab(), open: make(chan struct{})}
	server := startSOCKS(t, &proxy.SOCKS5{Network: network})
	_, relay := associate(t, server, "0.0.0.0", 0)
	client := listenUDP(t)
	at := port(echo.LocalAddr())
	const waiting = 16
	for i := range waiting + 3 { // three too many
		sendTo(t, client, relay, datagram("far.example", at, string(rune('a'+i))))
	}
	sendTo(t, client, relay, datagram(far4.String(), at, "first"))
	wantFrom(t, client, relay, datagram(far4.String(), at, "first"))
	close(network.open)
	for i := range waiting {
		wantFrom(t, client, relay, datagram(far4.String(), at, string(rune('a'+i))))
	}
	sendTo(t, client, relay, datagram("far.example", at, "last"))
	wantFrom(t, client, relay, datagram(far4.String(), at, "last"))
	if n := network.lookups.Load(); n != 1 {
		t.Errorf("%d lookups", n)
	}
}

// Names beyond the bound take the place of those that were used before.
func TestAssociateManyNames(t *testing.T) {
	echo := startUDPEcho(t)
	server := startSOCKS(t, &proxy.SOCKS5{Network: newLab()})
	_, relay := associate(t, server, "0.0.0.0", 0)
	client := listenUDP(t)
	at := port(echo.LocalAddr())
	for i := range 300 {
		name := string(binary.BigEndian.AppendUint16([]byte("name-"), uint16(0x6161+i)))
		sendTo(t, client, relay, datagram(name, at, "unknown")) // has no address
		if i%50 > 0 {
			continue // more would be too many for the socket
		}
		sendTo(t, client, relay, datagram("far.example", at, name))
		wantFrom(t, client, relay, datagram(far4.String(), at, name))
	}
}
