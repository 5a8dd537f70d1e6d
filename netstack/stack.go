package netstack

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"tstun"
	"tstun/packet"
)

// nicID is the one interface of the stack.
const nicID tcpip.NICID = 1

const (
	minMTU4 = 68   // RFC 791 §3.2
	minMTU6 = 1280 // RFC 8200 §5
	maxMTU  = packet.MaxLen
)

// Buffers of a UDP socket in bytes, as of Linux (net.core.wmem_default).
const (
	minBuffer        = 4 << 10 // of TCP too
	defaultUDPBuffer = 208 << 10
	maxUDPBuffer     = 4 << 20
)

// Buffers of a TCP connection in bytes. They grow from the default to the
// maximum as the connection needs: 8 MiB carry 1 Gbit/s over 60 ms.
const (
	defaultTCPBuffer = 1 << 20
	maxTCPBuffer     = 8 << 20
)

// Config is what New makes a Stack of.
type Config struct {
	// Addrs are the stack's own addresses: at least one. IPv4-mapped
	// addresses and zones are refused.
	Addrs []netip.Addr
	// Host are the addresses of the operating system behind the Wrapper's
	// device. What the stack sends to them goes to the device instead of the
	// peers. Leave it empty where there is none, as with tstun.NewFake. A
	// prefix with bits behind its length is refused.
	Host []netip.Prefix
	// MTU is that of the stack in bytes. 0: the Wrapper's.
	MTU int
}

// Stack is a TCP/IP stack on a Wrapper. It answers pings to its addresses.
// All methods may be called from any goroutine. The zero value is not valid;
// New makes one.
type Stack struct {
	ip   *stack.Stack
	link *link

	closing   atomic.Bool
	closeOnce sync.Once
}

// New binds a new stack to w. It sets w.PostFilterIn and
// w.PreFilterFromTunToNetstack, and so must be called before packets flow. A
// hook that was set there runs first, and the stack sees what it accepts.
//
// The caller closes the Stack. It does not own w: either can be closed first.
func New(w *tstun.Wrapper, c Config) (*Stack, error) {
	mtu, err := c.check(w)
	if err != nil {
		return nil, fmt.Errorf("netstack: %w", err)
	}
	s := &Stack{
		ip: stack.New(stack.Options{
			NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{
				tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
			},
			HandleLocal: true,
		}),
		link: newLink(w, mtu, c),
	}
	if err := s.setUp(c.Addrs); err != nil {
		s.ip.Destroy()
		return nil, fmt.Errorf("netstack: %w", err)
	}
	go s.link.deliverLoop() // until destroy
	s.link.hook(w)
	return s, nil
}

// check returns the MTU to use.
func (c Config) check(w *tstun.Wrapper) (int, error) {
	if len(c.Addrs) == 0 {
		return 0, errors.New("no addresses")
	}
	mtu := c.MTU
	if mtu == 0 {
		var err error
		if mtu, err = w.MTU(); err != nil {
			return 0, fmt.Errorf("MTU of the device: %w", err)
		}
	}
	least := minMTU4
	for _, a := range c.Addrs {
		switch {
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "":
			return 0, fmt.Errorf("address %v is not one that a stack can have", a)
		case a.Is6():
			least = minMTU6
		}
	}
	for _, p := range c.Host {
		if !p.IsValid() || p.Addr().Is4In6() {
			return 0, fmt.Errorf("host prefix %v is not valid", p)
		}
		if p != p.Masked() {
			return 0, fmt.Errorf("host prefix %v has bits behind its length: name %v or %v", p, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	if mtu < least || mtu > maxMTU {
		return 0, fmt.Errorf("MTU %d, want %d to %d", mtu, least, maxMTU)
	}
	return mtu, nil
}

// setUp gives the stack its interface, addresses, routes and TCP settings.
func (s *Stack) setUp(addrs []netip.Addr) error {
	if err := s.ip.CreateNIC(nicID, s.link); err != nil {
		return fmt.Errorf("interface: %s", err)
	}
	for _, a := range addrs {
		pa := tcpip.ProtocolAddress{
			Protocol:          protocolOf(a),
			AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix(),
		}
		if err := s.ip.AddProtocolAddress(nicID, pa, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %v: %s", a, err)
		}
	}
	s.ip.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	if err := s.tuneUDP(); err != nil {
		return err
	}
	return s.tuneTCP()
}

func (s *Stack) tuneUDP() error {
	send := tcpip.SendBufferSizeOption{Min: minBuffer, Default: defaultUDPBuffer, Max: maxUDPBuffer}
	receive := tcpip.ReceiveBufferSizeOption(send)
	for _, opt := range []any{send, receive} {
		if err := s.ip.SetOption(opt); err != nil {
			return fmt.Errorf("option %T: %s", opt, err)
		}
	}
	return nil
}

func (s *Stack) tuneTCP() error {
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: defaultTCPBuffer, Max: maxTCPBuffer}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: defaultTCPBuffer, Max: maxTCPBuffer}
	for _, opt := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &send, &receive} {
		if err := s.ip.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return fmt.Errorf("TCP option %T: %s", opt, err)
		}
	}
	return nil
}

// Close ends all connections of the stack, with a reset, and its listeners
// and goroutines. After it, packets to the stack's addresses are dropped by
// the hooks, which stay. It may be called any number of times and returns
// nil.
func (s *Stack) Close() error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		s.destroy()
	})
	return nil
}

func (s *Stack) destroy() {
	s.link.inbox.close()
	<-s.link.delivered
	s.ip.Destroy()
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}
