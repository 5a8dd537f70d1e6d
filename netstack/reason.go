package netstack

import (
	"fmt"
	"strconv"
)

// Reason says why a packet ended inside a Stack. To the Wrapper it was
// delivered, but for those that the stack's hook dropped, which it counts with
// filter.ReasonHook: all of ReasonInbox and ReasonBacklog, those of
// ReasonMemory that were TCP, and echo requests to addresses that are
// forwarded.
type Reason uint8

const (
	noReason Reason = iota
	// ReasonInbox is that more packets waited for the stack than it could
	// take, of all peers or of this one; or that it was closed.
	ReasonInbox
	// ReasonMemory is that the peer, or all together, make the stack hold as
	// much as they may. A connection that was refused is one packet.
	ReasonMemory
	// ReasonSocketBuffer is that a UDP socket held as much as it may, since
	// the program did not read, or was just being closed.
	ReasonSocketBuffer
	// ReasonBacklog is that as many connections as a listener's backlog
	// waited for Accept.
	ReasonBacklog
	// ReasonChecksum is a wrong checksum of TCP, UDP or ICMP. An ICMP message
	// that is not valid otherwise is here too.
	ReasonChecksum
	// ReasonMalformed is what is not a valid packet of its protocol, an IPv4
	// header with a wrong checksum, and fragments that do not fit together.
	ReasonMalformed
	// ReasonNoSocket is that no socket is at the address and port, or of the
	// protocol. The sender was told so.
	ReasonNoSocket
	// ReasonForward is that as many connections, sessions or echo requests
	// were being forwarded as may be.
	ReasonForward
	// ReasonOther is what gVisor dropped for no reason above, such as a packet
	// from an address of the stack's own, or a reset of no connection that
	// came to a listener.
	ReasonOther
	numReasons
)

var reasonNames = [numReasons]string{
	"none", "inbox", "memory", "socket-buffer", "backlog", "checksum", "malformed", "no-socket", "forward", "other",
}

// Reasons returns every Reason, in order.
func Reasons() []Reason {
	var all []Reason
	for r := noReason + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// String returns the reason's name in kebab-case, such as "socket-buffer".
func (r Reason) String() string {
	if r >= numReasons {
		return "reason-" + strconv.Itoa(int(r))
	}
	return reasonNames[r]
}

// MarshalText returns String's form.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts the names that String returns for known reasons.
func (r *Reason) UnmarshalText(text []byte) error {
	for i, name := range reasonNames {
		if name == string(text) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("netstack: %q is not the name of a reason", text)
}
