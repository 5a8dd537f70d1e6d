package tstun

import (
	"sync/atomic"

	"tstun/filter"
	"tstun/internal/clock"
)

// Counters is what a Wrapper has done since Wrap.
type Counters struct {
	In  DirectionCounters `json:"in"`  // from peers to the host
	Out DirectionCounters `json:"out"` // from the host to peers

	// QueueOverflows counts outbound injections, the Wrapper's own answers
	// among them, that found the queue full: Out.Drops[filter.ReasonQueueFull].
	QueueOverflows uint64 `json:"queueOverflows"`
}

// DirectionCounters counts the packets of one direction. Each packet is in
// Packets, under one reason in Drops, or in Held.
type DirectionCounters struct {
	Packets uint64                   `json:"packets"` // that went through or were taken by a hook
	Bytes   uint64                   `json:"bytes"`   // their lengths, as IP packets
	Drops   map[filter.Reason]uint64 `json:"drops"`   // reasons that occurred
	// Held is the number of fragments that came before the first of their
	// datagram and wait for it, for two seconds at most. Only inbound ones do.
	Held uint64 `json:"held"`
}

// Dropped returns the sum over all reasons.
func (d DirectionCounters) Dropped() uint64 {
	var sum uint64
	for _, n := range d.Drops {
		sum += n
	}
	return sum
}

// tally is the live form of those drops in Counters that happen outside of
// batches, all outbound. The rest is in the ledgers.
type tally struct {
	out [filter.NumReasons]atomic.Uint64
}

func (t *tally) dropOut(r filter.Reason, n int) { t.out[r].Add(uint64(n)) }

// addTo adds what happened to d.
func (t *tally) addTo(d *drops) {
	for r := range t.out {
		d.add(filter.Reason(r), int(t.out[r].Load()))
	}
}

// counters returns the books of a direction.
func counters(passed amount, dropped *drops) DirectionCounters {
	c := DirectionCounters{
		Packets: passed.packets,
		Bytes:   passed.bytes,
		Drops:   make(map[filter.Reason]uint64),
	}
	for r, n := range dropped.n {
		if n > 0 {
			c.Drops[filter.Reason(r)] = n
		}
	}
	return c
}

// Counters returns a snapshot, which the caller owns. Each direction is of one
// moment, with all that a call of Read, Write or an injection has carried and
// dropped or nothing of it. So each inbound packet whose Write has returned is in
// exactly one of Packets, Drops and Held.
func (w *Wrapper) Counters() Counters {
	out := w.countersOut()
	return Counters{In: w.countersIn(), Out: out, QueueOverflows: out.Drops[filter.ReasonQueueFull]}
}

func (w *Wrapper) countersOut() DirectionCounters {
	var passed amount
	var dropped drops
	w.tally.addTo(&dropped)
	l := &w.inbox.batch.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addTo(&passed, &dropped)
	return counters(passed, &dropped)
}

func (w *Wrapper) countersIn() DirectionCounters {
	now := clock.Now()
	c, orphans := w.snapshotIn(now)
	w.logOrphans(orphans, now)
	return c
}

// snapshotIn stops all books at once: a fragment may be held by one lane and
// released by another.
func (w *Wrapper) snapshotIn(now int64) (c DirectionCounters, orphans []heldFragment) {
	w.lanes.grow.Lock()
	defer w.lanes.grow.Unlock()
	w.held.mu.Lock()
	defer w.held.mu.Unlock()
	orphans = w.held.expireLocked(now)
	all := w.lanes.list()
	for _, l := range all {
		l.ledger.mu.Lock()
	}
	var passed amount
	var dropped drops
	for _, l := range all {
		l.ledger.addTo(&passed, &dropped)
	}
	for _, l := range all {
		l.ledger.mu.Unlock()
	}
	dropped.add(filter.ReasonFragmentOrphan, int(w.held.orphaned))
	c = counters(passed, &dropped)
	c.Held = w.held.packets
	return c, orphans
}
