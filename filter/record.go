package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tstun/flow"
)

// Initiator says which side of a flow began it.
type Initiator uint8

const (
	// InitiatorUnknown: the flow was picked up, as after a restart.
	InitiatorUnknown Initiator = iota
	InitiatorHost
	InitiatorPeer
)

var initiatorNames = [...]string{"unknown", "host", "peer"}

// String returns the initiator's name, such as "peer".
func (i Initiator) String() string { return nameOf(initiatorNames[:], "initiator-", uint8(i)) }

// MarshalText returns String's form.
func (i Initiator) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText accepts what String returns of the three.
func (i *Initiator) UnmarshalText(text []byte) error {
	n := slices.Index(initiatorNames[:], string(text))
	if n < 0 {
		return fmt.Errorf("filter: %q is no initiator: want %s", text, strings.Join(initiatorNames[:], ", "))
	}
	*i = Initiator(n)
	return nil
}

// Phase is how far a flow has come.
type Phase uint8

// Phases. Those from PhaseHostClosed on are TCP's.
const (
	// PhaseUntracked: the filter keeps no state of the flow.
	PhaseUntracked Phase = iota
	// PhaseNew: only the initiator has sent.
	PhaseNew
	// PhaseReplied: the other side has replied.
	PhaseReplied
	// PhaseEstablished: the initiator has sent again after the reply.
	PhaseEstablished
	// PhaseHostClosed: the host has sent FIN.
	PhaseHostClosed
	// PhasePeerClosed: the peer has sent FIN.
	PhasePeerClosed
	// PhaseClosed: both sides have sent FIN.
	PhaseClosed
	// PhaseReset: one side has sent RST, or the peer has sent SYN after the end,
	// and the host has not gone on since.
	PhaseReset
)

var phaseNames = [...]string{"untracked", "new", "replied", "established", "host-closed", "peer-closed", "closed", "reset"}

// String returns the phase's name, such as "established".
func (p Phase) String() string { return nameOf(phaseNames[:], "phase-", uint8(p)) }

// MarshalText returns String's form.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what String returns of known phases.
func (p *Phase) UnmarshalText(text []byte) error {
	n := slices.Index(phaseNames[:], string(text))
	if n < 0 {
		return fmt.Errorf("filter: %q is no phase: want %s", text, strings.Join(phaseNames[:], ", "))
	}
	*p = Phase(n)
	return nil
}

func nameOf(names []string, prefix string, n uint8) string {
	if int(n) >= len(names) {
		return prefix + strconv.Itoa(int(n))
	}
	return names[n]
}

// Flow is what a State holds of a flow, with its account.
type Flow struct {
	Key       flow.Key
	Initiator Initiator
	Phase     Phase
	// Exempt: the flag Exempt let the flow in, and no rule.
	Exempt bool
	// Revoked: the rules in force do not allow the flow any longer.
	Revoked bool
	Expires int64 // when it is forgotten if no packet comes, as Now tells
	flow.Account
	// Audit is what the audit filter said of the flow as it began: accept, or
	// the drop and its reason. The zero Verdict: it was not asked.
	Audit Verdict
}

// flowOf returns what a record says of a flow.
func flowOf(r *flow.Record[conn]) Flow {
	c := &r.Value
	return Flow{
		Key: r.Key, Initiator: c.initiator(), Phase: PhaseNew + Phase(c.phase),
		Exempt: c.has(exempt), Revoked: c.has(revoked), Expires: r.Expires, Account: r.Account, Audit: AuditVerdict(r.Note.Audit),
	}
}

func (c *conn) initiator() Initiator {
	switch {
	case c.has(pickedUp):
		return InitiatorUnknown
	case c.has(peerInitiated):
		return InitiatorPeer
	}
	return InitiatorHost
}

// Accounts is who keeps the accounts of a State's flows, of which there is one at a
// time. Its functions must be short, must not use the State, and must not keep the Flow.
type Accounts struct {
	// Began is told of each flow that begins, and was not counted before.
	Began func(*Flow)
	// Ended is told of each flow that ends at now, and what TakeCounts has not
	// returned of its account.
	Ended func(f *Flow, untaken flow.Counts, now int64)
	// Adopt returns the account of a flow that begins, if it was counted before, and
	// what TakeCounts would have to return of it.
	Adopt func(flow.ID) (a flow.Account, untaken flow.Counts, ok bool)
}

// KeepAccounts makes s keep an account of each flow that it opens from now on, and
// reports whether it does: it does not while it keeps another's.
func (s *State) KeepAccounts(a *Accounts) bool {
	if !s.accounts.CompareAndSwap(nil, a) {
		return s.accounts.Load() == a
	}
	s.flows.KeepAccounts(&flow.Accounts[conn]{
		Began: func(r *flow.Record[conn]) {
			f := flowOf(r)
			a.Began(&f)
		},
		Ended: func(r *flow.Record[conn], untaken flow.Counts, now int64) {
			f := flowOf(r)
			a.Ended(&f, untaken, now)
		},
		Adopt: a.Adopt,
	})
	return true
}

