package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"tstun/ipproto"
	"tstun/packet"
)

// The sizes of a connection's buffers while its peer has no room: half of a
// receive buffer is window. They are odd, so that they are not taken for sizes
// that the program set.
const (
	squeezedReceive = heldIn + 1
	squeezedSend    = heldOut + 1
)

// admit counts what the packet may make the stack hold. whole is false if the
// peer has no room, so that the packet is admitted for itself alone, to a
// connection that holds little. joins says that it is a segment that continues
// the one before.
func (m *memory) admit(a *account, p *packet.Parsed, joins bool) (whole, ok bool) {
	if p.IPProto != ipproto.TCP {
		return true, true
	}
	n := int64(len(p.Payload()))
	switch {
	case isSYN(p):
		n = connCost
	case n == 0:
		return true, true
	case !joins:
		n += segmentCost
	}
	if a.room(n) {
		a.estimate(n)
		return true, true
	}
	if isSYN(p) {
		return false, false
	}
	ep := m.endpoint(p)
	if ep == nil {
		return false, false
	}
	// Its window shrinks, so that the other side does not send in vain.
	ep.SocketOptions().SetReceiveBufferSize(squeezedReceive, false)
	return false, received(ep) < heldIn
}

// endpoint returns the connection that the segment is for, or nil.
func (m *memory) endpoint(p *packet.Parsed) *tcp.Endpoint {
	id := stack.TransportEndpointID{
		LocalAddress: tcpip.AddrFromSlice(p.Dst.Addr().AsSlice()), LocalPort: p.Dst.Port(),
		RemoteAddress: tcpip.AddrFromSlice(p.Src.Addr().AsSlice()), RemotePort: p.Src.Port(),
	}
	for _, ip := range []*stack.Stack{m.ip, m.beside} {
		if ip == nil {
			continue
		}
		ep, ok := ip.FindTransportEndpoint(protocolOf(p.Dst.Addr()), tcp.ProtocolNumber, id, nicID).(*tcp.Endpoint)
		if ok && tcp.EndpointState(ep.State()) != tcp.StateListen {
			return ep
		}
	}
	return nil
}

// headroom is how many times its new size a buffer must find room for to grow.
// What a window has promised cannot be taken back, and what comes beyond the
// memory is lost.
const headroom = 4

// wasRead gives back what a Read of n bytes took. before is what the connection
// held until then.
func (c *TCPConn) wasRead(n int, before int64) {
	a := c.charged()
	if gone := before - received(c.tcp()); gone > 0 {
		a.estimate(-gone)
	}
	o := c.ep.SocketOptions()
	size := o.GetReceiveBufferSize()
	asked := c.readBuffer.Load()
	switch {
	case size == squeezedReceive:
		if size = int64(orDefault(int(asked), defaultTCPBuffer)); a.fits(size) {
			o.SetReceiveBufferSize(size, false)
		}
	case a.fits(headroom * size):
		c.ep.ModerateRecvBuf(n)
	case asked == 0 && size > defaultTCPBuffer && !a.fits(size):
		o.SetReceiveBufferSize(max(size/2, defaultTCPBuffer), false)
	}
}

// boundSend makes the connection wait with what it writes, beyond a little,
// while its peer has no room for n bytes more. It does so by the size of the
// send buffer, which gVisor may enlarge meanwhile.
func (c *TCPConn) boundSend(n int) {
	c.countSent()
	o, a := c.ep.SocketOptions(), c.charged()
	now := o.GetSendBufferSize()
	size := now
	if now == squeezedSend {
		size = c.sendBuffer
	}
	if size > defaultTCPBuffer && !a.fits(headroom*size) {
		size = defaultTCPBuffer
	}
	c.sendBuffer = size
	if bytes := min(int64(n), max(size-c.sent, 0)); a.room(bytes) {
		a.estimate(bytes)
		c.sent += bytes
	} else {
		size = squeezedSend
	}
	if size != now {
		o.SetSendBufferSize(size, false)
	}
}

// countSent gives back what the other side acknowledged since the last call. A
// sweep between has done so.
func (c *TCPConn) countSent() {
	now, sweeps := unacked(c.tcp()), c.s.memory.sweeps.Load()
	if c.sweeps == sweeps {
		c.charged().estimate(now - c.sent)
	}
	c.sent, c.sweeps = now, sweeps
}
