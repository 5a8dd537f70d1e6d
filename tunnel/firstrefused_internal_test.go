package tunnel

import (
	"net/netip"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/netlogtype"
)

// attempt returns a refused flow of a peer, to a port.
func attempt(peer flow.PeerID, from, to uint16) tstun.RefusedRecord {
	return tstun.RefusedRecord{
		Connection: netlogtype.Connection{
			Proto: ipproto.TCP,
			Src:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, 1}), to),
			Dst:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 1, byte(peer)}), from),
		},
		Direction: filter.Inbound, Reason: filter.ReasonNoRule, Peer: peer,
	}
}

// taken returns the ports of what waits to be told, and how many others there were.
func (x *firstRefusals) taken() (ports []uint16, untold uint64) {
	for len(x.queue) > 0 {
		n := <-x.queue
		ports, untold = append(ports, n.flow.Src.Port()), untold+n.untold
	}
	return ports, untold
}

// A flow is told once, whatever port it comes from; a scan is told four times and then
// at its pace, and takes nothing of another peer's.
func TestFirstRefusals(t *testing.T) {
	x := newFirstRefusals()
	now := time.Unix(1e9, 0)
	x.now = func() time.Time { return now }
	for from := range uint16(1000) {
		x.note(attempt(1, from, 22))
	}
	if ports, untold := x.taken(); len(ports) != 1 || ports[0] != 22 || untold != 0 {
		t.Errorf("of one flow: %v, %d untold", ports, untold)
	}
	for to := range uint16(1000) {
		x.note(attempt(2, 1, 1000+to))
	}
	x.note(attempt(3, 1, 80))
	ports, untold := x.taken()
	if len(ports) != 5 || ports[0] != 1000 || ports[3] != 1003 || ports[4] != 80 || untold != 996 {
		t.Errorf("of a scan and another: %v, %d untold", ports, untold)
	}
	told := 0
	for minute := 0; minute < 60; minute++ {
		now = now.Add(time.Minute)
		for to := range uint16(100) {
			x.note(attempt(2, 1, 2000+uint16(minute)*100+to))
		}
		ports, _ := x.taken()
		told += len(ports)
	}
	if told != 60*refusalBurst {
		t.Errorf("of an hour's scan, once a minute: %d", told)
	}
	// What is not taken does not hold anybody up, and is counted.
	for peer := range flow.PeerID(200) {
		x.note(attempt(10+peer, 1, 80))
	}
	ports, before := x.taken()
	x.note(attempt(250, 1, 80))
	if _, untold := x.taken(); len(ports) != refusalQueue || untold != 200-refusalQueue {
		t.Errorf("%d told, %d before and %d after untold", len(ports), before, untold)
	}
}

// What happens under the locks of the flow tables allocates nothing.
func TestFirstRefusalsDoNotAllocate(t *testing.T) {
	x := newFirstRefusals()
	to := uint16(0)
	x.note(attempt(1, 1, 0))
	if n := testing.AllocsPerRun(1000, func() {
		to++
		x.note(attempt(1, 1, to))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
