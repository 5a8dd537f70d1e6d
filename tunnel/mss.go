package tunnel

import (
	"math"
	"strconv"

	"tstun"
)

// MSSClamp is a bound for the segments of TCP connections, as
// tstun.Wrapper.SetMSSClamp has it: NoClamp, ClampToMTU, or an MSS in bytes for
// both versions of IP.
type MSSClamp int

const (
	// NoClamp leaves segments as they are. It is the zero value.
	NoClamp MSSClamp = 0
	// ClampToMTU is what fits the MTU that the tunnel got at Start or Reload: 40
	// bytes less over IPv4, 60 over IPv6.
	ClampToMTU MSSClamp = -1
)

// String returns "off", "mtu" or the number.
func (m MSSClamp) String() string {
	switch m {
	case NoClamp:
		return "off"
	case ClampToMTU:
		return "mtu"
	}
	return strconv.Itoa(int(m))
}

// MarshalText returns String's form.
func (m MSSClamp) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// valid reports whether m is one of those that there are.
func (m MSSClamp) valid() bool { return m >= ClampToMTU && m <= math.MaxUint16 }

// with returns the bounds for a tunnel of an MTU in bytes, or none of what goes by
// an MTU if that is 0: it is not known yet.
func (m MSSClamp) with(mtu int) tstun.MSSClamp {
	switch {
	case m != ClampToMTU:
		return tstun.MSSClamp{IPv4: uint16(m), IPv6: uint16(m)}
	case mtu == 0:
		return tstun.MSSClamp{}
	}
	return tstun.ClampToMTU(mtu)
}

// clampSteps change the bounds, behind the network with its MTU.
func (t *Tunnel) clampSteps(old, next *live) []step {
	return []step{{"the MSS clamp", func() error { return t.setMSSClamps(next) }, func() error { return t.setMSSClamps(old) }}}
}

// setMSSClamps tells the Wrapper the bounds for all peers and for each, now that
// the MTU of l is known.
func (t *Tunnel) setMSSClamps(l *live) error {
	t.wrapper.SetMSSClamp(l.MSSClamp.with(l.mtu))
	return t.setPeers(l)
}
