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

	"tstun/cmd/tstun/internal/ui"
	"tstun/internal/netns"
	"tstun/tunnel"
)

// linkName is the name of each node's end of the cable between them.
const linkName = "eth0"

// newKernelHosts gives each node a network namespace, in which its tunnel makes
// an interface, and a cable to the other node's (RFC 5737 has its addresses).
func (d *demo) newKernelHosts() error {
	for _, n := range d.nodes() {
		h, err := newNamespace()
		if errors.Is(err, fs.ErrPermission) {
			return ui.Failf("run it as root, as in: sudo tstun demo --tun; or leave out --tun, which needs no root", "%s: %w", n.name, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		n.host = h
	}
	client, server := d.client.host.(namespace), d.server.host.(namespace)
	if err := client.ns.Connect(linkName, server.ns, linkName); err != nil {
		return err
	}
	for i, n := range d.nodes() {
		n.at = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		if err := n.host.(namespace).ns.AddAddr(linkName, netip.PrefixFrom(n.at, 24)); err != nil {
			return err
		}
	}
	return nil
}

// namespace is the host of a node with a kernel interface.
type namespace struct {
	ns  *netns.NS
	dir string // for what the tunnel writes
}

func newNamespace() (namespace, error) {
	ns, err := netns.Create()
	if err != nil {
		return namespace{}, err
	}
	dir, err := os.MkdirTemp("", "tstun-demo-")
	if err != nil {
		return namespace{}, errors.Join(err, ns.Close())
	}
	return namespace{ns, dir}, nil
}

func (h namespace) do(f func() error) error { return h.ns.Do(f) }

func (h namespace) configure(c *tunnel.Config) {
	c.Name, c.Mode, c.StateDir = "tstun0", tunnel.ModeKernel, h.dir
}

func (h namespace) network(*tunnel.Tunnel) network { return kernel{h.ns} }

func (h namespace) close() error { return errors.Join(h.ns.Close(), os.RemoveAll(h.dir)) }

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
