package filter

import "fmt"

// Direction says which way a packet goes, or the first packet of a flow went.
type Direction bool

const (
	Outbound Direction = false // from the host to a peer
	Inbound  Direction = true  // from a peer to the host
)

// String returns "in" or "out".
func (d Direction) String() string {
	if d == Inbound {
		return "in"
	}
	return "out"
}

// MarshalText returns String's form.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts what String returns.
func (d *Direction) UnmarshalText(text []byte) error {
	switch string(text) {
	case "in":
		*d = Inbound
	case "out":
		*d = Outbound
	default:
		return fmt.Errorf("filter: %q is no direction: want in or out", text)
	}
	return nil
}
