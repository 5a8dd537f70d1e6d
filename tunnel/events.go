package tunnel

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tstun/key"
)

// EventKind is what happened.
type EventKind string

const (
	// PeerUp: a handshake with a peer that was not up.
	PeerUp EventKind = "peer-up"
	// PeerDown: the last handshake with the peer is more than 180 s ago.
	PeerDown EventKind = "peer-down"
	// PeerMoved: packets to the peer go to another endpoint than before.
	PeerMoved EventKind = "peer-moved"
	// PolicyLoaded: a policy came into force.
	PolicyLoaded EventKind = "policy-loaded"
	// PolicyRefused: the policy file is bad, and Text says why.
	PolicyRefused EventKind = "policy-refused"
	// PolicyConfirmed: a policy that was tried stays in force: the file has it.
	PolicyConfirmed EventKind = "policy-confirmed"
	// PolicyRolledBack: what was in force before a policy was tried is so again, and
	// Text says why.
	PolicyRolledBack EventKind = "policy-rolled-back"
	// AuditLoaded: a second policy is tried.
	AuditLoaded EventKind = "audit-loaded"
	// AuditRefused: the file of the second policy is bad, and Text says why.
	AuditRefused EventKind = "audit-refused"
	// ConfigLoaded: Reload put a Config in force, and Text says what changed.
	ConfigLoaded EventKind = "config-loaded"
	// ConfigRefused: Reload failed, and Text says why and what is in force.
	ConfigRefused EventKind = "config-refused"
	// ConfigChanged: wg(8) or another program changed the device, and Text
	// says what.
	ConfigChanged EventKind = "config-changed"
	// PeerAdded: there is a peer that was not there.
	PeerAdded EventKind = "peer-added"
	// PeerRemoved: a peer is not there any more.
	PeerRemoved EventKind = "peer-removed"
	// RoutesChanged: what goes to a peer, its allowed IPs, changed by a reload or by
	// another program, and Added and Removed say which; in ModeKernel the host's
	// routes follow. Without a peer, it is the table of these, and Text says so. What
	// moves from a peer to another is removed of one and added to the other.
	RoutesChanged EventKind = "routes-changed"
	// DNSChanged: name servers and search domains changed, and Added and Removed say
	// which. Text is what the host did not follow, as Status warns.
	DNSChanged EventKind = "dns-changed"
	// LookupFailed: the address of the peer's endpoint was not found when it
	// was looked up again, and Text says why.
	LookupFailed EventKind = "lookup-failed"
	// HookFailed: a hook failed or was ended, and Text says which.
	HookFailed EventKind = "hook-failed"
	// FlowFirstRefused: a flow was refused that was not before, and Text says which,
	// why and which rule comes nearest. Of one peer, and of the host, at most four
	// are told at once and then one each 10 s; Untold counts the others.
	FlowFirstRefused EventKind = "flow-refused"
)

// Event is something that happened to a tunnel.
type Event struct {
	Kind EventKind `json:"kind"`
	Time time.Time `json:"time"` // when it was seen
	// Peer and PeerName are whom it is about, or the zero value.
	Peer     key.Public `json:"peer,omitzero"`
	PeerName string     `json:"peerName,omitempty"`
	// Endpoint is where packets to the peer go now. Before, of PeerMoved, is where they
	// went.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	Before   netip.AddrPort `json:"before,omitzero"`
	// Added and Removed are what came and went, of RoutesChanged prefixes, of DNSChanged
	// addresses and domains.
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Text    string   `json:"text,omitempty"`
	// Flow is the flow that was refused, or nil. Untold is how many others were
	// refused for the first time since the last one that was told, whosever they are.
	Flow   *Flow  `json:"flow,omitempty"`
	Untold uint64 `json:"untold,omitempty"`
	// Lost is how many events came before this one and after the reader's
	// last, or since Start, that the reader was too slow or too late for.
	Lost int `json:"lost,omitempty"`
}

// keptEvents is how many events are kept for readers, and keptRefused how many of them
// may be of refused flows, so that those leave the others their place.
const keptEvents, keptRefused = 64, 16

// Events returns what happens. Each call has its own channel: first the latest
// 64 events since Start, then what comes. Of events that nobody reads in time
// the latest 64 are kept, of FlowFirstRefused 16, and the next says how many were lost. Peers are looked
// at once a second; what came and went in between is not seen.
//
// The channel is closed when ctx ends, or when the tunnel has ended and the
// rest was read. Who stops reading has to end ctx.
func (t *Tunnel) Events(ctx context.Context) <-chan Event {
	out := make(chan Event)
	go func() {
		defer close(out)
		t.events.read(ctx, out)
	}()
	return out
}

// emit keeps an event for all readers.
func (t *Tunnel) emit(e Event) { t.events.add(e) }

// eventLog keeps the latest events. The zero value is empty and open.
type eventLog struct {
	mu     sync.Mutex      // guards what is below
	latest []numberedEvent // of the first count events, at most keptEvents
	count  int
	ended  bool
	more   chan struct{} // closed when one of the above changes; nil: nobody waits
}

// numberedEvent is an event and how many came before it.
type numberedEvent struct {
	number int
	Event
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if i := l.excessLocked(e.Kind); i >= 0 {
		l.latest = slices.Delete(l.latest, i, i+1)
	}
	l.latest = append(l.latest, numberedEvent{l.count, e})
	l.count++
	l.wakeLocked()
}

// excessLocked returns the index of the event that has to go before one of a kind is
// kept, or -1.
func (l *eventLog) excessLocked(kind EventKind) int {
	isRefused := func(e numberedEvent) bool { return e.Kind == FlowFirstRefused }
	first, n := slices.IndexFunc(l.latest, isRefused), 0
	for _, e := range l.latest {
		if isRefused(e) {
			n++
		}
	}
	switch {
	case kind == FlowFirstRefused && n == keptRefused:
		return first
	case len(l.latest) == keptEvents:
		return 0
	}
	return -1
}

// end lets readers end. No event comes after it.
func (l *eventLog) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeLocked()
	return nil
}

func (l *eventLog) wakeLocked() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// read sends all events to out until ctx or the log ends.
func (l *eventLog) read(ctx context.Context, out chan<- Event) {
	for n := 0; ; {
		e, next, more := l.after(n)
		if next > n {
			select {
			case out <- e:
				n = next
				continue
			case <-ctx.Done():
				return
			}
		}
		if more == nil {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// after returns the oldest event that is kept of those after the first n, and
// how many there are up to it. If there is none, that is n, and more is closed
// when it is worth asking again, or nil if there will be none.
func (l *eventLog) after(n int) (e Event, next int, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, _ := slices.BinarySearchFunc(l.latest, n, func(e numberedEvent, n int) int { return e.number - n }); i < len(l.latest) {
		e = l.latest[i].Event
		e.Lost = l.latest[i].number - n
		return e, l.latest[i].number + 1, nil
	}
	if l.ended {
		return e, n, nil
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return e, n, l.more
}
