package netstack

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Counters is what a Stack has done since New, and what it holds now.
//
// Once all that came was processed, In.Packets is what sockets and handlers
// got, or the stack itself answered, and the sum of Drops, with these
// exceptions, which gVisor does not count: a datagram in fragments is one
// packet for each that came, and at most one drop, and none if it never became
// whole; an ICMP error or echo reply that is for no socket is no drop, nor is
// what a TCP connection gets twice, outside of its window, or in its last
// moments.
type Counters struct {
	In  Traffic `json:"in"`  // what came for the stack and its forwarding
	Out Traffic `json:"out"` // what it sent; a TCP super-packet is one

	Drops map[Reason]uint64 `json:"drops"` // reasons that occurred

	Connections int `json:"connections"` // TCP connections that are open, forwarded ones too
	Opening     int `json:"opening"`     // forwarded TCP connections that wait for an answer
	Sessions    int `json:"sessions"`    // forwarded UDP sessions

	Memory      int64 `json:"memory"`      // bytes that peers make the stack hold, or an estimate above
	MemoryBound int64 `json:"memoryBound"` // Config.Memory
}

// Traffic is a number of packets and the sum of their lengths as IP packets.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Dropped returns the sum over all reasons.
func (c Counters) Dropped() uint64 {
	var sum uint64
	for _, n := range c.Drops {
		sum += n
	}
	return sum
}

// counters are those that the stack itself has. gVisor has the rest.
type counters struct {
	in, out traffic
	drops   [numReasons]atomic.Uint64
}

type traffic struct{ packets, bytes atomic.Uint64 }

func (t *traffic) add(bytes int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(bytes))
}

func (t *traffic) get() Traffic { return Traffic{t.packets.Load(), t.bytes.Load()} }

func (c *counters) drop(why Reason, n uint64) { c.drops[why].Add(n) }

// Counters returns a snapshot, which the caller owns. Counters that change
// meanwhile may be of different moments.
func (s *Stack) Counters() Counters {
	c := Counters{
		In: s.counters.in.get(), Out: s.counters.out.get(),
		Memory: s.memory.total.Load(), MemoryBound: s.memory.bound,
	}
	var drops [numReasons]uint64
	for i := range drops {
		drops[i] = s.counters.drops[i].Load()
	}
	c.addFrom(s.ip, &drops)
	if f := s.forward; f != nil {
		c.addFrom(f.ip, &drops)
		c.Opening, c.Sessions = f.now()
	}
	c.Drops = make(map[Reason]uint64)
	for r, n := range drops {
		if n > 0 {
			c.Drops[Reason(r)] = n
		}
	}
	return c
}

// addFrom adds what gVisor counts.
func (c *Counters) addFrom(ip *stack.Stack, drops *[numReasons]uint64) {
	st := ip.Stats()
	c.Connections += int(st.TCP.CurrentEstablished.Value())
	drops[ReasonSocketBuffer] += sum(st.UDP.ReceiveBufferErrors)
	drops[ReasonChecksum] += sum(st.TCP.ChecksumErrors, st.UDP.ChecksumErrors,
		st.ICMP.V4.PacketsReceived.Invalid, st.ICMP.V6.PacketsReceived.Invalid)
	drops[ReasonMalformed] += sum(st.IP.MalformedPacketsReceived, st.TCP.InvalidSegmentsReceived,
		st.UDP.MalformedPacketsReceived, st.NICs.MalformedL4RcvdPackets)
	for _, protocol := range st.NICs.UnknownL4ProtocolRcvdPacketCounts.Keys() {
		if n, ok := st.NICs.UnknownL4ProtocolRcvdPacketCounts.Get(protocol); ok {
			drops[ReasonNoSocket] += n.Value()
		}
	}
	// DroppedPackets has those of full listeners too.
	dropped, backlog := sum(st.DroppedPackets), sum(st.TCP.ListenOverflowSynDrop, st.TCP.ListenOverflowAckDrop)
	drops[ReasonBacklog] += backlog
	drops[ReasonOther] += dropped - min(backlog, dropped)
	drops[ReasonOther] += sum(st.IP.InvalidSourceAddressesReceived, st.IP.InvalidDestinationAddressesReceived)
}

func sum(counters ...*tcpip.StatCounter) (n uint64) {
	for _, c := range counters {
		n += c.Value()
	}
	return n
}

// countStrays has what no socket is for counted. gVisor does not count it, or
// twice.
func (s *Stack) countStrays() {
	s.ip.SetTransportProtocolHandler(header.TCPProtocolNumber, func(_ stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return s.counters.stray(tcpProblem(pkt))
	})
	s.ip.SetTransportProtocolHandler(header.UDPProtocolNumber, func(_ stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return s.counters.stray(udpProblem(pkt))
	})
}

// stray counts a packet of no socket, which may have a problem. It reports
// false if gVisor is to answer it.
func (c *counters) stray(problem Reason) bool {
	if problem != noReason {
		c.drop(problem, 1)
		return true
	}
	c.drop(ReasonNoSocket, 1)
	return false
}

// tcpProblem returns what is wrong with a segment.
func tcpProblem(pkt *stack.PacketBuffer) Reason {
	ip := pkt.Network()
	_, right, ok := header.TCPValid(header.TCP(pkt.TransportHeader().Slice()), pkt.Data().Checksum,
		uint16(pkt.Data().Size()), ip.SourceAddress(), ip.DestinationAddress(), pkt.RXChecksumValidated)
	return problem(ok, right)
}

// udpProblem returns what is wrong with a datagram.
func udpProblem(pkt *stack.PacketBuffer) Reason {
	ip := pkt.Network()
	ok, right := header.UDPValid(header.UDP(pkt.TransportHeader().Slice()), pkt.Data().Checksum, uint16(pkt.Data().Size()),
		pkt.NetworkProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), pkt.RXChecksumValidated)
	return problem(ok, right)
}

func problem(lengthOK, sumRight bool) Reason {
	switch {
	case !lengthOK:
		return ReasonMalformed
	case !sumRight:
		return ReasonChecksum
	}
	return noReason
}
