package flow

import "sync"

// share counts the entries of a table that are charged to a peer, in all and of each
// class.
type share struct {
	peer    PeerID
	total   int32
	classes [MaxClasses]int32
}

// shareIndex names a share of a table. The entries of the host have none.
type shareIndex uint16

const (
	noShare shareIndex = 0
	// overflowShare is shared by the peers that come when all others are in use.
	overflowShare shareIndex = 1
	maxShares                = 1 << 16
)

// shares divides a table among peers. A peer gets a free place as long as it holds
// fewer than are free (A. K. Choudhury, E. L. Hahne: Dynamic queue length thresholds,
// 1998), and then those of peers that hold more. So one peer alone gets half of the
// table, and n peers that all want more get each 1/(n+1) of it. That leaves room for
// the next one.
type shares struct {
	mu     sync.Mutex // guards all below; taken under a shard's
	index  map[PeerID]shareIndex
	list   []share // by index; grows to maxShares
	unused []shareIndex
}

func newShares() *shares {
	return &shares{index: make(map[PeerID]shareIndex), list: make([]share, overflowShare+1)}
}

// fullness says why a peer gets no new place.
type fullness uint8

const (
	notFull       fullness = iota
	isFull                 // it holds as many places as are free
	isFullOfClass          // it holds as many places of the class as are free
)

// charge charges an entry of the class to the share of p, and says whether that had
// fewer before than are free, in all and of the class. If it had not, the caller
// evicts another entry, or refunds this one.
func (s *shares) charge(p PeerID, class uint8, free, freeOfClass int64) (i shareIndex, full fullness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i = s.find(p)
	sh := &s.list[i]
	switch {
	case int64(sh.classes[class]) >= freeOfClass:
		full = isFullOfClass
	case int64(sh.total) >= free:
		full = isFull
	}
	sh.total++
	sh.classes[class]++
	return i, full
}

// holdsHalf reports whether the share i holds, without its newest entry, half of so
// many entries. Then no share is larger.
func (s *shares) holdsHalf(i shareIndex, entries int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 2*int(s.list[i].total-1) >= entries
}

// largest returns the index in list of the largest share, in all or of the class, or -1
// if none is larger than the share than with its newest entry. Of equals it takes the
// lower PeerID.
func (s *shares) largest(than shareIndex, list []shareIndex, class uint8, ofClass bool) (place int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	holds := func(i shareIndex) int32 {
		if ofClass {
			return s.list[i].classes[class]
		}
		return s.list[i].total
	}
	place = -1
	most, peer := holds(than), PeerID(0)
	for at, i := range list {
		if i == noShare || i == than {
			continue
		}
		if n, p := holds(i), s.list[i].peer; n > most || n == most && place >= 0 && p < peer {
			place, most, peer = at, n, p
		}
	}
	return place
}

// refund takes an entry of the class off the share i.
func (s *shares) refund(i shareIndex, class uint8) {
	s.mu.Lock()
	s.list[i].total--
	s.list[i].classes[class]--
	s.removeIfEmpty(i)
	s.mu.Unlock()
}

// find returns the share of p, which it makes if there is none. s is locked.
func (s *shares) find(p PeerID) shareIndex {
	if i, ok := s.index[p]; ok {
		return i
	}
	i := s.unusedShare()
	if i == overflowShare {
		return i
	}
	s.list[i] = share{peer: p}
	s.index[p] = i
	return i
}

// unusedShare returns a share that no peer has, or overflowShare. s is locked.
func (s *shares) unusedShare() shareIndex {
	if n := len(s.unused); n > 0 {
		i := s.unused[n-1]
		s.unused = s.unused[:n-1]
		return i
	}
	if len(s.list) == maxShares {
		return overflowShare
	}
	s.list = append(s.list, share{})
	return shareIndex(len(s.list) - 1)
}

// removeIfEmpty makes the share i unused if no entry is charged to it. s is locked.
func (s *shares) removeIfEmpty(i shareIndex) {
	sh := &s.list[i]
	if i == overflowShare || sh.total > 0 {
		return
	}
	delete(s.index, sh.peer)
	sh.peer = 0
	s.unused = append(s.unused, i)
}
