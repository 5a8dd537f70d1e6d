package netstack

import (
	"net/netip"
	"sync/atomic"

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
// socket that sent it until the Wrapper has read it, UDP writers block and TCP
// stays within its window. What exceeds the queue nevertheless is lost, as in
// any network. Inbound, the Wrapper's hooks fill an inbox that one goroutine
// empties.
type link struct {
	w    *tstun.Wrapper
	own  map[netip.Addr]struct{}
	host []netip.Prefix

	inbox     inbox
	delivered chan struct{} // closed when deliverLoop has ended

	mtu        atomic.Uint32
	dispatcher atomic.Pointer[stack.NetworkDispatcher] // nil: not attached
}

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

func newLink(w *tstun.Wrapper, mtu int, c Config) *link {
	l := &link{w: w, own: make(map[netip.Addr]struct{}, len(c.Addrs)), delivered: make(chan struct{})}
	l.inbox.init()
	for _, a := range c.Addrs {
		l.own[a] = struct{}{}
	}
	l.host = append(l.host, c.Host...)
	l.mtu.Store(uint32(mtu))
	return l
}

// WritePackets implements stack.LinkWriter. An injection takes a reference of
// its own, since the caller keeps the one it has.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
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
