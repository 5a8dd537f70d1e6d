package tstun

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tstun/filter"
	"tstun/flow"
)

// This file holds back fragments that overtook the first of their datagram: it
// alone has the ports, so that they cannot be judged before it (RFC 4787
// REQ-14). What is held is bounded, so that nobody can make the Wrapper
// remember more (REQ-14a).

const (
	// heldPerDatagram is how many fragments of a datagram are held: those of
	// 64 KiB where the MTU is 1,280, all but the first ahead of it.
	heldPerDatagram = 64
	// heldBytes is how much is held in all. A fragment counts with
	// heldOverhead for what is kept beside it.
	heldBytes    = 1 << 20
	heldOverhead = 256
	// heldTime is how long a datagram's fragments are held, in nanoseconds:
	// longer than the ways of two packets in one network differ.
	heldTime = int64(2 * time.Second)
)

// heldFragments is the fragments that wait. The zero value holds none.
//
// When there is no room, a peer gets it from the one that has most, as long as
// that has more. So none takes what another needs: n peers that all want more
// have each 1/n of it.
type heldFragments struct {
	// until is when the time of the oldest datagram is over. 0: none is held.
	until atomic.Int64

	mu             sync.Mutex // guards all below; taken before a ledger's
	datagrams      map[flow.Key]*heldDatagram
	oldest, newest *heldDatagram // in a list by until
	peers          heldPeers
	bytes          int    // of all peers
	packets        uint64 // in Counters.In.Held
	orphaned       uint64 // that were dropped when their time was over, or for others
	closed         bool
}

// heldDatagram is the fragments of one datagram.
type heldDatagram struct {
	key       flow.Key
	peer      *heldPeer
	until     int64
	fragments []heldFragment

	older, newer             *heldDatagram // in heldFragments' list
	olderOfPeer, newerOfPeer *heldDatagram // in its peer's
}

// heldFragment is a copy of one packet, after destination NAT.
type heldFragment struct {
	buf  []byte // with PacketStartOffset bytes in front
	at   int    // where its data belong in the datagram
	peer *heldPeer
}

func (h *heldFragment) packet() []byte { return h.buf[PacketStartOffset:] }

func (h *heldFragment) cost() int { return costOf(h.packet()) }

func costOf(pkt []byte) int { return len(pkt) + heldOverhead }

// placedAt returns a buffer with the packet from offset on.
func (h *heldFragment) placedAt(offset int) []byte {
	if offset <= PacketStartOffset {
		return h.buf[PacketStartOffset-offset:]
	}
	return append(make([]byte, offset, offset+len(h.packet())), h.packet()...)
}

// add holds the packet in hand of b, which awaits the first of its datagram.
// It returns false if there is no room, or if the first has come meanwhile.
// Orphans are what had to be dropped in its place.
func (s *heldFragments) add(b *batch) (orphans []heldFragment, ok bool) {
	key, _ := flow.InDatagram(&b.p)
	peer := b.cfg.peers.PeerOf(b.p.Src.Addr())
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.datagrams[key]
	if s.closed || d != nil && len(d.fragments) == heldPerDatagram {
		return nil, false
	}
	if !b.cfg.filter.Awaits(&b.p, b.now) {
		return nil, false // who has judged the first takes what is held after that
	}
	if orphans, ok = s.makeRoom(peer, costOf(b.p.Buffer())); !ok {
		return orphans, false
	}
	if d = s.datagrams[key]; d == nil {
		d = s.begin(key, peer, b.now)
	}
	frag, _ := b.p.Fragment()
	buf := append(make([]byte, PacketStartOffset, PacketStartOffset+len(b.p.Buffer())), b.p.Buffer()...)
	d.fragments = append(d.fragments, heldFragment{buf: buf, at: frag.Offset, peer: d.peer})
	s.charge(&d.fragments[len(d.fragments)-1], 1)
	return orphans, true
}

// makeRoom drops datagrams of others, so that the peer has room for a fragment
// at this cost. s is locked.
func (s *heldFragments) makeRoom(peer flow.PeerID, cost int) (orphans []heldFragment, ok bool) {
	for s.bytes+cost > heldBytes {
		most := s.peers.most()
		if most.oldest == nil || most.id == peer || most.bytes <= s.peers.bytesOf(peer)+cost {
			return orphans, false
		}
		orphans = append(orphans, s.orphan(most.oldest)...)
	}
	return orphans, true
}

// charge enters n times h into the accounts. s is locked.
func (s *heldFragments) charge(h *heldFragment, n int) {
	cost := n * h.cost()
	s.packets += uint64(n)
	s.bytes += cost
	s.peers.charge(h.peer, cost)
}

