package tstun

import (
	"time"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/clock"
	"tstun/internal/fragqueue"
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

// add adds packets that passed.
func (d *DirectionCounters) add(packets, bytes uint64) {
	d.Packets += packets
	d.Bytes += bytes
}

// directionCounters returns what was counted in a direction.
func directionCounters(passed accounting.Traffic, dropped *accounting.Drops) DirectionCounters {
	return DirectionCounters{Packets: passed.Packets, Bytes: passed.Bytes, Drops: dropped.ByReason()}
}

// Counters returns a snapshot, which the caller owns. Each direction is of one
// moment, with all that a call of Read, Write or an injection has carried and
// dropped or nothing of it. So each inbound packet whose Write has returned is in
// exactly one of Packets, Drops and Held.
func (w *Wrapper) Counters() Counters {
	var c Counters
	w.stopOut(func() { c.Out = w.countersOut() })
	w.stopIn(func(b fragqueue.Books) { c.In = w.countersIn(b) })
	c.QueueOverflows = c.Out.Drops[filter.ReasonQueueFull]
	return c
}

// stopOut calls f while nothing outbound is counted.
func (w *Wrapper) stopOut(f func()) { accounting.Stop(w.localsOut(), f) }

// localsOut is what Read counts in.
func (w *Wrapper) localsOut() []*accounting.Local {
	return []*accounting.Local{&w.inbox.batch.local}
}

// countersOut returns the outbound counters, which are stopped.
func (w *Wrapper) countersOut() DirectionCounters {
	passed, dropped := accounting.Sum(w.localsOut())
	w.drops.AddTo(&dropped)
	return directionCounters(passed, &dropped)
}

// stopIn calls f with the books of the fragments that are held while nothing inbound is
// counted. All counting stops at once: a fragment may be held by one batch and released
// by another.
func (w *Wrapper) stopIn(f func(fragqueue.Books)) {
	now := clock.Now()
	var expired []fragqueue.Fragment
	w.pool.grow.Lock()
	w.fragments.Audit(now, func(b fragqueue.Books) {
		accounting.Stop(w.pool.locals(), func() { f(b) })
		expired = b.Expired
	})
	w.pool.grow.Unlock()
	w.logOrphans(expired, now)
}

// countersIn returns the inbound counters, which are stopped.
func (w *Wrapper) countersIn(b fragqueue.Books) DirectionCounters {
	passed, dropped := accounting.Sum(w.pool.locals())
	dropped.Add(filter.ReasonFragmentOrphan, int(b.Orphans))
	c := directionCounters(passed, &dropped)
	c.Held = b.Held
	return c
}

// IdleDuration returns the time since Counters last counted a packet as
// passed, either way, or since Wrap if there was none: one that Read returned
// or Write took, injected or handled by a hook included. It is accurate to
// 5 ms, and to the time that the device took for the packet. A packet that was
// dropped is none: refused peers do not keep a device from being idle.
func (w *Wrapper) IdleDuration() time.Duration {
	last := w.activity.Last() // first, so that it is not after now
	return time.Duration(clock.Now() - last)
}
