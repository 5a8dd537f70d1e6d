// Package tunqueue moves packets through one TUN descriptor on Linux. A [Queue]
// reads every packet that is ready in one call, cuts the super-packets among
// them, joins the packets that it writes, and can be interrupted while it waits.
//
// It knows nothing of the interface but what [Inspect] asks of the descriptor:
// names, MTU and events are package tundev's.
package tunqueue
