package tstun

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/accounting"
	"tstun/internal/clock"
	"tstun/internal/fragqueue"
	"tstun/netlogtype"
)

// FlowRecord is what is known of one flow. Its sides are those of a Connection: Src is
// the host's, with its own address also under NAT.
type FlowRecord struct {
	netlogtype.Connection
	netlogtype.Counts
	// Initiator is who began the flow; unknown for what the host went on with
	// after a restart, and for flows that the filter does not track.
	Initiator filter.Initiator
	Phase     filter.Phase
	// Exempt: PeerAPIPort let the flow in, and no rule.
	Exempt bool
	// Revoked: the rules in force do not allow the flow any longer.
	Revoked bool
	// First and Last are when the first and the last packet were counted. Last is
	// accurate to a call of Read or Write.
	First, Last time.Time
	// End is how the flow ended; FlowOpen: it has not. A flow that has is forgotten
	// as soon as its place is needed.
	End FlowEnd
	// Peer is whose the other side is, as PeerOf says.
	Peer flow.PeerID
	// Policy is the Serial of the filter that let the flow in, or let it go on when
	// the rules changed. 0: the flow is older than the records, or not tracked.
	Policy uint32
	// Audit is what the filter of SetAudit said as the flow began. The zero
	// Verdict: it was not asked.
	Audit filter.Verdict
}

// Rule returns the index of the rule by which f let the flow in, or let it go on, or -1
// where no rule did: the host began the flow, PeerAPIPort let it in, or f is not the
// filter with the Serial r.Policy. It takes less than a microsecond; the first call for f
// makes an index, as filter.Filter.RuleOf says.
func (r *FlowRecord) Rule(f *filter.Filter) int {
	if r.Policy != f.Serial() || r.Exempt || r.Initiator == filter.InitiatorHost {
		return -1
	}
	return f.RuleOf(filter.Inbound, flow.MakeKey(r.Proto, r.Src, r.Dst))
}

// FlowEnd is how a flow ended.
type FlowEnd uint8

const (
	// FlowOpen: it has not.
	FlowOpen FlowEnd = iota
	// FlowClosed: both sides of a TCP connection have sent FIN.
	FlowClosed
	// FlowReset: one side of a TCP connection has sent RST.
	FlowReset
	// FlowIdle: no packet came for the filter's timeout.
	FlowIdle
	// FlowEvicted: its place, or its addresses, went to another flow.
	FlowEvicted
)

var flowEndNames = [...]string{"open", "closed", "reset", "idle", "evicted"}

// String returns the name of the end, such as "closed".
func (e FlowEnd) String() string {
	if int(e) >= len(flowEndNames) {
		return "unknown"
	}
	return flowEndNames[e]
}

// MarshalText returns String's form.
func (e FlowEnd) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText accepts what String returns of known ends.
func (e *FlowEnd) UnmarshalText(text []byte) error {
	n := slices.Index(flowEndNames[:], string(text))
	if n < 0 {
		return fmt.Errorf("tstun: %q is no end of a flow: want %s", text, strings.Join(flowEndNames[:], ", "))
	}
	*e = FlowEnd(n)
	return nil
}

// RefusedRecord is what is known of a flow that was refused. A flow that is refused
// again within a minute is the same one. Attempts that differ in the port of their
// source alone are one flow: a client that tries again takes another port.
type RefusedRecord struct {
	// Connection is that of the last packet. Of a record with More it has nothing
	// but the source's address.
	netlogtype.Connection
	Direction filter.Direction
	Reason    filter.Reason
	// Stage is the step that refused the flow.
	Stage filter.Stage
	// More: the record sums up the flows of a source that refused so many for the
	// reason that they are not kept apart, as a port scan.
	More           bool
	Packets, Bytes uint64
	First, Last    time.Time
	// Peer is whose the other side is of an inbound flow, as PeerOf says.
	Peer flow.PeerID
	// Policy is the Serial of the filter that was in force at the last packet.
	Policy uint32
	// Audit is what the filter of SetAudit said of the flow. The zero Verdict: it
	// was not asked.
	Audit filter.Verdict
}

// FlowSnapshot is all flows that are open, and those that were refused, at one moment.
// Its methods may be called by several goroutines.
type FlowSnapshot struct {
	Time time.Time
	// Counters are those of the same moment: for each direction, the sum over the
	// flows and Rest is what passed, and for each reason the sum over the refused
	// flows and Rest is what was dropped.
	Counters Counters
	// Rest is what is in no record: what flows carried that have ended, or that
	// began before records were kept, packets without a flow, and what there was
	// no room for. Its Held is 0.
	Rest struct{ In, Out DirectionCounters }

	snapshot *accounting.Snapshot
	now      int64
}

// SetFlowRecordsEnabled switches the records of Flows on or off. They are off in a new
// Wrapper, and then cost nothing. A State of filters keeps the records of one Wrapper.
func (w *Wrapper) SetFlowRecordsEnabled(enable bool) {
	w.update(func(c *config) { c.records = enable })
}

