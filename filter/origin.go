package filter

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// This file tells who began what the host sends without a flow. A peer's flow
// may have been forgotten, by eviction, by time or with the program, while the
// host still answers; taken for one of the host's, it would let the peer in
// whatever the rules say from then on.

// Peers tells whose an address is. It is asked while a packet is judged, by
// several goroutines at once, and must not block.
type Peers interface {
	// PeerOf returns the peer behind a.
	PeerOf(a netip.Addr) flow.PeerID
}

// whose asks peers, or takes the address for the peer if there are none.
func whose(peers Peers, a netip.Addr) flow.PeerID {
	if peers == nil {
		return flow.AddrPeer(a)
	}
	return peers.PeerOf(a)
}

// origin is who began a flow, as far as can be told.
type origin uint8

const (
	originHost    origin = iota
	originEither         // the rules decide whether it goes on
	originPeer           // the peer, and the rules allow it
	originRefused        // the peer, or nobody knows, and no rule allows it
)

// originOut returns who began the flow k, which is not known, and of which the
// host sends s.
func (f *Filter) originOut(k *flow.Key, s segment, now int64, jailed bool) origin {
	peer := k.Peer().Addr()
	tcp := k.Proto() == ipproto.TCP
	if k.Proto().IsICMP() || tcp && s.opens() {
		return originHost // the packet says so
	}
	allowed := f.allows(*k)
	switch {
	case tcp && s.answers():
		// It grants what the peer opened.
		if allowed {
			return originPeer
		}
		return originRefused
	case allowed && !jailed:
		return originEither
	case allowed && f.state.hasLost(peer, now), f.state.mayHaveLost(peer, now) && f.state.past.allowed(k, now):
		return originRefused
	case !tcp:
		return originHost
	case f.state.isYoung(now, int64(f.limits.Pickup)):
		return originEither
	}
	return originRefused
}

// hasLost reports whether a flow of the peer's was forgotten while the host can
// still answer it.
func (s *State) hasLost(peer netip.Addr, now int64) bool {
	return s.flows.LostAt(peer, now) != 0
}

// mayHaveLost is hasLost, also of the program before.
func (s *State) mayHaveLost(peer netip.Addr, now int64) bool {
	return s.isYoung(now, int64(answerTime)) || s.hasLost(peer, now)
}

// traits returns those of a flow with this origin.
func (o origin) traits() traits {
	switch o {
	case originEither:
		return adopted
	case originPeer:
		return byPeer
	}
	return 0
}

// past is the rules that were in force before, for as long as the host may
// answer what they let in.
type past struct {
	remember int64

	mu    sync.Mutex // serialises changes of rules
	rules atomic.Pointer[[]*pastRules]
}

// Past rules are united when there are more than maxPast sets of them: those
// that ended in the same one of pastSpans parts of the time for which they are
// remembered. So none is remembered for more than a part longer, however often
// the rules change.
const (
	maxPast   = 16
	pastSpans = 8
)

// pastRules is one set of rules that was in force.
type pastRules struct {
	rules scan
	index *index
	// until is when the next filter began to judge; 0: it has not yet, or it
	// keeps what these rules let in.
	until atomic.Int64
}

// allowed reports whether rules that were in force not too long before now let
// the peer of k open it.
func (h *past) allowed(k *flow.Key, now int64) bool {
	list := h.rules.Load()
	if list == nil {
		return false
	}
	host, peer, known := k.Host(), k.Peer().Addr(), false
	for _, p := range *list {
		if until := p.until.Load(); until != 0 && now-until > h.remember {
			continue
		}
		known = true
		if p.index.allows(k.Proto(), peer.Unmap(), host.Addr().Unmap(), host.Port()) {
			return true
		}
	}
	if !known {
		h.rules.CompareAndSwap(list, nil) // their memory is not needed any more
	}
	return false
}

// add makes the rules of f, which is being replaced, ones of the past.
func (h *past) add(f *Filter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addLocked(f)
}

// addLocked returns the past rules that are f's, or nil if it let nothing in.
// h is locked.
func (h *past) addLocked(f *Filter) *pastRules {
	if f == nil || f.shieldsUp || len(f.rules) == 0 {
		return nil
	}
	var list []*pastRules
	if old := h.rules.Load(); old != nil {
		list = slices.Clone(*old)
	}
	p := &pastRules{rules: f.rules, index: f.index}
	if len(list) == maxPast {
		list = h.compact(list)
	}
	list = append(list, p)
	h.rules.Store(&list)
	return p
}

// of returns the past rules that are f's, or nil if there are none.
func (h *past) of(f *Filter) *pastRules {
	if list := h.rules.Load(); list != nil {
		for _, p := range *list {
			if p.index == f.index {
				return p
			}
		}
	}
	return nil
}

// follow notes that f judges at now, and no longer before, which may be nil: the
// newest filter, or an older one that was put in force again.
func (h *past) follow(before, f *Filter, now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before != nil {
		p := h.of(before)
		if p == nil {
			p = h.addLocked(before)
		}
		if p != nil {
			p.until.Store(0)
		}
	}
	if !f.keep {
		h.close(now)
	}
}

// close ends those rules that have not ended, and forgets those that ended long
// ago. h is locked.
func (h *past) close(now int64) {
	list := h.rules.Load()
	if list == nil {
		return
	}
	gone := func(p *pastRules) bool { return now-p.until.Load() > h.remember }
	for _, p := range *list {
		p.until.CompareAndSwap(0, max(now, 1))
	}
	if slices.ContainsFunc(*list, gone) {
		kept := slices.DeleteFunc(slices.Clone(*list), gone)
		h.rules.Store(&kept)
	}
}

// compact unites the rules of list that ended at about the same time.
func (h *past) compact(list []*pastRules) (united []*pastRules) {
	span := max(h.remember/pastSpans, 1)
	spanOf := func(p *pastRules) int64 { return endOf(p.until.Load()) / span }
	slices.SortStableFunc(list, func(a, b *pastRules) int { return cmp.Compare(spanOf(a), spanOf(b)) })
	for len(list) > 0 {
		n := 1
		for n < len(list) && spanOf(list[n]) == spanOf(list[0]) {
			n++
		}
		if n > 1 {
			united = append(united, unite(list[:n]))
		} else {
			united = append(united, list[0])
		}
		list = list[n:]
	}
	return united
}

// unite returns rules that allow what any of list do, until the last of them
// ends.
func unite(list []*pastRules) *pastRules {
	u, until := new(pastRules), int64(0)
	seen := make(map[string]bool)
	for _, p := range list {
		until = max(until, endOf(p.until.Load()))
		for _, m := range p.rules {
			if text := m.String(); !seen[text] {
				seen[text] = true
				u.rules = append(u.rules, m)
			}
		}
	}
	u.index = newIndex(u.rules)
	if until != flow.Never {
		u.until.Store(until)
	}
	return u
}

// endOf returns a time in pastRules.until so that it can be compared.
func endOf(until int64) int64 {
	if until == 0 {
		return flow.Never
	}
	return until
}

// Answerable reports whether the sender of the inbound packet p, which was
// refused at now, may be told so: whether p belongs to no flow that the host may
// have begun, which an answer would end. id is that of flow.In(p).
func (f *Filter) Answerable(p *packet.Parsed, id *flow.ID, now int64) bool {
	if p.IPProto.IsICMP() {
		return true // only what the peer asks is refused for policy's sake
	}
	c, known := f.state.flows.Peek(id.Key(), now)
	return !known || c.has(byPeer)
}
