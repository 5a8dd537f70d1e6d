// Package accounting counts packets: what passed and was dropped, by reason, and
// what each flow has carried.
//
// A call of Read or Write adds up in a Call, without locks, and enters the sums
// once, at its end: into its Local and, by flow, into Flows.
package accounting

import (
	"tstun/filter"
	"tstun/flow"
)

// Traffic is a number of packets and the sum of their lengths.
type Traffic struct {
	Packets, Bytes uint64
}

// Add counts one packet of size bytes.
func (t *Traffic) Add(size int) {
	t.Packets++
	t.Bytes += uint64(size)
}

// AddAll adds other.
func (t *Traffic) AddAll(other Traffic) {
	t.Packets += other.Packets
	t.Bytes += other.Bytes
}

// Sub uncounts one packet of size bytes.
func (t *Traffic) Sub(size int) {
	t.Packets--
	t.Bytes -= uint64(size)
}

// counts returns t as the counts of a flow.
func (t Traffic) counts(way Direction) flow.Counts {
	if way == In {
		return flow.Counts{RxPackets: t.Packets, RxBytes: t.Bytes}
	}
	return flow.Counts{TxPackets: t.Packets, TxBytes: t.Bytes}
}

// Direction says which way packets go.
type Direction = filter.Direction

// The two directions: from the host to peers, and from peers to the host.
const (
	Out = filter.Outbound
	In  = filter.Inbound
)
