package tunnel

import "tstun/netstack"

// Stack returns the network stack of a tunnel in ModeUserspace, or nil in
// ModeKernel. It can do what Dial and Listen do not, such as ping and forward.
// The tunnel closes it.
func (t *Tunnel) Stack() *netstack.Stack { return t.stack }
