package flowlog

import (
	"fmt"
	"strings"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/netlogtype"
)

// Kind says what a Record tells.
type Kind uint8

const (
	// Began: the first packet of a flow passed.
	Began Kind = iota
	// Updated: a flow that is open has carried more since it was told last.
	Updated
	// Ended: a flow is over: closed or reset and a time ago, idle, or pushed out.
	Ended
	// Refused: a flow was refused. Packets and bytes are those so far.
	Refused
	// RefusedEnded: a refused flow is forgotten, with all that was refused of it.
	RefusedEnded
)

var kindNames = [...]string{"began", "updated", "ended", "refused", "refused-ended"}

// String returns the name, such as "ended".
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return fmt.Sprintf("kind-%d", uint8(k))
	}
	return kindNames[k]
}

// MarshalText returns String's form.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// IsRefused reports whether the record is of a refused flow.
func (k Kind) IsRefused() bool { return k == Refused || k == RefusedEnded }

// Record tells something of one flow. Flow or Refused has what is known of it then.
type Record struct {
	Kind    Kind
	Time    time.Time           // when that was
	Flow    tstun.FlowRecord    // unless Kind.IsRefused
	Refused tstun.RefusedRecord // if Kind.IsRefused
}

// Connection returns the two sides of the flow. Src is the host's.
func (r *Record) Connection() netlogtype.Connection {
	if r.Kind.IsRefused() {
		return r.Refused.Connection
	}
	return r.Flow.Connection
}

// Last returns when the last packet of the flow was counted.
func (r *Record) Last() time.Time {
	if r.Kind.IsRefused() {
		return r.Refused.Last
	}
	return r.Flow.Last
}

// String returns the record in one line, without its time: what happened, the sides in the
// direction of the flow, and what passed.
func (r Record) String() string {
	c := r.Connection()
	var b strings.Builder
	in := r.Flow.Initiator == filter.InitiatorPeer
	if r.Kind.IsRefused() {
		in = r.Refused.Direction == filter.Inbound
	}
	src, dst := c.Src, c.Dst
	if in {
		src, dst = dst, src
	}
	way := "out"
	if in {
		way = "in"
	}
	fmt.Fprintf(&b, "%v %s %v %v > %v", r.Kind, way, c.Proto, src, dst)
	if r.Kind.IsRefused() {
		if r.Refused.More {
			b.Reset()
			fmt.Fprintf(&b, "%v %s more of %v", r.Kind, way, src.Addr())
		}
		fmt.Fprintf(&b, ", reason %v, %d packets, %d bytes", r.Refused.Reason, r.Refused.Packets, r.Refused.Bytes)
		return b.String()
	}
	if r.Kind == Ended {
		fmt.Fprintf(&b, ", %v", r.Flow.End)
	}
	if r.Kind != Began {
		fmt.Fprintf(&b, ", %d packets out, %d bytes, %d in, %d bytes", r.Flow.TxPackets, r.Flow.TxBytes, r.Flow.RxPackets, r.Flow.RxBytes)
	}
	return b.String()
}
