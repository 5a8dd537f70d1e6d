package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/packet"
)

// maxSuperPacket is the longest packet that TCP hands to the link: its length
// has to fit into the IP header (RFC 791 §3.1).
const maxSuperPacket = packet.MaxLen

// link is the stack's interface. Outbound, what the stack writes is injected
// into the Wrapper, whose queue holds it; since its memory counts against the
// socket that sent it until the Wrapper has read it, TCP stays within its
// window, and a UDP writer waits once its socket's buffer is full. What exceeds
// the queue is lost, as in any network, and counted by the Wrapper: a thousand
// small datagrams that nobody reads do not fill a buffer. Inbound, the
// Wrapper's hooks put datagrams into the queues of their sockets, and all else
// into an inbox.
type link struct {
	w    *tstun.Wrapper
	ip   *stack.Stack // whose interface it is
	own  atomic.Pointer[map[netip.Addr]struct{}]
	host []netip.Prefix

	memory    *memory
	counters  *counters
	listeners *listeners
	sockets   *sync.Map // of tcpip.Endpoint to the *UDPConn that has it
	inbox     inbox
	delivered chan struct{} // closed when deliverLoop has ended

	mtu        atomic.Uint32
	dispatcher atomic.Pointer[stack.NetworkDispatcher] // nil: not attached
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

// newLink returns the link of a stack with these listeners, or none, and one of
// the Stack's inboxes.
func newLink(w *tstun.Wrapper, mtu int, c Config, s *Stack, ls *listeners, which int) *link {
	l := &link{
		w: w, memory: s.memory, counters: &s.counters, listeners: ls, sockets: &s.sockets,
		delivered: make(chan struct{}),
	}
	l.inbox.init(s.memory, which)
	l.setOwn(c.Addrs)
	l.host = append(l.host, c.Host...)
	l.mtu.Store(uint32(mtu))
	return l
}

// WritePackets implements stack.LinkWriter. An injection takes a reference of
// its own, since the caller keeps the one it has.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		l.counters.out.add(pkt.Size())
		if l.isForHost(pkt) {
			// The device's error: there is nobody to tell, and Counters has it.
			_ = l.w.InjectInboundPacketBuffer(pkt.IncRef())
			continue
		}
		// A full queue has counted the packet, and TCP sends it again.
		_ = l.w.InjectOutboundPacketBuffer(pkt.IncRef())
	}
	return pkts.Len(), nil
}

// send injects a packet that the stack did not make, and reports whether it
// could. A full queue has counted it.
func (l *link) send(pkt []byte) bool {
	l.counters.out.add(len(pkt))
	return l.w.InjectOutbound(pkt) == nil
}

func (l *link) isForHost(pkt *stack.PacketBuffer) bool {
	if len(l.host) == 0 {
		return false
	}
	dst := pkt.Network().DestinationAddress()
	a, ok := netip.AddrFromSlice(dst.AsSlice())
	return ok && l.isHost(a)
}

func (l *link) isHost(a netip.Addr) bool {
	for _, p := range l.host {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// reach returns an error if a cannot be reached from any other host: it is a
// loopback address (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3) that the stack does not
// have.
func (l *link) reach(a netip.Addr) error {
	if a.IsLoopback() && !l.isOwn(a) && !l.isHost(a) {
		return syscall.ENETUNREACH
	}
	return nil
}

// Attach implements stack.NetworkLinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		l.dispatcher.Store(nil)
		return
	}
	l.dispatcher.Store(&d)
}

// IsAttached implements stack.NetworkLinkEndpoint.
func (l *link) IsAttached() bool { return l.dispatcher.Load() != nil }

// MTU implements stack.NetworkLinkEndpoint.
func (l *link) MTU() uint32 { return l.mtu.Load() }

// SetMTU implements stack.NetworkLinkEndpoint.
func (l *link) SetMTU(mtu uint32) { l.mtu.Store(mtu) }

// Capabilities implements stack.NetworkLinkEndpoint. No checksum is left out
// either way; see the package comment.
func (*link) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityNone }

// GSOMaxSize implements stack.GSOEndpoint.
func (*link) GSOMaxSize() uint32 { return maxSuperPacket }

// SupportedGSO implements stack.GSOEndpoint: TCP may hand over super-packets
// without checksums, for the Wrapper to cut.
func (*link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// ARPHardwareType implements stack.NetworkLinkEndpoint.
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// MaxHeaderLength implements stack.NetworkLinkEndpoint: there is none.
func (*link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.NetworkLinkEndpoint: there is none.
func (*link) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress implements stack.NetworkLinkEndpoint.
func (*link) SetLinkAddress(tcpip.LinkAddress) {}

// AddHeader implements stack.NetworkLinkEndpoint.
func (*link) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.NetworkLinkEndpoint.
func (*link) ParseHeader(*stack.PacketBuffer) bool { return true }

// Wait implements stack.NetworkLinkEndpoint: the link has no goroutines.
func (*link) Wait() {}

// Close implements stack.NetworkLinkEndpoint: the Wrapper is not the link's.
func (*link) Close() {}

// SetOnCloseAction implements stack.NetworkLinkEndpoint.
func (*link) SetOnCloseAction(func()) {}
