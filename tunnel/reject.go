package tunnel

import "tstun"

// Reject is what a peer hears of a packet that the policy refuses.
type Reject string

const (
	// RejectTSMP tells a peer that speaks TSMP that it is refused, and no rule: Trace at
	// its end shows it. Others hear nothing. The empty Reject means the same.
	RejectTSMP Reject = "tsmp"
	// RejectReset answers like a host with a firewall, with a TCP reset or an ICMP
	// error, so that any peer's programs fail at once.
	RejectReset Reject = "reset"
	// RejectNone lets peers run into a timeout.
	RejectNone Reject = "none"
)

// rejects are the Wrapper's values.
var rejects = map[Reject]tstun.Reject{
	"": tstun.RejectTSMP, RejectTSMP: tstun.RejectTSMP, RejectReset: tstun.RejectReset, RejectNone: tstun.RejectNone,
}
