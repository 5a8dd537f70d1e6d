package tstun

import (
	"sync/atomic"

	"tstun/filter"
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
// Packets or, under one reason, in Drops.
type DirectionCounters struct {
	Packets uint64                   `json:"packets"` // that went through or were taken by a hook
	Bytes   uint64                   `json:"bytes"`   // their lengths, as IP packets
	Drops   map[filter.Reason]uint64 `json:"drops"`   // reasons that occurred
}

// Dropped returns the sum over all reasons.
func (d DirectionCounters) Dropped() uint64 {
	var sum uint64
	for _, n := range d.Drops {
		sum += n
	}
	return sum
}

// tally is the live form of the drops in Counters. What passes is in the
// ledgers.
type tally struct {
	in, out dropTally
}

type dropTally struct {
	drops [filter.NumReasons]atomic.Uint64
	_     [cacheLine]byte // the two directions are counted on different cores
}

func (t *tally) dropIn(r filter.Reason, n int)  { t.in.drops[r].Add(uint64(n)) }
func (t *tally) dropOut(r filter.Reason, n int) { t.out.drops[r].Add(uint64(n)) }

func (d *dropTally) snapshot(passed amount) DirectionCounters {
	s := DirectionCounters{
		Packets: passed.packets,
		Bytes:   passed.bytes,
		Drops:   make(map[filter.Reason]uint64),
	}
	for r := range d.drops {
		if n := d.drops[r].Load(); n > 0 {
			s.Drops[filter.Reason(r)] = n
		}
	}
	return s
}

// Counters returns a snapshot, which the caller owns. While packets flow, its
// numbers may be a batch apart from each other.
func (w *Wrapper) Counters() Counters {
	var in amount
	for _, l := range w.lanes.list() {
		in.addAll(l.ledger.total())
	}
	return Counters{
		In:             w.tally.in.snapshot(in),
		Out:            w.tally.out.snapshot(w.inbox.batch.ledger.total()),
		QueueOverflows: w.tally.out.drops[filter.ReasonQueueFull].Load(),
	}
}
