package netstack

import (
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

// Buffers of a TCP connection in bytes. They grow from the default, Linux'
// (net.ipv4.tcp_rmem), to the maximum as the program reads and the other side
// acknowledges: 8 MiB carry 1 Gbit/s over 60 ms.
const (
	defaultTCPBuffer = 128 << 10
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
	// Memory is a bound, in bytes, of what peers can make the stack hold:
	// connections, what was received and not read, and what was sent and not
	// acknowledged. A peer has a share of it, as Wrapper.SetPeers says; what
	// exceeds it is dropped, and new connections are refused, with
	// ReasonMemory, while old ones go on. 0: DefaultMemory.
	Memory int64
	// Resolver, if not nil, finds the names that DialContext and Listen are
	// given. If it has no Dial, New makes that the Stack's.
	Resolver *Resolver
	// Forward, if not nil, has the stack take connections and datagrams to
	// other addresses than its own. What they hold counts for Memory.
	Forward *Forward
}

// Stack is a TCP/IP stack on a Wrapper. It answers pings to its addresses.
// All methods may be called from any goroutine. The zero value is not valid;
// New makes one.
type Stack struct {
	ip       *stack.Stack
	link     *link
	memory   *memory
	counters counters
	names    Lookup     // nil: none
	forward  *forwarder // nil: none

	settingsMu sync.Mutex // held while addresses or the MTU change
	addrs      atomic.Pointer[[]netip.Addr]

	listeners listeners
	sockets   sync.Map // of UDP, forwarded ones too: the tcpip.Endpoint to its *UDPConn

	closing   atomic.Bool
	closeOnce sync.Once
}

// New binds a new stack to w. It sets w.PostFilterIn and
// w.PreFilterFromTunToNetstack, and so must be called before packets flow. A
// hook that was set there runs first, and the stack sees what it accepts.
//
// The caller closes the Stack. It does not own w: either can be closed first.
func New(w *tstun.Wrapper, c Config) (*Stack, error) {
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	mtu, err := c.check(w)
	if err != nil {
		return nil, fmt.Errorf("netstack: %w", err)
	}
	s := &Stack{ip: newIP(true)}
	if r := c.Resolver; r != nil {
		if s.names = r; r.Dial == nil {
			r.Dial = s.DialContext
		}
	}
	s.memory = newMemory(s.ip, c.Memory, w.PeerOf)
	s.link = newLink(w, mtu, c, s, &s.listeners, ownInbox)
	if err := s.setUp(c.Addrs); err != nil {
		s.ip.Destroy()
		return nil, fmt.Errorf("netstack: %w", err)
	}
	if c.Forward != nil {
		f, err := newForwarder(s, w, mtu, c.Forward.withDefaults())
		if err != nil {
			s.ip.Destroy()
			return nil, fmt.Errorf("netstack: %w", err)
		}
		s.forward, s.memory.beside = f, f.ip
	}
	s.start(w)
	return s, nil
}

// newIP returns a stack without an interface. If local, what it sends to
// itself does not leave it.
func newIP(local bool) *stack.Stack {
	return stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocolCUBIC, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		HandleLocal: local,
	})
}

// start sets the hooks, and the goroutines off that run until destroy.
func (s *Stack) start(w *tstun.Wrapper) {
	go s.link.deliverLoop()
	s.link.hook(w)
	if s.forward != nil {
		go s.forward.link.deliverLoop()
		w.PostFilterIn = chain(w.PostFilterIn, s.forward.fromPeer)
	}
}

// check returns the MTU to use.
func (c Config) check(w *tstun.Wrapper) (int, error) {
	if c.Memory < minMemory {
		return 0, fmt.Errorf("memory of %d bytes, want %d or more", c.Memory, minMemory)
	}
	mtu := c.MTU
	if mtu == 0 {
		var err error
		if mtu, err = w.MTU(); err != nil {
			return 0, fmt.Errorf("MTU of the device: %w", err)
		}
	}
	for _, p := range c.Host {
		if err := checkPrefix(p); err != nil {
			return 0, fmt.Errorf("host: %w", err)
		}
	}
	if c.Forward != nil {
		if err := c.Forward.check(); err != nil {
			return 0, err
		}
	}
	return mtu, checkAddrs(c.Addrs, mtu)
}

func checkPrefix(p netip.Prefix) error {
	if !p.IsValid() || p.Addr().Is4In6() {
		return fmt.Errorf("prefix %v is not valid", p)
	}
	if p != p.Masked() {
		return fmt.Errorf("prefix %v has bits behind its length: name %v or %v", p, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
	return nil
}

// setUp gives the stack its interface and addresses.
func (s *Stack) setUp(addrs []netip.Addr) error {
	if err := attach(s.ip, s.link); err != nil {
		return err
	}
	s.countStrays()
	s.addrs.Store(new([]netip.Addr))
	return s.setAddrsLocked(addrs)
}

// attach gives ip its interface, routes, and UDP and TCP settings.
func attach(ip *stack.Stack, l *link) error {
	l.ip = ip
	if err := ip.CreateNIC(nicID, l); err != nil {
		return fmt.Errorf("interface: %s", err)
	}
	ip.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	if err := tuneUDP(ip); err != nil {
		return err
	}
	return tuneTCP(ip)
}

func tuneUDP(ip *stack.Stack) error {
	send := tcpip.SendBufferSizeOption{Min: minBuffer, Default: defaultUDPBuffer, Max: maxUDPBuffer}
	receive := tcpip.ReceiveBufferSizeOption(send)
	for _, opt := range []any{send, receive} {
		if err := ip.SetOption(opt); err != nil {
			return fmt.Errorf("option %T: %s", opt, err)
		}
	}
	return nil
}

func tuneTCP(ip *stack.Stack) error {
	sack := tcpip.TCPSACKEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: defaultTCPBuffer, Max: maxTCPBuffer}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: defaultTCPBuffer, Max: maxTCPBuffer}
	for _, opt := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &send, &receive} {
		if err := ip.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return fmt.Errorf("TCP option %T: %s", opt, err)
		}
	}
	return nil
}

// Close ends all connections of the stack, with a reset, its sessions, and its
// listeners and goroutines. The contexts of what handlers serve end, but Close
// does not wait for handlers. After it, packets to the stack's addresses, and
// those that were forwarded, are dropped by the hooks, which stay. It may be
// called any number of times and returns nil.
func (s *Stack) Close() error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		s.destroy()
	})
	return nil
}

func (s *Stack) destroy() {
	if s.forward != nil {
		s.forward.close()
	}
	s.link.inbox.close()
	<-s.link.delivered
	s.ip.Destroy()
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return protocol4
	}
	return protocol6
}
