package netstack

import (
	"encoding/binary"
	"runtime"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"tstun/ipproto"
	"tstun/packet"
)

// datagram puts a datagram that comes whole, with right checksums, into the
// queue of its socket, which gVisor finds and has no other part in: its way
// takes ten times as long. It reports false for all else, and for a datagram
// that would overtake others, which gVisor is to judge.
func (l *link) datagram(p *packet.Parsed) bool {
	if !isPlainDatagram(p) || l.isOwn(p.Src.Addr()) || l.inbox.datagrams.Load() != 0 {
		return false
	}
	c := l.socketOf(p)
	if c == nil || c.isClosed() {
		return false
	}
	c.session.touch()
	if c.queue.copyIn(p.Payload(), p.Src) {
		runtime.Gosched() // see udpQueue.lags
	}
	return true
}

// isPlainDatagram reports whether p is a whole UDP datagram between two hosts
// without IP options, and with the lengths and checksums that it should have.
func isPlainDatagram(p *packet.Parsed) bool {
	if p.IPProto != ipproto.UDP || p.IsFragment() || !p.BetweenHosts() {
		return false
	}
	pkt, t := p.Buffer(), p.Transport()
	ip := pkt[:len(pkt)-len(t)]
	if len(t) < udpHeaderLen || int(binary.BigEndian.Uint16(t[4:])) != len(t) {
		return false
	}
	hasSum := t[6] != 0 || t[7] != 0
	if p.IPVersion == 6 {
		if len(ip) != ipv6HeaderLen || !hasSum {
			return false
		}
	} else if len(ip) != ipv4HeaderLen || packet.Checksum(ip, 0) != rightSum {
		return false
	}
	return !hasSum || packet.Checksum(t, packet.PseudoHeaderSum(ipproto.UDP, p.Src.Addr(), p.Dst.Addr(), len(t))) == rightSum
}

const udpHeaderLen = 8 // RFC 768

// socketOf returns the socket that a datagram is for, or nil.
func (l *link) socketOf(p *packet.Parsed) *UDPConn {
	id := stack.TransportEndpointID{
		LocalAddress: tcpip.AddrFromSlice(p.Dst.Addr().AsSlice()), LocalPort: p.Dst.Port(),
		RemoteAddress: tcpip.AddrFromSlice(p.Src.Addr().AsSlice()), RemotePort: p.Src.Port(),
	}
	ep := l.ip.FindTransportEndpoint(protocolOf(p.Dst.Addr()), udp.ProtocolNumber, id, nicID)
	if ep == nil {
		return nil
	}
	c, _ := l.sockets.Load(ep)
	u, _ := c.(*UDPConn)
	return u
}
