package tunnel

import (
	"context"
	"net/netip"
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
	// LookupFailed: the address of the peer's endpoint was not found when it
	// was looked up again, and Text says why.
	LookupFailed EventKind = "lookup-failed"
	// HookFailed: a hook failed or was ended, and Text says which.
	HookFailed EventKind = "hook-failed"
)

// Event is something that happened to a tunnel.
type Event struct {
	Kind EventKind `json:"kind"`
	Time time.Time `json:"time"` // when it was seen
	// Peer and PeerName are whom it is about, or the zero value.
	Peer     key.Public `json:"peer,omitzero"`
	PeerName string     `json:"peerName,omitempty"`
	// Endpoint is where packets to the peer go now.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	Text     string         `json:"text,omitempty"`
	// Lost is how many events came before this one and after the reader's
	// last, or since Start, that the reader was too slow or too late for.
	Lost int `json:"lost,omitempty"`
}

// keptEvents is how many events are kept for readers.
const keptEvents = 64

// Events returns what happens. Each call has its own channel: first the latest
// 64 events since Start, then what comes. Of events that nobody reads in time
// the latest 64 are kept, and the next says how many were lost. Peers are looked
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
	mu     sync.Mutex // guards what is below
	latest []Event    // of the first count events, at most keptEvents
	count  int
	ended  bool
	more   chan struct{} // closed when one of the above changes; nil: nobody waits
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	if len(l.latest) == keptEvents {
		l.latest = append(l.latest[:0], l.latest[1:]...)
	}
	l.latest = append(l.latest, e)
	l.count++
	l.wakeLocked()
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
	if n < l.count {
		first := max(n, l.count-len(l.latest))
		e = l.latest[first-(l.count-len(l.latest))]
		e.Lost = first - n
		return e, first + 1, nil
	}
	if l.ended {
		return e, n, nil
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return e, n, l.more
}
