package filter

import "strconv"

// Response says what happens to a packet. The zero value is Drop.
type Response int

const (
	// Drop: the packet does not go through. Its sender may be told so.
	Drop Response = iota
	// DropSilently: the packet does not go through, its sender is not
	// told, and no line is logged. It is for packets that are everyday
	// noise, or whose sender a reject would not reach.
	DropSilently
	// Accept: the packet goes through.
	Accept
	// Handled: a hook took the packet. It is not dropped; it counts as
	// delivered and goes no further. No Filter returns it.
	Handled
)

var responseNames = [...]string{
	Drop:         "drop",
	DropSilently: "drop-silently",
	Accept:       "accept",
	Handled:      "handled",
}

// String returns the response's name, such as "drop".
func (r Response) String() string {
	if r < 0 || int(r) >= len(responseNames) {
		return "response-" + strconv.Itoa(int(r))
	}
	return responseNames[r]
}

// MarshalText returns String's form.
func (r Response) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// IsDrop reports whether the packet does not go through.
func (r Response) IsDrop() bool { return r == Drop || r == DropSilently }

// Verdict says what happens to a packet and, if it is dropped, why. The zero Verdict is
// a Drop without a reason, which no Filter returns.
type Verdict struct {
	Response Response
	// Reason is ReasonNone exactly when the packet is not dropped.
	Reason Reason
}

// RunFlags modify the judgement of one packet. The zero value logs nothing.
type RunFlags uint8

const (
	// LogDrops logs each drop, within the limits of Config.LogIPs and of
	// the rate.
	LogDrops RunFlags = 1 << iota
	// LogAccepts logs each accepted packet that starts a flow, within the
	// same limits.
	LogAccepts
	// Jailed refuses flows that the packet's peer opened or wants to open.
	Jailed
	// Exempt lets an inbound packet start a flow whatever the rules and
	// ShieldsUp say. The flow stays open under any later rules, until its peer
	// is jailed. Exempt does not change the checks of form, addresses, Local and
	// Jailed.
	Exempt
)
