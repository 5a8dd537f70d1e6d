package tunnel

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/flowlog"
	"tstun/ipproto"
)

// Bounds of what is told of refused flows, so that neither a scan nor many sources flood
// who reads events.
const (
	refusalBurst  = 4                // of one peer, or of the host, at once
	refusalEvery  = 10 * time.Second // of each, for longer
	refusalMemory = 4096             // flows that are known to have been told
	refusalPeers  = 1024             // whose pace is known
	refusalQueue  = 64               // that wait to be told
)

// firstRefusals chooses which refused flows are told as events: each flow once, without the port
// of its source, and few of each peer. note never waits, and allocates for a new peer alone.
type firstRefusals struct {
	now   func() time.Time
	queue chan refusalNote
	end   chan struct{} // closed when nothing is noted any more

	mu     sync.Mutex // guards what is below
	seed   maphash.Seed
	told   []uint64 // hashes of flows that were told, each at its place
	peers  map[flow.PeerID]*refusalPace
	untold uint64 // new flows since the last that was told
}

// refusalPace is how many flows of a peer may be told.
type refusalPace struct {
	left int
	at   time.Time // when left was right
}

// refusalNote is a flow to be told.
type refusalNote struct {
	flow   tstun.RefusedRecord
	untold uint64
}

// refusalKey is what makes a refused flow another one.
type refusalKey struct {
	proto     ipproto.Proto
	src       netip.Addr
	dst       netip.AddrPort
	direction filter.Direction
	reason    filter.Reason
	more      bool
}

func newFirstRefusals() *firstRefusals {
	return &firstRefusals{
		now: time.Now, queue: make(chan refusalNote, refusalQueue), end: make(chan struct{}),
		seed: maphash.MakeSeed(), told: make([]uint64, refusalMemory), peers: make(map[flow.PeerID]*refusalPace),
	}
}

// note is told of each refused flow, as tstun.FlowEvents.Refused is.
func (x *firstRefusals) note(r tstun.RefusedRecord) {
	k := refusalKey{r.Proto, r.Src.Addr(), r.Dst, r.Direction, r.Reason, r.More}
	if r.Direction == filter.Inbound {
		k.src, k.dst = r.Dst.Addr(), r.Src
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	hash := maphash.Comparable(x.seed, k)
	at := &x.told[hash%refusalMemory]
	if *at == hash {
		return
	}
	if !x.mayTellLocked(r.Peer) {
		x.untold++
		return
	}
	select {
	case x.queue <- refusalNote{r, x.untold}:
		*at, x.untold = hash, 0
	default:
		x.untold++
	}
}

// mayTellLocked reports whether a flow of a peer may be told, and counts it.
func (x *firstRefusals) mayTellLocked(id flow.PeerID) bool {
	now, p := x.now(), x.peers[id]
	if p == nil {
		if len(x.peers) >= refusalPeers {
			clear(x.peers) // of peers that are no more, mostly
		}
		p = &refusalPace{refusalBurst, now}
		x.peers[id] = p
	}
	if due := int(now.Sub(p.at) / refusalEvery); due > 0 {
		p.left, p.at = min(refusalBurst, p.left+due), p.at.Add(time.Duration(due)*refusalEvery)
	}
	if p.left == 0 {
		return false
	}
	p.left--
	return true
}

// run calls tell with the flows that are to be told, until the end.
func (x *firstRefusals) run(tell func(r *flowlog.Record, untold uint64)) {
	for {
		select {
		case n := <-x.queue:
			tell(&flowlog.Record{Kind: flowlog.Refused, Time: n.flow.First, Refused: n.flow}, n.untold)
		case <-x.end:
			return
		}
	}
}
