package netstack

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/waiter"
)

// half is one direction of a socket: who reads or writes it, and until when.
// Calls take turns, as on package net's sockets, so that one channel is enough
// to wait on. The zero half is not valid; init makes it so.
type half struct {
	turn  sync.Mutex    // held by the call whose turn it is
	ready chan struct{} // holds a token when there may be something new
	entry waiter.Entry  // pokes at the stack's events

	expired atomic.Bool // the deadline has passed
	mu      sync.Mutex  // guards all below
	at      time.Time   // the deadline, by the monotonic clock; zero: none
	timer   *time.Timer // nil until there is a deadline
	stopped bool
}

func (h *half) init(wq *waiter.Queue, events waiter.EventMask) {
	h.ready = make(chan struct{}, 1)
	h.entry.Init(h, events|waiter.EventHUp|waiter.EventErr)
	wq.EventRegister(&h.entry)
}

// NotifyEvent implements waiter.EventListener.
func (h *half) NotifyEvent(waiter.EventMask) { h.poke() }

// poke makes the call that waits, or the next one that would, look again.
func (h *half) poke() {
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

// wait returns when the half was poked, which may have been before the call.
func (h *half) wait() { <-h.ready }

// check returns os.ErrDeadlineExceeded once the deadline has passed.
func (h *half) check() error {
	if h.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// setDeadline makes calls fail from t on, also one that waits already. The zero
// time is for no deadline.
func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	now := time.Now()
	left := t.Sub(now)
	if h.at = t; !t.IsZero() {
		h.at = now.Add(left) // whatever is done to the wall clock meanwhile
	}
	h.expired.Store(!t.IsZero() && left <= 0)
	switch {
	case t.IsZero():
	case left <= 0:
		h.poke()
	case h.timer == nil:
		h.timer = time.AfterFunc(left, h.expire)
	default:
		h.timer.Reset(left)
	}
}

// expire is the timer's. It may be late: the deadline may have been moved.
func (h *half) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Until(h.at) <= 0 {
		h.expired.Store(true)
		h.poke()
	}
}

// stop gives the timer back. It is for a socket that is closed.
func (h *half) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.stopped = time.Time{}, true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.poke()
}
