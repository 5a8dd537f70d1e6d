package tstun

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// queueLen is how many injected packets wait for Read.
	queueLen = 1024
	// answersQueued is how many may wait for an answer of the Wrapper's own
	// to be queued behind them: what peers provoke leaves room for what the
	// program sends.
	answersQueued = queueLen / 2
)

// injection is one packet to be sent as if the host had sent it: bytes, or a
// PacketBuffer of which the injection holds one reference.
type injection struct {
	data []byte
	pkt  *stack.PacketBuffer
}

func (i injection) release() {
	if i.pkt != nil {
		i.pkt.DecRef()
	}
}

// queue holds injected packets until Read takes them, first in first out.
// Nothing in it blocks.
type queue struct {
	wake func() // makes a waiting Read look at the queue; called without mu

	mu      sync.Mutex // guards all below
	ring    [queueLen]injection
	head, n int
	closed  bool
}

func newQueue(wake func()) *queue { return &queue{wake: wake} }

// push takes ownership of i, also on an error.
//
// atMost is the number of packets that may be queued after it.
func (q *queue) push(i injection, atMost int) error {
	if err := q.tryPush(i, atMost); err != nil {
		i.release()
		return err
	}
	q.wake()
	return nil
}

func (q *queue) tryPush(i injection, atMost int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case q.n >= atMost:
		return ErrQueueFull
	}
	q.ring[(q.head+q.n)%queueLen] = i
	q.n++
	return nil
}

// pop hands the oldest injection over to the caller.
func (q *queue) pop() (injection, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return injection{}, false
	}
	i := q.ring[q.head]
	q.ring[q.head] = injection{}
	q.head = (q.head + 1) % queueLen
	q.n--
	return i, true
}

// close refuses further packets, releases the queued ones and returns how
// many they were.
func (q *queue) close() (discarded int) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	for {
		i, ok := q.pop()
		if !ok {
			return discarded
		}
		i.release()
		discarded++
	}
}
