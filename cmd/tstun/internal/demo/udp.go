package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"tstun/ipproto"
)

// udp sends a datagram to the server and gets the reply. Then it checks that
// the client's filter drops a datagram that is no reply.
func (d *demo) udp(ctx context.Context) ([]string, any, error) {
	echo, err := d.server.net.ListenPacket("udp", d.server.addrPort(portEcho).String())
	if err != nil {
		return nil, nil, err
	}
	defer echo.Close()
	c, err := d.client.net.DialContext(ctx, "udp", d.server.addrPort(portEcho).String())
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	deadline := time.Now().Add(replyTimeout)
	if err := errors.Join(c.SetDeadline(deadline), echo.SetDeadline(deadline)); err != nil {
		return nil, nil, err
	}
	var data UDPData
	if data.Reply, err = exchange(c, echo, "is anybody there?"); err != nil {
		return nil, data, err
	}
	lines := []string{fmt.Sprintf("%v to %v and back: %q", c.LocalAddr(), c.RemoteAddr(), data.Reply)}
	to, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return lines, data, err
	}
	more, drop, err := d.unsolicited(ctx, to)
	data.Unsolicited = drop
	return append(lines, more...), data, err
}

// exchange sends text on c, sends it back on echo, and returns what c received.
func exchange(c net.Conn, echo net.PacketConn, text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	buf := make([]byte, 1024)
	n, from, err := echo.ReadFrom(buf)
	if err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	if _, err := echo.WriteTo(buf[:n], from); err != nil {
		return "", err
	}
	n, err = c.Read(buf)
	if err == nil && string(buf[:n]) != text {
		err = fmt.Errorf("the reply is %q", buf[:n])
	}
	if err != nil {
		return "", fmt.Errorf("reply: %w", err)
	}
	return string(buf[:n]), nil
}

// unsolicited sends a datagram to the client's open socket, from a port of the
// server to which the client has sent nothing.
func (d *demo) unsolicited(ctx context.Context, to netip.AddrPort) ([]string, DropData, error) {
	other, err := d.server.net.ListenPacket("udp", d.server.addrPort(0).String())
	if err != nil {
		return nil, DropData{}, err
	}
	defer other.Close()
	from, err := netip.ParseAddrPort(other.LocalAddr().String())
	if err != nil {
		return nil, DropData{}, err
	}
	w := expectDrop(d.client, from, to, ipproto.UDP)
	if _, err := other.WriteTo([]byte("hello?"), net.UDPAddrFromAddrPort(to)); err != nil {
		return nil, DropData{}, err
	}
	lines, drop, err := w.await(ctx)
	return append([]string{fmt.Sprintf("%v to %v, which it did not ask for: dropped", from, to)}, lines...), drop, err
}
