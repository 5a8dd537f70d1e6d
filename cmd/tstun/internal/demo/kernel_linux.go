package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/cmd/tstun/internal/ui"
	"tstun/internal/netns"
)

// newKernelHosts gives each node a network namespace with a TUN in it.
// WireGuard's sockets stay in the process's own namespace, so that the nodes
// reach each other over its loopback.
func (d *demo) newKernelHosts() error {
	for i, n := range d.nodes() {
		if err := newKernelHost(n, d.nodes()[1-i]); err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return ui.Failf("run it as root, as in: sudo tstun demo --tun; or leave out --tun, which needs no root", "%s: %w", n.name, err)
			}
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// newKernelHost gives the node a namespace, and a TUN with the node's addresses
// and routes to the peer.
func newKernelHost(n, peer *node) error {
	ns, err := netns.Create()
	if err != nil {
		return err
	}
	n.close = ns.Close
	var dev tun.Device
	err = ns.Do(func() (err error) {
		dev, n.host.name, err = tstun.New(nil, "tstun%d")
		return err
	})
	if err != nil {
		return err
	}
	n.wrapper = tstun.Wrap(nil, dev)
	n.net = kernel{ns}
	if err := n.configureWrapper(); err != nil {
		return err
	}
	if err := ns.LinkUp(n.host.name); err != nil {
		return err
	}
	for i, p := range n.prefixes() {
		if err := ns.AddAddr(n.host.name, p); err != nil {
			return err
		}
		if err := ns.AddRoute(n.host.name, peer.prefixes()[i]); err != nil {
			return err
		}
	}
	return nil
}

// kernel is the network of a namespace. A socket belongs to the namespace that
// it was opened in.
type kernel struct{ ns *netns.NS }

func (k kernel) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	var d net.Dialer
	err = k.ns.Do(func() (err error) {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

func (k kernel) Listen(network, address string) (l net.Listener, err error) {
	err = k.ns.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

func (k kernel) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = k.ns.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Close does nothing: the node closes the namespace.
func (kernel) Close() error { return nil }

// Ping sends an echo request on a raw socket and returns the round-trip time.
func (k kernel) Ping(ctx context.Context, a netip.Addr) (time.Duration, error) {
	network, request, reply, proto := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), 1
	if a.Is6() {
		network, request, reply, proto = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	var c *icmp.PacketConn
	err := k.ns.Do(func() (err error) {
		c, err = icmp.ListenPacket(network, "")
		return err
	})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	echo := &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: []byte("tstun demo")}
	b, err := (&icmp.Message{Type: request, Body: echo}).Marshal(nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := c.WriteTo(b, &net.IPAddr{IP: a.AsSlice()}); err != nil {
		return 0, err
	}
	return awaitEcho(c, echo, reply, proto, began)
}

// awaitEcho reads until the reply to echo arrives. A raw socket receives all
// ICMP messages, the namespace's own requests, too.
func awaitEcho(c *icmp.PacketConn, echo *icmp.Echo, reply icmp.Type, proto int, began time.Time) (time.Duration, error) {
	buf := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == echo.ID && string(e.Data) == string(echo.Data) {
			return time.Since(began), nil
		}
	}
}
