package netstack

import (
	"testing"

	"tstun/packet"
)

// A connection whose peer has no room gets what it may always hold, however
// long the segment is. One of connCost-segmentCost bytes is no SYN.
func TestSegmentsWithoutRoom(t *testing.T) {
	from, to := toItself(t)
	m := to.s.memory
	a := to.charged()
	a.exact.Add(m.bound)
	m.total.Add(m.bound)
	for _, n := range []int{1, connCost - segmentCost - 1, connCost - segmentCost, connCost} {
		var p packet.Parsed
		p.Decode(packet.Generate(packet.TCPHeader{
			Src: from.local.AddrPort(), Dst: from.remote.AddrPort(), Flags: packet.TCPAck,
		}, make([]byte, n)))
		if whole, ok := m.admit(a, &p, false); whole || !ok {
			t.Errorf("%d bytes: whole %v, admitted %v", n, whole, ok)
		}
	}
	var p packet.Parsed
	p.Decode(packet.Generate(packet.TCPHeader{Src: from.local.AddrPort(), Dst: from.remote.AddrPort(), Flags: packet.TCPSyn}, nil))
	if _, ok := m.admit(a, &p, false); ok {
		t.Error("a new connection was admitted")
	}
}
