// Package accounting counts packets: what passed and was dropped, by reason, and
// what each flow has carried.
//
// A call of Read or Write adds up in a Call, without locks, and enters the sums
// once, at its end: into its Local and, by flow, into Flows.
package accounting

import "tstun/filter"

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

// Direction says which way packets go.
type Direction = filter.Direction

// The two directions: from the host to peers, and from peers to the host.
const (
	Out = filter.Outbound
	In  = filter.Inbound
)
