package tstun

import (
	"tstun/internal/fragqueue"
	"tstun/netlogtype"
)

// ExtractStatistics returns what each connection has carried since the last
// call, and forgets it. The caller owns the map. A connection is seen from
// the host, so Src is the host's side, with its own address also under NAT.
// The sum over all extracts is exactly what passed or was taken by hooks
// while statistics were enabled. Fragments are counted under the flow of their
// datagram. Only those without a known flow are counted with port 0, since they
// carry none: of a datagram whose first fragment was not counted before them, or
// was forgotten, after a minute or with more than 4096 datagrams each way, of
// which a peer has its share. Connections that the filter holds in its State are
// counted apart, and of those that ended since the last call, and of those that it does
// not track, 100,000 each, shared out among the peers that have many; a peer alone has
// half of them. The rest is summed under the zero Connection; so is what was injected
// without being an IP packet.
func (w *Wrapper) ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts {
	w.stopOut(func() {})
	w.stopIn(func(fragqueue.Books) {})
	return w.flows.Take(w.config.Load().state)
}
