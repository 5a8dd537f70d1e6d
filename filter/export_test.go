package filter

import "net/netip"

// MayHaveLost tells the twin what the State remembers of the peer at a.
func (f *Filter) MayHaveLost(a netip.Addr, now int64) bool {
	return f.state.mayHaveLostFlow(a, now)
}
