package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// network is the network through which a node's programs reach the tunnel: a
// netstack.Stack, or the kernel's in the node's namespace.
type network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
	Ping(ctx context.Context, a netip.Addr) (time.Duration, error)
	io.Closer
}

// host is the operating system's side of a node, with the Wrapper on it. Fields
// of a host that did not start are nil.
type host struct {
	wrapper *tstun.Wrapper
	name    string  // of the interface
	net     network // is closed before the Wrapper
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
	onPong atomic.Pointer[func(packet.TSMPPongReply)] // is called with each pong, or nil
	pongs  atomic.Uint64                              // number of pongs so far
}

func (n *node) prefixes() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(n.v4, 32), netip.PrefixFrom(n.v6, 128)}
}

func (n *node) addrs() []netip.Addr { return []netip.Addr{n.v4, n.v6} }

func (n *node) addrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(n.v4, port) }

// endpoint returns the address of the node's WireGuard.
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

// newNodes returns the two nodes, without hosts. The server has a few rules.
// The client has none, so that replies alone come in.
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

// rule returns the rule that allows one node to reach ports of the other.
func rule(from, to *node, ports filter.PortRange, protos ...ipproto.Proto) filter.Match {
	m := filter.Match{IPProto: protos, Srcs: from.prefixes()}
	for _, p := range to.prefixes() {
		m.Dsts = append(m.Dsts, filter.NetPortRange{Net: p, Ports: ports})
	}
	return m
}

// configureWrapper gives the node's Wrapper its filter, its hook of pongs and
// its statistics. A node with rules rejects what it drops.
func (n *node) configureWrapper() error {
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
		if f := n.onPong.Load(); f != nil {
			(*f)(r)
		}
	}
	return nil
}

// stop closes what the node has opened. The node need not have started.
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

// info returns the node as the result has it.
func (n *node) info() NodeInfo {
	i := NodeInfo{
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
