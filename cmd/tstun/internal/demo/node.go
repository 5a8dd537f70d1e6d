package demo

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/packet"
	"tstun/tunnel"
)

// network is the network through which a node's programs reach the tunnel: a
// netstack.Stack, or the kernel's in the node's namespace.
type network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
	Ping(ctx context.Context, a netip.Addr) (time.Duration, error)
}

// host is where a node's tunnel runs.
type host interface {
	do(func() error) error // calls a function where the tunnel is to be started and closed
	configure(*tunnel.Config)
	network(*tunnel.Tunnel) network
	close() error
}

// node is one end of the tunnel.
type node struct {
	name   string
	v4, v6 netip.Addr
	rules  []filter.Match
	key    key.Private
	at     netip.Addr // where WireGuard is

	// What starting it makes.
	host    host
	tunnel  *tunnel.Tunnel
	wrapper *tstun.Wrapper
	net     network
	filter  *filter.Filter
	onPong  atomic.Pointer[func(packet.TSMPPongReply)] // is called with each pong, or nil
	pongs   atomic.Uint64                              // number of pongs so far
}

func (n *node) prefixes() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(n.v4, 32), netip.PrefixFrom(n.v6, 128)}
}

func (n *node) addrs() []netip.Addr { return []netip.Addr{n.v4, n.v6} }

func (n *node) addrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(n.v4, port) }

// endpoint returns the address of the node's WireGuard.
func (n *node) endpoint() netip.AddrPort {
	return netip.AddrPortFrom(n.at, n.tunnel.Status().ListenPort)
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
	client = newNode("client", "100.64.0.1", "fd74:7374::1")
	server = newNode("server", "100.64.0.2", "fd74:7374::2")
	server.rules = []filter.Match{
		rule(client, server, filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6),
		rule(client, server, onePort(portHTTP), ipproto.TCP),
		rule(client, server, onePort(portTransfer), ipproto.TCP),
		rule(client, server, onePort(portEcho), ipproto.UDP),
	}
	return client, server
}

func newNode(name, v4, v6 string) *node {
	return &node{name: name, v4: netip.MustParseAddr(v4), v6: netip.MustParseAddr(v6), key: key.NewPrivate()}
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

// start starts the node's tunnel to its peer, which is at an endpoint, or finds
// the node if that is the zero value.
func (n *node) start(ctx context.Context, peer *node, at netip.AddrPort) (err error) {
	c := tunnel.Config{
		PrivateKey: n.key, Addresses: n.prefixes(), Setup: n.setup,
		Peers: []tunnel.Peer{{Name: peer.name, PublicKey: peer.key.Public(), AllowedIPs: peer.prefixes()}},
	}
	if at.IsValid() {
		c.Peers[0].Endpoint = at.String()
	}
	n.host.configure(&c)
	err = n.host.do(func() (err error) {
		n.tunnel, err = tunnel.Start(ctx, c)
		return err
	})
	if err == nil {
		n.net = n.host.network(n.tunnel)
	}
	return err
}

// setup gives the node's Wrapper its filter, its hook of pongs and its
// statistics. A node with rules rejects what it drops.
func (n *node) setup(w *tstun.Wrapper) error {
	f, err := filter.New(filter.Config{Matches: n.rules, Local: n.prefixes()})
	if err != nil {
		return err
	}
	n.wrapper, n.filter = w, f
	w.SetFilter(f)
	if len(n.rules) > 0 {
		w.SetReject(tstun.RejectReset)
	}
	w.SetStatisticsEnabled(true)
	w.OnTSMPPongReceived = func(r packet.TSMPPongReply) {
		n.pongs.Add(1)
		if f := n.onPong.Load(); f != nil {
			(*f)(r)
		}
	}
	return nil
}

// stop ends what was started of the node.
func (n *node) stop() error {
	var errs []error
	if n.tunnel != nil {
		errs = append(errs, n.host.do(n.tunnel.Close))
	}
	if n.host != nil {
		errs = append(errs, n.host.close())
	}
	return errors.Join(errs...)
}

// info returns the node as the result has it.
func (n *node) info() NodeInfo {
	i := NodeInfo{
		Name:      n.name,
		Addresses: n.addrs(),
		PublicKey: n.key.Public().String(),
		Endpoint:  n.endpoint(),
		Interface: cmp.Or(n.tunnel.Status().Name, "userspace stack"),
		Rules:     []string{},
	}
	for _, r := range n.rules {
		i.Rules = append(i.Rules, r.String())
	}
	return i
}
