package filter

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"tstun/flow"
)

// ruleHistory holds the rules that were in force before, for as long as the host
// may reply in flows that they let in.
type ruleHistory struct {
	remember int64 // nanoseconds

	mu    sync.Mutex // serialises changes of rules
	rules atomic.Pointer[[]*oldRules]
}

// A history of more than maxOldRules sets of rules is compacted: those that ended
// in the same one of historySpans parts of its time are united. So it holds no
// rules for more than such a part longer, however often they change.
const (
	maxOldRules  = 16
	historySpans = 8
)

// oldRules is one set of rules that was in force.
type oldRules struct {
	rules scan
	index *index
	// until is when the next filter began to judge, or 0 if it has not yet, or
	// keeps the flows that these rules let in.
	until atomic.Int64
}

// allowed reports whether any rules of the history let the peer of k open it.
func (h *ruleHistory) allowed(k *flow.Key, now int64) bool {
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
		h.rules.CompareAndSwap(list, nil) // frees their memory
	}
	return false
}

// add adds the rules of f, which is being replaced. f may be nil.
func (h *ruleHistory) add(f *Filter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addLocked(f)
}

// addLocked adds the rules of f and returns them, or nil if f let no flow in. h is
// locked.
func (h *ruleHistory) addLocked(f *Filter) *oldRules {
	if f == nil || f.shieldsUp || len(f.rules) == 0 {
		return nil
	}
	var list []*oldRules
	if old := h.rules.Load(); old != nil {
		list = slices.Clone(*old)
	}
	p := &oldRules{rules: f.rules, index: f.index}
	if len(list) == maxOldRules {
		list = h.compact(list)
	}
	list = append(list, p)
	h.rules.Store(&list)
	return p
}

// of returns the rules of f, or nil if the history does not hold them.
func (h *ruleHistory) of(f *Filter) *oldRules {
	if list := h.rules.Load(); list != nil {
		for _, p := range *list {
			if p.index == f.index {
				return p
			}
		}
	}
	return nil
}

// change records that f judges from now on, and before, which may be nil, no
// longer. f is the newest filter, or an older one that is in force again.
func (h *ruleHistory) change(before, f *Filter, now int64) {
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
		h.end(now)
	}
}

// end sets the end of those rules that have none to now, and removes those that
// ended too long ago. h is locked.
func (h *ruleHistory) end(now int64) {
	list := h.rules.Load()
	if list == nil {
		return
	}
	gone := func(p *oldRules) bool { return now-p.until.Load() > h.remember }
	for _, p := range *list {
		p.until.CompareAndSwap(0, max(now, 1))
	}
	if slices.ContainsFunc(*list, gone) {
		kept := slices.DeleteFunc(slices.Clone(*list), gone)
		h.rules.Store(&kept)
	}
}

// compact returns the rules of list with those united that ended at about the same
// time.
func (h *ruleHistory) compact(list []*oldRules) (united []*oldRules) {
	span := max(h.remember/historySpans, 1)
	spanOf := func(p *oldRules) int64 { return endOf(p.until.Load()) / span }
	slices.SortStableFunc(list, func(a, b *oldRules) int { return cmp.Compare(spanOf(a), spanOf(b)) })
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

// unite returns rules that allow what any of list allows, and that end when the
// last of them ends.
func unite(list []*oldRules) *oldRules {
	u, until := new(oldRules), int64(0)
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

// endOf returns the time that until holds, or flow.Never if it is 0.
func endOf(until int64) int64 {
	if until == 0 {
		return flow.Never
	}
	return until
}
