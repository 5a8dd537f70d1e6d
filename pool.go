package tstun

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"tstun/internal/accounting"
)

// pool is one batch for each call with inbound packets that can be going on at
// once. Batches outlive calls, for the memory, the verdict cache and the local
// counters that they hold. The zero value is empty.
type pool struct {
	all  atomic.Pointer[[]*pooled] // only grows: to the number of calls at once
	grow sync.Mutex                // serialises changes of all
}

// pooled is a batch that one call at a time has.
type pooled struct {
	batch
	busy sync.Mutex       // held during the call
	_    cpu.CacheLinePad // batches are used on different cores
}

// acquire returns a batch, which the caller has to release.
func (p *pool) acquire() *pooled {
	for _, b := range p.list() {
		if b.busy.TryLock() {
			return b
		}
	}
	return p.add()
}

// release makes b, whose call has ended, available.
func (b *pooled) release() {
	b.end()
	b.busy.Unlock()
}

func (p *pool) add() *pooled {
	b := new(pooled)
	b.busy.Lock()
	p.grow.Lock()
	defer p.grow.Unlock()
	all := append(slices.Clone(p.list()), b)
	p.all.Store(&all)
	return b
}

// list returns all batches there are, in a slice that does not change.
func (p *pool) list() []*pooled {
	if all := p.all.Load(); all != nil {
		return *all
	}
	return nil
}

// locals returns the local counters of all batches. p.grow is locked as long as
// there must be no more of them.
func (p *pool) locals() []*accounting.Local {
	var all []*accounting.Local
	for _, b := range p.list() {
		all = append(all, &b.local)
	}
	return all
}
