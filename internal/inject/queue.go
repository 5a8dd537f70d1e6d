package inject

import (
	"errors"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/flow"
)

const (
	// queueLen is how many packets wait at most.
	queueLen = 1024
	// repliesQueued is how many packets may wait for a reply of the Wrapper's
	// own to be queued behind them: what peers provoke leaves room for what
	// the program sends.
	repliesQueued = queueLen / 2
)

// Why a packet is not queued.
var (
	ErrClosed = errors.New("inject: queue is closed")
	ErrFull   = errors.New("inject: queue is full")
)

// NoPeer is the Peer of packets that the program sends of its own accord.
const NoPeer flow.PeerID = 0

// Packet is a packet to be sent in the host's place: bytes, or a PacketBuffer
// of which it holds one reference.
type Packet struct {
	Data   []byte
	Buffer *stack.PacketBuffer
	// Peer is the peer that the packet replies to, or NoPeer.
	Peer flow.PeerID
}

// Bytes returns the packet's bytes: Data, or a copy.
func (p Packet) Bytes() []byte {
	if p.Buffer == nil {
		return p.Data
	}
	return slices.Concat(p.Buffer.AsSlices()...)
}

// Release drops the reference to the PacketBuffer.
func (p Packet) Release() {
	if p.Buffer != nil {
		p.Buffer.DecRef()
	}
}

// Queue holds packets, first in first out. It never blocks. All methods may be
// called from any goroutine.
type Queue struct {
	wake func() // makes a waiting reader look at the queue; called without mu

	mu      sync.Mutex // guards all below
	ring    [queueLen]Packet
	head, n int
	closed  bool
	// byPeer is how many queued packets reply to each peer, and replies
	// their sum.
	byPeer  map[flow.PeerID]int
	replies int
}

// NewQueue returns an empty queue that calls wake after each packet.
func NewQueue(wake func()) *Queue { return &Queue{wake: wake} }

// Push takes ownership of p, unless there is an error: ErrClosed, or ErrFull.
// Replies fill at most half of the queue, and those to one peer at most as much
// of that half as is free for others.
func (q *Queue) Push(p Packet) error {
	if err := q.push(p); err != nil {
		return err
	}
	q.wake()
	return nil
}

func (q *Queue) push(p Packet) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case q.n >= queueLen, p.Peer != NoPeer && !q.takeShare(p.Peer):
		return ErrFull
	}
	q.ring[(q.head+q.n)%queueLen] = p
	q.n++
	return nil
}

// Len returns how many packets wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n
}

// Pop hands the oldest packet over to the caller.
func (q *Queue) Pop() (Packet, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return Packet{}, false
	}
	p := q.ring[q.head]
	q.ring[q.head] = Packet{}
	q.head = (q.head + 1) % queueLen
	q.n--
	if p.Peer != NoPeer {
		q.giveShare(p.Peer)
	}
	return p, true
}

// takeShare makes a place for a reply to peer. q is locked.
func (q *Queue) takeShare(peer flow.PeerID) bool {
	if q.n >= repliesQueued || q.byPeer[peer] >= repliesQueued-q.replies {
		return false
	}
	if q.byPeer == nil {
		q.byPeer = make(map[flow.PeerID]int)
	}
	q.byPeer[peer]++
	q.replies++
	return true
}

// giveShare frees the place of a reply to peer. q is locked.
func (q *Queue) giveShare(peer flow.PeerID) {
	q.replies--
	if q.byPeer[peer]--; q.byPeer[peer] == 0 {
		delete(q.byPeer, peer)
	}
}

// Close refuses further packets, releases the queued ones and returns their
// number.
func (q *Queue) Close() (discarded int) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	for {
		p, ok := q.Pop()
		if !ok {
			return discarded
		}
		p.Release()
		discarded++
	}
}
