package up_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Commands of SOCKS5 (RFC 1928 §4).
const (
	socksConnect   = 1
	socksAssociate = 3
)

// socks asks a SOCKS5 server for something at an IPv4 address, and returns the
// address in its reply.
func socks(c net.Conn, command byte, at netip.AddrPort) (bound netip.AddrPort, err error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return bound, err
	}
	if _, err := c.Write(append([]byte{5, 1, 0, 5, command, 0}, socksAddr(at)...)); err != nil {
		return bound, err
	}
	reply := make([]byte, 2+10)
	if _, err := io.ReadFull(c, reply); err != nil {
		return bound, err
	}
	if !bytes.Equal(reply[:6], []byte{5, 0, 5, 0, 0, 1}) {
		return bound, fmt.Errorf("the server replies %x", reply)
	}
	return parseSOCKSAddr(reply[5:]), nil
}

// socksAddr returns an IPv4 address as RFC 1928 §4 has it.
func socksAddr(at netip.AddrPort) []byte {
	a := at.Addr().As4()
	return append(append([]byte{1}, a[:]...), byte(at.Port()>>8), byte(at.Port()))
}

func parseSOCKSAddr(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[1:5])), uint16(b[5])<<8|uint16(b[6]))
}

// socksName asks a name server by UDP through a SOCKS5 server.
func socksName(control net.Conn, packets net.PacketConn, server netip.AddrPort) error {
	relay, err := socks(control, socksAssociate, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return err
	}
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("web.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	text, err := query.Pack()
	if err != nil {
		return err
	}
	datagram := append(append([]byte{0, 0, 0}, socksAddr(server)...), text...) // RFC 1928 §7
	if _, err := packets.WriteTo(datagram, net.UDPAddrFromAddrPort(relay)); err != nil {
		return err
	}
	return readSOCKSName(packets, server)
}

func readSOCKSName(packets net.PacketConn, server netip.AddrPort) error {
	buf := make([]byte, 1<<16)
	if err := packets.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	n, _, err := packets.ReadFrom(buf)
	if err != nil {
		return err
	}
	var m dnsmessage.Message
	if n < 10 || !bytes.Equal(buf[:3], []byte{0, 0, 0}) || parseSOCKSAddr(buf[3:]) != server {
		return fmt.Errorf("the relay sends %x", buf[:n])
	}
	if err := m.Unpack(buf[10:n]); err != nil {
		return err
	}
	if len(m.Answers) != 1 {
		return errors.New("no answer in the reply")
	}
	return nil
}

// wantSOCKSName asks through SOCKS5 at port 1080.
func wantSOCKSName(t *testing.T, do func(func() error) error, server string) {
	t.Helper()
	if err := do(func() error {
		control, err := net.DialTimeout("tcp", "127.0.0.1:1080", patience)
		if err != nil {
			return err
		}
		defer control.Close()
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer packets.Close()
		return socksName(control, packets, netip.MustParseAddrPort(server))
	}); err != nil {
		t.Errorf("a name by UDP through SOCKS5: %v", err)
	}
}