// Flows returns a snapshot, and changes nothing: neither records nor ExtractStatistics.
// Without SetFlowRecordsEnabled no refused flow is in it. It holds no lock for longer
// than a shard of the table takes to copy, which is a fraction of a millisecond.
func (w *Wrapper) Flows() *FlowSnapshot {
	w.snapshotMu.Lock()
	defer w.snapshotMu.Unlock()
	s := new(FlowSnapshot)
	var in, out accounting.Traffic // what calls have entered that the filter had counted
	w.configMu.Lock()
	w.stopIn(func(b fragqueue.Books) {
		w.stopOut(func() {
			s.now = clock.Now()
			s.Counters = Counters{In: w.countersIn(b), Out: w.countersOut()}
			in, out = accounting.AtLookup(w.pool.locals()), accounting.AtLookup(w.localsOut())
			s.snapshot = w.flows.Begin(w.config.Load().state)
		})
	})
	w.configMu.Unlock()
	s.snapshot.Collect()
	s.Counters.QueueOverflows = s.Counters.Out.Drops[filter.ReasonQueueFull]
	s.Time = clock.Time(s.now)
	counted := s.snapshot.AtLookup
	s.Counters.In.add(counted.RxPackets-in.Packets, counted.RxBytes-in.Bytes)
	s.Counters.Out.add(counted.TxPackets-out.Packets, counted.TxBytes-out.Bytes)
	s.sumUp()
	return s
}

// ExtractStatistics returns what each connection has carried since the last
// call, and forgets it. The caller owns the map. A connection is seen from
// the host, so Src is the host's side, with its own address also under NAT.
// The sum over all extracts is exactly what passed or was taken by hooks
// while statistics were enabled. Fragments are counted under the flow of their
// datagram. Only those without a known flow are counted with port 0, since they
// carry none: of a datagram whose first fragment was not counted before them, or
// was forgotten, after a minute or with more than 4096 datagrams each way, of
// which a peer has its share. Connections that the filter holds in its State are
// counted apart, and of those that ended since the last call, and of those that it does
// not track, 100,000 each, shared out among the peers that have many; a peer alone has
// half of them. The rest is summed under the zero Connection; so is what was injected
// without being an IP packet.
func (w *Wrapper) ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts {
	w.stopOut(func() {})
	w.stopIn(func(fragqueue.Books) {})
	return w.flows.Take(w.config.Load().state)
}

// sumUp makes s.Rest what is in the counters and in no record.
func (s *FlowSnapshot) sumUp() {
	in, out := &s.Rest.In, &s.Rest.Out
	*in, *out = s.Counters.In, s.Counters.Out
	in.Drops, out.Drops, in.Held = maps.Clone(in.Drops), maps.Clone(out.Drops), 0
	c := s.snapshot.Sum()
	in.Packets, in.Bytes = in.Packets-c.RxPackets, in.Bytes-c.RxBytes
	out.Packets, out.Bytes = out.Packets-c.TxPackets, out.Bytes-c.TxBytes
	s.snapshot.Refused(func(r *accounting.Refused) bool {
		rest := out
		if r.Way == accounting.In {
			rest = in
		}
		if rest.Drops[r.Reason] -= r.Packets; rest.Drops[r.Reason] == 0 {
			delete(rest.Drops, r.Reason)
		}
		return true
	})
}

// Len returns the number of flows.
func (s *FlowSnapshot) Len() int { return s.snapshot.Len() }

// All calls yield with each flow, in arbitrary order, until it returns false.
func (s *FlowSnapshot) All(yield func(FlowRecord) bool) {
	s.snapshot.Flows(func(f *filter.Flow) bool {
		r := flowRecord(f)
		if f.Expires <= s.now {
			r.End = flowEnd(f)
		}
		return yield(r)
	})
}

// Refused calls yield with each flow that was refused, in arbitrary order, until it
// returns false.
func (s *FlowSnapshot) Refused(yield func(RefusedRecord) bool) {
	s.snapshot.Refused(func(r *accounting.Refused) bool { return yield(refusedRecord(r)) })
}

func flowRecord(f *filter.Flow) FlowRecord {
	return FlowRecord{
		Connection: accounting.ConnectionOf(f.Key), Counts: netlogtype.Counts(f.Counts),
		Initiator: f.Initiator, Phase: f.Phase, Exempt: f.Exempt, Revoked: f.Revoked,
		First: clock.Time(f.First), Last: clock.Time(f.Last),
		Peer: f.Note.Peer, Policy: f.Policy, Audit: f.Audit,
	}
}

// flowEnd says how a flow ended of which nothing came for the filter's timeout.
func flowEnd(f *filter.Flow) FlowEnd {
	switch f.Phase {
	case filter.PhaseClosed:
		return FlowClosed
	case filter.PhaseReset:
		return FlowReset
	}
	return FlowIdle
}

func refusedRecord(r *accounting.Refused) RefusedRecord {
	return RefusedRecord{
		Connection: accounting.ConnectionOf(r.Key), Direction: r.Way, Reason: r.Reason, Stage: r.Reason.Stage(),
		More: r.More, Packets: r.Packets, Bytes: r.Bytes, First: clock.Time(r.First), Last: clock.Time(r.Last),
		Peer: r.Peer, Policy: r.Policy, Audit: r.Audit,
	}
}

// SetAudit makes audit a filter that is asked about each new flow and each refused one,
// besides the one in force, while records are kept. Its answer is in the record's
// Audit, and nothing else changes: what its ExplainNew says of the first packet, so that
// what PeerAPIPort lets in is judged by its rules, too. nil: none is asked.
func (w *Wrapper) SetAudit(audit *filter.Filter) {
	w.update(func(c *config) { c.audit = audit })
}