// DropAccounts ends KeepAccounts, if it was for a, and calls f with each flow, and with
// what TakeCounts has not returned of it, without a lock. It returns what InRun and
// RecordRun have counted since KeepAccounts.
func (s *State) DropAccounts(a *Accounts, f func(f *Flow, untaken flow.Counts)) (counted flow.Counts) {
	if s.accounts.Load() != a {
		return counted
	}
	s.audit.Store(nil)
	counted = s.flows.DropAccounts(func(r *flow.Record[conn], untaken flow.Counts) {
		x := flowOf(r)
		f(&x, untaken)
	})
	s.accounts.CompareAndSwap(a, nil)
	return counted
}

// Expire forgets the flows that have expired, which then are told as ended, and the
// fragmented datagrams: they are gone for all others without it, but for their memory.
func (s *State) Expire(now int64) {
	s.flows.Expire(now)
	s.fragments.Expire(now)
}

// InitiatorOf returns who began the flow k. ok is false if s does not have it at now.
func (s *State) InitiatorOf(k flow.Key, now int64) (i Initiator, ok bool) {
	c, ok := s.flows.Peek(k, now)
	if !ok {
		return InitiatorUnknown, false
	}
	return c.initiator(), true
}

// Add adds packets, of so many bytes in all, to the account of the flow id, and reports
// whether s has one.
func (s *State) Add(id *flow.ID, in bool, packets, bytes uint64, now int64) bool {
	return s.flows.AddID(id, in, packets, bytes, now)
}

// Uncount takes back that InRun counted a packet, as less, and reports whether it did: see
// flow.Table.Uncount.
func (s *State) Uncount(c *flow.Counted, less flow.Counts, ended func() bool) bool {
	return s.flows.Uncount(c, less, ended)
}

// Untaken returns for how many flows TakeCounts would call its function, at most.
func (s *State) Untaken() int { return s.flows.Untaken() }

// TakeCounts calls f with what each flow has carried since the last call, without a
// lock. What the function of KeepAccounts was told of is not in it.
func (s *State) TakeCounts(f func(flow.Key, flow.Counts)) { s.flows.Take(f) }

// Snapshot is the flows of a State at one moment, with what they had carried.
type Snapshot struct {
	begun *flow.Snapshot[conn]
	parts [][]flow.Record[conn]
	size  int
	// Counted is what InRun and RecordRun had counted since KeepAccounts.
	Counted flow.Counts
}

// BeginSnapshot fixes the moment: what is added later is not in the Snapshot, which
// Collect completes. One goroutine at a time may use it.
func (s *State) BeginSnapshot() *Snapshot { return &Snapshot{begun: s.flows.Begin()} }

// Collect completes the snapshot. It takes about 40 ns for each flow.
func (s *Snapshot) Collect() {
	s.parts, s.Counted = s.begun.Collect()
	for _, part := range s.parts {
		s.size += len(part)
	}
}

// Len returns the number of flows.
func (s *Snapshot) Len() int { return s.size }

// Sum returns what the flows have carried.
func (s *Snapshot) Sum() flow.Counts { return flow.Sum(s.parts) }

// All calls yield with each flow, in arbitrary order, until it returns false.
func (s *Snapshot) All(yield func(Flow) bool) {
	for _, part := range s.parts {
		for i := range part {
			if !yield(flowOf(&part[i])) {
				return
			}
		}
	}
}

// SetAudit makes audit the filter that is asked about each new flow, besides the one in
// force. Its answer is what its own ExplainNew says of the flow's first packet, by its own
// Local, Permit and rules. It is noted in the flow's account, if one is kept, and changes
// nothing else. nil: none is asked.
func (s *State) SetAudit(audit *Filter) { s.audit.Store(audit) }

// note notes in the account of the flow id, which begins, that f lets it in. peer is
// whose its other side is. before is what the entry's flow was before.
func (f *Filter) note(id *flow.ID, peer flow.PeerID, t traits, before conn, now int64) {
	if f.state.accounts.Load() == nil {
		return
	}
	n := flow.Note{Peer: peer, Policy: f.serial}
	if audit := f.state.audit.Load(); audit != nil {
		n.Audit = auditCode(audit.judgeFlow(t.direction(), id.Key()))
	}
	f.state.flows.NoteID(id, n, before, now)
}

// AskAudit asks the audit filter about a new flow k, of which the first packet went in
// direction d, and returns the code of its answer, for AuditVerdict.
func (s *State) AskAudit(d Direction, k flow.Key) (code uint8) {
	audit := s.audit.Load()
	if audit == nil {
		return 0
	}
	return auditCode(audit.judgeFlow(d, k))
}

// auditCode returns the code of an audit filter's answer: the reason plus one.
func auditCode(r Reason) uint8 { return uint8(r) + 1 }

// AuditVerdict returns the verdict that the code of an audit filter's answer means: the
// zero Verdict if none was asked.
func AuditVerdict(code uint8) Verdict {
	if code == 0 {
		return Verdict{}
	}
	return verdictFor(Reason(code - 1))
}

// readmit notes in the account of the flow id that f lets it go on.
func (f *Filter) readmit(id *flow.ID) {
	if f.state.accounts.Load() != nil {
		f.state.flows.AdmitID(id, f.serial)
	}
}
