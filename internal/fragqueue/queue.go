// Package fragqueue holds inbound fragments that overtook the first of their
// datagram: it alone has the ports, so that they cannot be judged before it
// (RFC 4787 REQ-14). What is held is bounded, so that nobody can make the
// Wrapper remember more (REQ-14a).
package fragqueue

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tstun/flow"
)

const (
	// perDatagram is how many fragments of a datagram are held: those of
	// 64 KiB where the MTU is 1,280, all but the first ahead of it.
	perDatagram = 64
	// maxBytes is how much is held in all. A fragment counts with overhead
	// for what is kept beside it.
	maxBytes = 1 << 20
	overhead = 256
	// timeout is how long a datagram's fragments are held, in nanoseconds:
	// longer than the ways of two packets in one network differ.
	timeout = int64(2 * time.Second)
)

// Queue is the fragments that are held. All methods may be called from any
// goroutine. They never block but for the lock.
//
// When there is no room, a peer gets it from the one that has most, as long as
// that has more. So none takes what another needs: n peers that all want more
// have each 1/n of it.
type Queue struct {
	headroom int // in front of each copy

	// expires is when the oldest datagram expires. 0: none is held.
	expires atomic.Int64

	mu             sync.Mutex // guards all below; taken before a Local's
	datagrams      map[flow.Key]*datagram
	oldest, newest *datagram // in a list by expiry
	peers          peers
	bytes          int    // of all peers
	packets        uint64 // held, or handed over by Take and not settled
	orphans        uint64 // that were dropped when they expired, or for others
	closed         bool
}

// New returns an empty queue that keeps so many bytes of headroom in front of
// each packet.
func New(headroom int) *Queue {
	return &Queue{headroom: headroom, datagrams: make(map[flow.Key]*datagram)}
}

// datagram is the fragments of one datagram.
type datagram struct {
	key       flow.Key
	peer      *peer
	expires   int64
	fragments []Fragment

	older, newer             *datagram // in Queue's list
	olderOfPeer, newerOfPeer *datagram // in its peer's
}

// Fragment is a copy of one packet.
type Fragment struct {
	buf      []byte // with headroom in front
	headroom int
	at       int // where its data belong in the datagram
	peer     *peer
}

// Packet returns the packet, which is the caller's from Take on.
func (f *Fragment) Packet() []byte { return f.buf[f.headroom:] }

// PlacedAt returns a buffer with the packet from offset on.
func (f *Fragment) PlacedAt(offset int) []byte {
	if offset <= f.headroom {
		return f.buf[f.headroom-offset:]
	}
	return append(make([]byte, offset, offset+len(f.Packet())), f.Packet()...)
}

func (f *Fragment) cost() int { return costOf(f.Packet()) }

func costOf(pkt []byte) int { return len(pkt) + overhead }

// Arrival is a fragment that comes.
type Arrival struct {
	Datagram flow.Key    // as flow.InDatagram tells
	Peer     flow.PeerID // that it comes from
	Offset   int         // of its data in the datagram, in bytes
	Packet   []byte      // which is copied
}

// Add holds a fragment at now. It returns false if there is no room, or if the
// first has come meanwhile, as awaits tells, which is called with the lock.
// Orphans are what was dropped in its place.
func (q *Queue) Add(a Arrival, now int64, awaits func() bool) (orphans []Fragment, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.datagrams[a.Datagram]
	if q.closed || d != nil && len(d.fragments) == perDatagram {
		return nil, false
	}
	if !awaits() {
		return nil, false // who has judged the first takes what is held after that
	}
	if orphans, ok = q.makeRoom(a.Peer, costOf(a.Packet)); !ok {
		return orphans, false
	}
	if d = q.datagrams[a.Datagram]; d == nil {
		d = q.begin(a.Datagram, a.Peer, now)
	}
	buf := append(make([]byte, q.headroom, q.headroom+len(a.Packet)), a.Packet...)
	d.fragments = append(d.fragments, Fragment{buf: buf, headroom: q.headroom, at: a.Offset, peer: d.peer})
	q.charge(&d.fragments[len(d.fragments)-1], 1)
	return orphans, true
}

