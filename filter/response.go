package filter

import "strconv"

// Response says what becomes of a packet. The zero value is Drop.
type Response int

const (
	// Drop: the packet does not go through. Its sender may be told so.
	Drop Response = iota
	// DropSilently: the packet does not go through, its sender is not
	// told, and no line is logged. It is for packets that are everyday
	// noise, or that an answer could not be addressed to.
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

// Verdict is what a Filter says of a packet: what becomes of it and, for a
// drop, why. The zero Verdict is a Drop without a reason, which no Filter
// returns.
type Verdict struct {
	Response Response
	// Reason is ReasonNone exactly when the packet is not dropped.
	Reason Reason
}

// RunFlags modify one judgement. The zero value logs nothing.
type RunFlags uint8

const (
	// LogDrops logs each drop, within the limits of Config.LogIPs and of
	// the rate.
	LogDrops RunFlags = 1 << iota
	// LogAccepts logs each accepted packet that begins a flow, within the
	// same limits.
	LogAccepts
	// Jailed refuses flows that the packet's peer opened or wants to open.
	Jailed
	// Exempt waives the rules, and shields, for an inbound packet that
	// begins a flow; the flow lives on under any later rules, until a jail. It
	// waives neither form, addresses and Local, nor Jailed.
	Exempt
)
