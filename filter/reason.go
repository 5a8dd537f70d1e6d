package filter

import (
	"fmt"
	"strconv"
)

// Reason is why a packet was dropped. Each dropped packet has exactly one.
// The list is closed.
type Reason uint8

// Reasons. Those up to ReasonRevoked are a Filter's; the rest are raised by
// tstun.Wrapper only, around the filter.
const (
	// ReasonNone is the zero Reason: the packet passes.
	ReasonNone Reason = iota
	// ReasonMalformed: not a well-formed IP packet.
	ReasonMalformed
	// ReasonTruncated: the packet ends within its transport header.
	ReasonTruncated
	// ReasonExtensionHeaders: IPv6 extension headers that are too many, out
	// of order, or obsolete.
	ReasonExtensionHeaders
	// ReasonIPOptions: IPv4 options that cannot be walked, or a source route
	// with a hop still to visit.
	ReasonIPOptions
	// ReasonMulticast: sent to a multicast address; see Permit.Multicast.
	ReasonMulticast
	// ReasonLinkLocal: from or to a link-local address; see Permit.LinkLocal.
	ReasonLinkLocal
	// ReasonMappedAddr: from or to an IPv6 address that maps an IPv4
	// address; see Permit.Mapped.
	ReasonMappedAddr
	// ReasonMartian: from or to an address that cannot be on the wire, such
	// as loopback, see Permit.Martian; or inbound, from its own destination.
	ReasonMartian
	// ReasonNotLocal: inbound, to an address outside of Config.Local.
	ReasonNotLocal
	// ReasonFragmentTiny: a fragment so placed that it splits or rewrites
	// the transport header (RFC 1858, RFC 3128).
	ReasonFragmentTiny
	// ReasonFragmentOverlap: a fragment that overlaps the first fragment of
	// its datagram (RFC 5722).
	ReasonFragmentOverlap
	// ReasonFragmentOrphan: a fragment whose first fragment is not known.
	ReasonFragmentOrphan
	// ReasonFragmentDenied: a fragment whose first fragment was dropped.
	ReasonFragmentDenied
	// ReasonNoRule: a new inbound flow that no rule allows.
	ReasonNoRule
	// ReasonShieldsUp: a new inbound flow while Config.ShieldsUp.
	ReasonShieldsUp
	// ReasonJailed: a flow that a jailed peer opened or wants to open, or of
	// which it is not known who opened it.
	ReasonJailed
	// ReasonNoFlow: an ICMP error, a reply to an ICMP query such as a ping, or a
	// TSMP rejection that belongs to no open flow, as no ICMPv4 redirect or source quench does.
	ReasonNoFlow
	// ReasonRevoked: the flow was open and may be the peer's, but the rules
	// now in force do not allow it.
	ReasonRevoked
	// ReasonNoFilter: no filter is set.
	ReasonNoFilter
	// ReasonHook: a hook dropped the packet.
	ReasonHook
	// ReasonOwnDisco: a disco packet with this node's own key.
	ReasonOwnDisco
	// ReasonHostTSMP: a TSMP packet that the host made.
	ReasonHostTSMP
	// ReasonBadTSMP: a TSMP packet that is fragmented, of no known type, or
	// a ping between addresses that are no hosts'.
	ReasonBadTSMP
	// ReasonQueueFull: an injected packet found the queue full.
	ReasonQueueFull
	// ReasonTooLarge: the packet does not fit the buffer it is to go into.
	ReasonTooLarge
	// ReasonDevice: the device refused the packet.
	ReasonDevice
	// ReasonClosed: the device was closed before the packet got through.
	ReasonClosed

	numReasons
)

// NumReasons is the number of Reasons, with ReasonNone: each Reason is less.
const NumReasons = int(numReasons)