// makeRoom drops datagrams of others, so that the peer has room for a fragment
// at this cost. q is locked.
func (q *Queue) makeRoom(peer flow.PeerID, cost int) (orphans []Fragment, ok bool) {
	for q.bytes+cost > maxBytes {
		most := q.peers.most()
		if most.oldest == nil || most.id == peer || most.bytes <= q.peers.bytesOf(peer)+cost {
			return orphans, false
		}
		orphans = append(orphans, q.orphan(most.oldest)...)
	}
	return orphans, true
}

// charge enters n times f into the accounts. q is locked.
func (q *Queue) charge(f *Fragment, n int) {
	cost := n * f.cost()
	q.packets += uint64(n)
	q.bytes += cost
	q.peers.charge(f.peer, cost)
}

// begin makes a datagram. q is locked.
func (q *Queue) begin(key flow.Key, peer flow.PeerID, now int64) *datagram {
	d := &datagram{key: key, peer: q.peers.of(peer), expires: now + timeout, older: q.newest}
	q.datagrams[key] = d
	if q.newest == nil {
		q.oldest = d
		q.expires.Store(d.expires)
	} else {
		d.expires = max(d.expires, q.newest.expires) // callers may be a little apart
		q.newest.newer = d
	}
	q.newest = d
	d.peer.add(d)
	return d
}

// remove takes d out. Its fragments are still charged. q is locked.
func (q *Queue) remove(d *datagram) {
	delete(q.datagrams, d.key)
	d.peer.remove(d)
	if d.newer == nil {
		q.newest = d.older
	} else {
		d.newer.older = d.older
	}
	if d.older != nil {
		d.older.newer = d.newer
		return
	}
	q.oldest = d.newer
	if q.oldest == nil {
		q.expires.Store(0)
	} else {
		q.expires.Store(q.oldest.expires)
	}
}

// Take hands over what is held of a datagram, in its order. It counts as held
// until Settle.
func (q *Queue) Take(key flow.Key) []Fragment {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.datagrams[key]
	if d == nil {
		return nil
	}
	q.remove(d)
	slices.SortStableFunc(d.fragments, func(a, b Fragment) int { return cmp.Compare(a.at, b.at) })
	return d.fragments
}

// Settle ends the holding of what Take has handed over, and calls enter, which
// counts it otherwise, at the same moment.
func (q *Queue) Settle(taken []Fragment, enter func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle(taken)
	enter()
}

func (q *Queue) settle(taken []Fragment) {
	for i := range taken {
		q.charge(&taken[i], -1)
	}
}

// orphan drops d and returns its fragments. q is locked.
func (q *Queue) orphan(d *datagram) []Fragment {
	q.remove(d)
	q.settle(d.fragments)
	q.orphans += uint64(len(d.fragments))
	return d.fragments
}

// IsDue reports whether a fragment has expired at now.
func (q *Queue) IsDue(now int64) bool {
	at := q.expires.Load()
	return at != 0 && at <= now
}

// Expire drops the fragments that have expired at now, and returns them.
func (q *Queue) Expire(now int64) []Fragment {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.expire(now)
}

func (q *Queue) expire(now int64) (orphans []Fragment) {
	for q.oldest != nil && q.oldest.expires <= now {
		orphans = append(orphans, q.orphan(q.oldest)...)
	}
	return orphans
}

// Close drops all that is held and returns it. Nothing is held any more.
func (q *Queue) Close() []Fragment {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	return q.expire(math.MaxInt64)
}

// Books is what a Queue holds and has dropped at one moment.
type Books struct {
	Held    uint64
	Orphans uint64     // all that were dropped since New
	Expired []Fragment // those that Audit has dropped
}

// Audit drops the fragments that have expired at now, and calls enter with the
// books, while none of them can change.
func (q *Queue) Audit(now int64, enter func(Books)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	expired := q.expire(now)
	enter(Books{Held: q.packets, Orphans: q.orphans, Expired: expired})
}
