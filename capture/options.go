package capture

import (
	"fmt"
	"strconv"

	"tstun"
	"tstun/filter"
	"tstun/flow"
)

const (
	// DefaultSnapLen is what tcpdump takes: whole packets, of any length that IP has.
	DefaultSnapLen = 262144
	// DefaultRing has room for about 20,000 packets of 128 bytes, or 2,500 of 1,500.
	DefaultRing = 4 << 20

	minRing = 256 << 10 // a few of the longest packets
	maxRing = 1 << 30
)

// Options say what a capture records. The zero value records all packets whole.
//
// Match runs on the goroutines that bring packets, several at once, and must not
// block. Peer and Rule run on the one that writes.
type Options struct {
	// SnapLen is how many bytes of a packet are recorded at most. 0: DefaultSnapLen,
	// which is also the most.
	SnapLen int
	// Ring is how many bytes of packets wait for the writer at most; it is rounded up
	// to a power of two. A packet takes SnapLen or its length, and 40 bytes, rounded up
	// to 64. 0: DefaultRing. At least 256 KiB, at most 1 GiB.
	Ring int
	// Match says which packets are recorded. nil: all.
	Match func(*tstun.Observation) bool
	// Wire records, in the Note, the addresses that a packet has on WireGuard's side,
	// where NAT makes them others.
	Wire bool
	// Peer returns the name of a peer for the Note, or "" for none. nil: Notes have no
	// peer. A flow.PeerID itself says nothing outside of the process.
	Peer func(flow.PeerID) string
	// Rule returns the name of f's rule that lets the packets of the flow k pass, or ""
	// if none does or it is not known. It is asked about packets that were not dropped.
	// k has the identifier of an ICMP query, as filter.SetQuery makes it. nil: the index
	// of the rule, as filter.Filter.RuleOf tells it, for flows that f's State has and
	// the host did not begin.
	Rule func(f *filter.Filter, k flow.Key) string
	// Interface is the name of the device in the file. "": "tstun".
	Interface string
}

// withDefaults returns o with its defaults, or an error that names the field.
func (o Options) withDefaults() (Options, error) {
	if o.SnapLen == 0 {
		o.SnapLen = DefaultSnapLen
	}
	if o.Ring == 0 {
		o.Ring = DefaultRing
	}
	if o.Interface == "" {
		o.Interface = "tstun"
	}
	if o.Rule == nil {
		o.Rule = ruleIndex
	}
	if o.SnapLen < 0 || o.SnapLen > DefaultSnapLen {
		return o, fmt.Errorf("capture: snap length %d: want 1 to %d bytes", o.SnapLen, DefaultSnapLen)
	}
	if o.Ring < minRing || o.Ring > maxRing {
		return o, fmt.Errorf("capture: ring of %d bytes: want %d to %d", o.Ring, minRing, maxRing)
	}
	return o, nil
}

// ruleIndex is the default of Options.Rule.
func ruleIndex(f *filter.Filter, k flow.Key) string {
	if by, known := f.State().InitiatorOf(k, filter.Now()); !known || by == filter.InitiatorHost {
		return ""
	}
	if i := f.RuleOf(filter.Inbound, k); i >= 0 {
		return strconv.Itoa(i)
	}
	return ""
}