var reasonTexts = [NumReasons]struct{ name, why string }{
	ReasonNone:             {"none", "The packet passes."},
	ReasonMalformed:        {"malformed", "The packet is not a well-formed IP packet."},
	ReasonTruncated:        {"truncated", "The packet ends within its transport header."},
	ReasonExtensionHeaders: {"extension-headers", "The packet's IPv6 extension headers are too many, out of order or obsolete."},
	ReasonIPOptions:        {"ip-options", "The packet's IPv4 options are malformed or route it on to another destination."},
	ReasonMulticast:        {"multicast", "The packet is sent to a multicast address, which the configuration does not permit."},
	ReasonLinkLocal:        {"link-local", "The packet is from or to a link-local address, which the configuration does not permit."},
	ReasonMappedAddr:       {"mapped-addr", "The packet is from or to an IPv6 address that maps an IPv4 address, which the configuration does not permit."},
	ReasonMartian:          {"martian", "The packet is from or to an address that cannot be on the wire, such as loopback, unspecified or broadcast, or from its own destination."},
	ReasonNotLocal:         {"not-local", "The packet is sent to an address that is not one of this node's."},
	ReasonFragmentTiny:     {"fragment-tiny", "The fragment splits or rewrites the transport header."},
	ReasonFragmentOverlap:  {"fragment-overlap", "The fragment overlaps the first fragment of its datagram."},
	ReasonFragmentOrphan:   {"fragment-orphan", "The first fragment of the datagram is not known: it never came, came later, or was forgotten."},
	ReasonFragmentDenied:   {"fragment-denied", "The first fragment of the datagram was dropped, so the rest is too."},
	ReasonNoRule:           {"no-rule", "No rule allows this new flow."},
	ReasonShieldsUp:        {"shields-up", "Shields are up: no new inbound flow is let in, whatever the rules say."},
	ReasonJailed:           {"jailed", "The peer is jailed: it may answer flows that this node opens, not open its own."},
	ReasonNoFlow:           {"no-flow", "The packet answers a flow that is not open: an ICMP error, a reply to a ping or another ICMP query, or a TSMP rejection without cause."},
	ReasonRevoked:          {"revoked", "The flow was open and is not known to be this node's, but the rules now in force do not allow it."},
	ReasonNoFilter:         {"no-filter", "No filter is set, so nothing passes."},
	ReasonHook:             {"hook", "A hook of the program dropped the packet."},
	ReasonOwnDisco:         {"own-disco", "The packet is a disco message with this node's own key: it went round in a circle."},
	ReasonHostTSMP:         {"host-tsmp", "The host made a TSMP control message, which only this library may make."},
	ReasonBadTSMP:          {"bad-tsmp", "The TSMP control message is fragmented, of no known type, or not between two hosts."},
	ReasonQueueFull:        {"queue-full", "The injection queue was full."},
	ReasonTooLarge:         {"too-large", "The packet does not fit the buffer it is to go into."},
	ReasonDevice:           {"device", "The device refused the packet."},
	ReasonClosed:           {"closed", "The device was closed before the packet got through."},
}

// Reasons returns every Reason but ReasonNone, in order.
func Reasons() []Reason {
	all := make([]Reason, 0, NumReasons-1)
	for r := ReasonNone + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// IsFilters reports whether a Filter raises the reason, and not the Wrapper.
func (r Reason) IsFilters() bool { return r > ReasonNone && r <= ReasonRevoked }

// Stage returns the step that drops packets for r.
func (r Reason) Stage() Stage {
	switch {
	case r > ReasonRevoked:
		return StageWrapper
	case r >= ReasonFragmentTiny && r <= ReasonFragmentDenied:
		return StageFragment
	case r >= ReasonMulticast && r <= ReasonMartian:
		return StageAddress
	}
	switch r {
	case ReasonNotLocal:
		return StageLocal
	case ReasonNoRule:
		return StageRules
	case ReasonShieldsUp:
		return StageShields
	case ReasonJailed, ReasonNoFlow, ReasonRevoked:
		return StageFlow
	}
	return StageForm
}

// String returns the reason's name in kebab-case, such as "no-rule".
func (r Reason) String() string {
	if r >= numReasons {
		return "reason-" + strconv.Itoa(int(r))
	}
	return reasonTexts[r].name
}

// Explain returns one sentence for people.
func (r Reason) Explain() string {
	if r >= numReasons {
		return "The reason is not known."
	}
	return reasonTexts[r].why
}

// MarshalText returns String's form.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts the names that String returns for known reasons.
func (r *Reason) UnmarshalText(text []byte) error {
	for i, t := range reasonTexts {
		if t.name == string(text) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("filter: %q is not the name of a reason", text)
}
