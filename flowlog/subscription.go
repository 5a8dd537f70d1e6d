package flowlog

import (
	"context"
	"errors"
	"time"

	"tstun"
)

// ErrClosed is the error of a Subscription whose Log was closed.
var ErrClosed = errors.New("flowlog: closed")

// Options say what a Subscription gets.
type Options struct {
	// Updates is how often the flows are told that have carried more, and the refused
	// ones of which more was refused, as Updated and Refused. 0: they are not. They may come
	// before older records that wait.
	Updates time.Duration
}

// Subscription gets the records from its beginning on. One goroutine at a time may use it.
// The records wait in the memory of the Log: who is slower than that lasts loses some,
// which are counted, and holds nobody up.
type Subscription struct {
	log   *Log
	at    uint64 // number of the next record
	wake  chan struct{}
	done  func()
	ticks *time.Ticker // nil: there are no updates
	told  time.Time    // until when

	packed []packed
	queued []Record
	lost   uint64
}

// Subscribe begins a Subscription, which the caller has to Close.
func (l *Log) Subscribe(o Options) *Subscription {
	s := &Subscription{log: l, wake: make(chan struct{}, 1), packed: make([]packed, copied), told: time.Now()}
	l.watchers.Add(1)
	s.at, s.done = l.ring.wait(s.wake)
	if o.Updates > 0 {
		s.ticks = time.NewTicker(o.Updates)
	}
	return s
}

// Close ends the Subscription.
func (s *Subscription) Close() {
	if s.log == nil {
		return
	}
	s.done()
	s.log.watchers.Add(-1)
	if s.ticks != nil {
		s.ticks.Stop()
	}
	s.log = nil
}

// Lost returns how many records the Subscription lost because it was too slow.
func (s *Subscription) Lost() uint64 { return s.lost }

// Next returns the next record, for which it waits. The error is that of ctx, or ErrClosed.
func (s *Subscription) Next(ctx context.Context) (Record, error) {
	if s.log == nil {
		return Record{}, ErrClosed
	}
	var ticks <-chan time.Time
	if s.ticks != nil {
		ticks = s.ticks.C
	}
	for len(s.queued) == 0 {
		select {
		case <-ticks: // first, so that a stream of records does not keep it back
			s.fetch()
			s.update()
			continue
		default:
		}
		if s.fetch() {
			break
		}
		select {
		case <-s.wake:
		case <-ticks:
			s.update()
		case <-s.log.closed:
			if !s.fetch() {
				return Record{}, ErrClosed
			}
		case <-ctx.Done():
			return Record{}, ctx.Err()
		}
	}
	r := s.queued[0]
	s.queued = s.queued[1:]
	return r, nil
}

// fetch queues what was recorded, and reports whether that is something.
func (s *Subscription) fetch() bool {
	n, first := s.log.ring.read(s.packed, s.at)
	s.lost += first - s.at
	s.at = first + uint64(n)
	s.queued = make([]Record, n)
	for i := range s.queued {
		s.queued[i] = s.packed[i].unpack()
	}
	return n > 0
}

// update queues the flows that were not told as they are now.
func (s *Subscription) update() {
	flows := s.log.w.Flows()
	for f := range flows.All {
		if f.End == tstun.FlowOpen && !f.Last.Before(s.told) {
			s.queued = append(s.queued, Record{Kind: Updated, Time: flows.Time, Flow: f})
		}
	}
	for f := range flows.Refused {
		if !f.Last.Before(s.told) {
			s.queued = append(s.queued, Record{Kind: Refused, Time: flows.Time, Refused: f})
		}
	}
	s.told = flows.Time
}
