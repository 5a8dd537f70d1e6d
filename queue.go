package tstun

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/flow"
)

const (
	// queueLen is how many injected packets wait for Read.
	queueLen = 1024
	// answersQueued is how many may wait for an answer of the Wrapper's own
	// to be queued behind them: what peers provoke leaves room for what the
	// program sends.
	answersQueued = queueLen / 2
)

// noPeer is whom packets of the program's are queued for.
const noPeer flow.PeerID = 0

// injection is one packet to be sent as if the host had sent it: bytes, or a
// PacketBuffer of which the injection holds one reference.
type injection struct {
	data []byte
	pkt  *stack.PacketBuffer
	// peer is who provoked it, or noPeer.
	peer flow.PeerID
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
	// answers is how many packets each peer has provoked that are queued, and
	// answered their sum.
	answers  map[flow.PeerID]int
	answered int
}

func newQueue(wake func()) *queue { return &queue{wake: wake} }

// push takes ownership of i, also on an error. What peers provoked fills at
// most half of the queue, and each of them at most as much of that as is free
// for others.
func (q *queue) push(i injection) error {
	if err := q.tryPush(i); err != nil {
		i.release()
		return err
	}
	q.wake()
	return nil
}

func (q *queue) tryPush(i injection) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case q.n >= queueLen, i.peer != noPeer && !q.takeShare(i.peer):
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
	if i.peer != noPeer {
		q.giveShare(i.peer)
	}
	return i, true
}

// takeShare makes a place for a packet that p provoked. q is locked.
func (q *queue) takeShare(p flow.PeerID) bool {
	if q.n >= answersQueued || q.answers[p] >= answersQueued-q.answered {
		return false
	}
	if q.answers == nil {
		q.answers = make(map[flow.PeerID]int)
	}
	q.answers[p]++
	q.answered++
	return true
}

func (q *queue) giveShare(p flow.PeerID) {
	q.answered--
	if q.answers[p]--; q.answers[p] == 0 {
		delete(q.answers, p)
	}
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