// begin makes a datagram. s is locked.
func (s *heldFragments) begin(key flow.Key, peer flow.PeerID, now int64) *heldDatagram {
	if s.datagrams == nil {
		s.datagrams = make(map[flow.Key]*heldDatagram)
	}
	d := &heldDatagram{key: key, peer: s.peers.of(peer), until: now + heldTime, older: s.newest}
	s.datagrams[key] = d
	if s.newest == nil {
		s.oldest = d
		s.until.Store(d.until)
	} else {
		d.until = max(d.until, s.newest.until) // batches may be a little apart
		s.newest.newer = d
	}
	s.newest = d
	d.peer.add(d)
	return d
}

// remove takes d out. Its fragments are still charged. s is locked.
func (s *heldFragments) remove(d *heldDatagram) {
	delete(s.datagrams, d.key)
	d.peer.remove(d)
	if d.newer == nil {
		s.newest = d.older
	} else {
		d.newer.older = d.older
	}
	if d.older != nil {
		d.older.newer = d.newer
		return
	}
	s.oldest = d.newer
	if s.oldest == nil {
		s.until.Store(0)
	} else {
		s.until.Store(s.oldest.until)
	}
}

// take hands over what is held of a datagram, in its order. It is held in the
// books until settle.
func (s *heldFragments) take(key flow.Key) []heldFragment {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.datagrams[key]
	if d == nil {
		return nil
	}
	s.remove(d)
	slices.SortStableFunc(d.fragments, func(a, b heldFragment) int { return cmp.Compare(a.at, b.at) })
	return d.fragments
}

// settle notes that what take has handed over is in the books otherwise. s is
// locked.
func (s *heldFragments) settle(taken []heldFragment) {
	for i := range taken {
		s.charge(&taken[i], -1)
	}
}

// orphan drops d and returns its fragments. s is locked.
func (s *heldFragments) orphan(d *heldDatagram) []heldFragment {
	s.remove(d)
	s.settle(d.fragments)
	s.orphaned += uint64(len(d.fragments))
	return d.fragments
}

// expire drops the datagrams whose time is over, and returns their fragments.
func (s *heldFragments) expire(now int64) []heldFragment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expireLocked(now)
}

func (s *heldFragments) expireLocked(now int64) (orphans []heldFragment) {
	for s.oldest != nil && s.oldest.until <= now {
		orphans = append(orphans, s.orphan(s.oldest)...)
	}
	return orphans
}

// close drops all that is held, and holds nothing any more.
func (s *heldFragments) close() []heldFragment {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.expireLocked(math.MaxInt64)
}

// hold holds the packet in hand for the first of its datagram. It returns
// false if the packet is to be judged now.
func (w *Wrapper) hold(b *batch) bool {
	orphans, ok := w.held.add(b)
	w.logOrphans(orphans, b.now)
	return ok
}

// expireHeld drops the fragments that have waited too long.
func (w *Wrapper) expireHeld(now int64) {
	if until := w.held.until.Load(); until != 0 && until <= now {
		w.logOrphans(w.held.expire(now), now)
	}
}

// logOrphans logs the fragments whose first did not come in time.
func (w *Wrapper) logOrphans(orphans []heldFragment, now int64) {
	f := w.GetFilter()
	if f == nil || len(orphans) == 0 {
		return
	}
	b := new(batch)
	for i := range orphans {
		b.p.Decode(orphans[i].packet())
		f.LogDrop(&b.p, now, filter.ReasonFragmentOrphan)
	}
}

// release judges what was held for the first fragment in hand, of which o came
// out, and counts it. If the first was dropped, they are for the same reason.
func (w *Wrapper) release(b *batch, o outcome, offset int) {
	frag, ok := b.p.Fragment()
	if !ok || frag.Offset != 0 {
		return
	}
	key, _ := flow.InDatagram(&b.p)
	taken := w.held.take(key)
	b.released = append(b.released, taken...)
	for i := range taken {
		w.receiveHeld(b, &taken[i], o, offset)
	}
}

// receiveHeld is receive for a fragment that was held for the first of its
// datagram, of which the outcome first came out.
func (w *Wrapper) receiveHeld(b *batch, h *heldFragment, first outcome, offset int) {
	buf := h.placedAt(offset)
	b.p.Decode(buf[offset:])
	b.known, b.reply, b.stamp = false, replyNone, flow.Stamp{}
	b.id.SetIn(&b.p)
	o := first
	if first.fate != dropped {
		o = b.admit(b.cfg.peers.find(b.p.Src.Addr()))
	} else if f := b.cfg.filter; f != nil && first.reason <= filter.ReasonRevoked {
		f.LogDrop(&b.p, b.now, first.reason) // a reason of the filter's
	}
	w.dispose(b, o, buf, offset)
	if o.fate == passed {
		b.others = append(b.others, len(b.out)-1)
	}
}
