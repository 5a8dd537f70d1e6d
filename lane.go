package tstun

import (
	"slices"
	"sync"
	"sync/atomic"
)

// lanes is one batch for each call with inbound packets that can be going on
// at once. Batches outlive calls, for the memory, the lease and the ledger
// that they hold.
type lanes struct {
	all  atomic.Pointer[[]*lane] // only grows: to the number of calls at once
	grow sync.Mutex              // serialises changes of all
}

// lane is a batch that one call at a time has.
type lane struct {
	batch
	busy sync.Mutex      // held during the call
	_    [cacheLine]byte // lanes are used on different cores
}

// cacheLine is the distance in memory at which processors do not get in each
// other's way.
const cacheLine = 64

// enter returns a free lane, which the caller leaves by unlocking busy.
func (s *lanes) enter() *lane {
	for _, l := range s.list() {
		if l.busy.TryLock() {
			return l
		}
	}
	return s.add()
}

func (s *lanes) add() *lane {
	l := new(lane)
	l.busy.Lock()
	s.grow.Lock()
	defer s.grow.Unlock()
	all := append(slices.Clone(s.list()), l)
	s.all.Store(&all)
	return l
}

// list returns all lanes there are, in a slice that does not change.
func (s *lanes) list() []*lane {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}
