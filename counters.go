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

// tally is the live form of Counters.
type tally struct {
	in, out directionTally
}

type directionTally struct {
	packets, bytes atomic.Uint64
	drops          [filter.NumReasons]atomic.Uint64
	_              [64]byte // the two directions are counted on different cores
}

func (t *tally) passIn(a amount)  { t.in.pass(a) }
func (t *tally) passOut(a amount) { t.out.pass(a) }

func (t *tally) dropIn(r filter.Reason, n int)  { t.in.drops[r].Add(uint64(n)) }
func (t *tally) dropOut(r filter.Reason, n int) { t.out.drops[r].Add(uint64(n)) }

func (d *directionTally) pass(a amount) {
	if a.packets == 0 {
		return
	}
	d.packets.Add(a.packets)
	d.bytes.Add(a.bytes)
}

func (d *directionTally) snapshot() DirectionCounters {
	s := DirectionCounters{
		Packets: d.packets.Load(),
		Bytes:   d.bytes.Load(),
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
	return Counters{
		In:             w.tally.in.snapshot(),
		Out:            w.tally.out.snapshot(),
		QueueOverflows: w.tally.out.drops[filter.ReasonQueueFull].Load(),
	}
}
