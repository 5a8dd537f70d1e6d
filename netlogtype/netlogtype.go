// Package netlogtype holds what tstun's statistics are made of: a
// connection, and what it carried.
package netlogtype

import (
	"net/netip"

	"tstun/ipproto"
)

// Connection names a flow as the host sees it: before source NAT and after
// destination NAT. Ports are 0 for protocols that have none. The zero
// Connection stands for the flows that a bounded table had no room for.
type Connection struct {
	Proto ipproto.Proto  `json:"proto,omitzero"`
	Src   netip.AddrPort `json:"src,omitzero"` // the host's side
	Dst   netip.AddrPort `json:"dst,omitzero"` // the peer's side
}

// IsZero reports whether c is the zero Connection.
func (c Connection) IsZero() bool { return c == Connection{} }

// Counts is what passed on a connection: Tx from the host to the peer, Rx
// from the peer to the host. Bytes are those of whole IP packets.
type Counts struct {
	TxPackets uint64 `json:"txPkts,omitzero"`
	TxBytes   uint64 `json:"txBytes,omitzero"`
	RxPackets uint64 `json:"rxPkts,omitzero"`
	RxBytes   uint64 `json:"rxBytes,omitzero"`
}

// IsZero reports whether c counts nothing.
func (c Counts) IsZero() bool { return c == Counts{} }

// Add returns the sum of c and d, field by field.
func (c Counts) Add(d Counts) Counts {
	c.TxPackets += d.TxPackets
	c.TxBytes += d.TxBytes
	c.RxPackets += d.RxPackets
	c.RxBytes += d.RxBytes
	return c
}
