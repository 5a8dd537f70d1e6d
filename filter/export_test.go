package filter

import (
	"net/netip"

	"tstun/flow"
)

// LostLately tells the twin what the State remembers of the peer at a.
func (f *Filter) LostLately(a netip.Addr, now int64) bool {
	return f.lostLately(flow.AddrPeer(a), now)
}
