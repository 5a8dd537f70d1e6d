package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// network is how a node's programs reach the tunnel: a netstack.Stack, or the
// kernel in the node's namespace.
type network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
	Ping(ctx context.Context, a netip.Addr) (time.Duration, error)
	io.Closer
}

// host is what a node's Wrapper is put on.
type host struct {
	wrapper *tstun.Wrapper
	name    string  // of the interface
	net     network // the caller closes it, before the Wrapper
	close   func() error
}

// node is one end of the tunnel.
type node struct {
	name   string
	v4, v6 netip.Addr
	rules  []filter.Match

	host
	key    keyPair
	dev    *device.Device
	port   uint16 // of WireGuard, on loopback
	filter *filter.Filter
	pong   atomic.Pointer[func(packet.TSMPPongReply)] // called with each pong
	pongs  atomic.Uint64                              // how many pongs came
}

func (n *node) prefixes() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(n.v4, 32), netip.PrefixFrom(n.v6, 128)}
}

func (n *node) addrs() []netip.Addr { return []netip.Addr{n.v4, n.v6} }

func (n *node) addrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(n.v4, port) }

func (n *node) endpoint() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), n.port)
}

// Ports of the server.
const (
	portEcho     = 7 // RFC 862
	portSSH      = 22
	portHTTP     = 80
	portTransfer = 5001
)

// newNodes returns the two ends as they are before they have a host. The
// server has a few rules, the client none: it takes replies only.
func newNodes() (client, server *node) {
	client = &node{name: "client", v4: netip.MustParseAddr("100.64.0.1"), v6: netip.MustParseAddr("fd74:7374::1")}
	server = &node{name: "server", v4: netip.MustParseAddr("100.64.0.2"), v6: netip.MustParseAddr("fd74:7374::2")}
	server.rules = []filter.Match{
		rule(client, server, filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6),
		rule(client, server, onePort(portHTTP), ipproto.TCP),
		rule(client, server, onePort(portTransfer), ipproto.TCP),
		rule(client, server, onePort(portEcho), ipproto.UDP),
	}
	return client, server
}

func onePort(p uint16) filter.PortRange { return filter.PortRange{First: p, Last: p} }

func rule(from, to *node, ports filter.PortRange, protos ...ipproto.Proto) filter.Match {
	m := filter.Match{IPProto: protos, Srcs: from.prefixes()}
	for _, p := range to.prefixes() {
		m.Dsts = append(m.Dsts, filter.NetPortRange{Net: p, Ports: ports})
	}
	return m
}

// prepare sets the Wrapper of the node up: filter, reject, hooks, statistics.
func (n *node) prepare() error {
	f, err := filter.New(filter.Config{Matches: n.rules, Local: n.prefixes()})
	if err != nil {
		return err
	}
	n.filter = f
	n.wrapper.SetFilter(f)
	if len(n.rules) > 0 {
		n.wrapper.SetReject(tstun.RejectReset)
	}
	n.wrapper.SetStatisticsEnabled(true)
	n.wrapper.OnTSMPPongReceived = func(r packet.TSMPPongReply) {
		n.pongs.Add(1)
		if f := n.pong.Load(); f != nil {
			(*f)(r)
		}
	}
	return nil
}

// startWireGuard brings the node's WireGuard up on a free port of loopback, and
// on dev, which is the node's Wrapper.
func (n *node) startWireGuard(dev tun.Device) (err error) {
	if n.key, err = newKeyPair(); err != nil {
		return err
	}
	n.dev = device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	if err := n.dev.IpcSet(fmt.Sprintf("private_key=%x\nlisten_port=0\n", n.key.private)); err != nil {
		return err
	}
	if err := n.dev.Up(); err != nil {
		return err
	}
	n.port, err = listenPort(n.dev)
	return err
}

// addPeer makes peer known to the node. The one with keepalive begins the
// handshake at once.
func (n *node) addPeer(peer *node, keepalive time.Duration) error {
	conf := fmt.Sprintf("public_key=%x\nendpoint=%v\npersistent_keepalive_interval=%d\n",
		peer.key.public, peer.endpoint(), int(keepalive.Seconds()))
	for _, p := range peer.prefixes() {
		conf += fmt.Sprintf("allowed_ip=%v\n", p)
	}
	return n.dev.IpcSet(conf)
}

// stop ends everything that the node started. It may have started in part.
func (n *node) stop() error {
	var errs []error
	if n.net != nil {
		errs = append(errs, n.net.Close())
	}
	if n.dev != nil {
		n.dev.Close()
	}
	if n.wrapper != nil {
		errs = append(errs, n.wrapper.Close())
	}
	if n.close != nil {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

func (n *node) info() nodeInfo {
	i := nodeInfo{
		Name:      n.name,
		Addresses: n.addrs(),
		PublicKey: n.key.publicText(),
		Endpoint:  n.endpoint(),
		Interface: n.host.name,
		Rules:     []string{},
	}
	for _, r := range n.rules {
		i.Rules = append(i.Rules, r.String())
	}
	return i
}
