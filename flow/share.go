package flow

import "sync"

// share is what a table knows of one peer: how many entries it has, in all
// and of each class, and when one of them was last given up.
type share struct {
	peer    PeerID
	total   int32
	classes [MaxClasses]int32
	lost    int64 // when an entry was last evicted, expired or refused; never: 0
}

// shareIndex names a share of a table. The entries of the host have none.
type shareIndex uint16

const (
	noShare shareIndex = 0
	// restShare is that of the peers that come when all others are taken.
	restShare shareIndex = 1
	maxShares            = 1 << 16
)

// shares divides a table among peers. A peer may take a place as long as it
// holds fewer than are free (A. K. Choudhury, E. L. Hahne: Dynamic queue length
// thresholds, 1998), and then those of peers that hold more, if the table evicts.
// So one peer alone gets half of the table, n peers that all want more get each
// 1/(n+1) of it, and there is room left for the next one. In a table that refuses,
// peers that come one after the other get a half, a quarter, an eighth.
type shares struct {
	remember int64 // how long lost has to be known after the last entry is gone

	mu     sync.Mutex // guards all below; taken under a shard's
	index  map[PeerID]shareIndex
	list   []share // by index; grows to maxShares
	unused []shareIndex
	hand   shareIndex // where the search for a share to reuse stands
}

func newShares(remember int64) *shares {
	return &shares{remember: remember, index: make(map[PeerID]shareIndex), list: make([]share, restShare+1), hand: restShare}
}

// take adds an entry of the class to the share of p if that is less than free
// in all, and less than freeOfClass of its class. It returns the share in any
// case.
func (s *shares) take(p PeerID, class uint8, free, freeOfClass, now int64) (i shareIndex, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i = s.of(p, now)
	sh := &s.list[i]
	if int64(sh.total) >= free || int64(sh.classes[class]) >= freeOfClass {
		return i, false
	}
	sh.total++
	sh.classes[class]++
	return i, true
}

// move makes an entry of a share and class one of the claim, and returns the
// share that it is charged to.
func (s *shares) move(from shareIndex, was uint8, c Claim, now int64) (to shareIndex) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to = s.of(c.Peer, now)
	s.list[to].total++
	s.list[to].classes[c.Class]++
	s.list[from].total--
	s.list[from].classes[was]--
	s.release(from)
	return to
}

// isOfClass reports whether the share i is at its limit for the class, so that
// only another entry of the class makes room for one.
func (s *shares) isOfClass(i shareIndex, class uint8, freeOfClass int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.list[i].classes[class]) >= freeOfClass
}

// richest returns the place in list of the share that holds most, in all or of
// the class, or -1 if none holds more than the share of than would with one
// more. Of equals it takes the lower PeerID.
func (s *shares) richest(than shareIndex, list []shareIndex, class uint8, ofClass bool) (place int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	holds := func(i shareIndex) int32 {
		if ofClass {
			return s.list[i].classes[class]
		}
		return s.list[i].total
	}
	place = -1
	most, peer := holds(than)+1, PeerID(0)
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

// give takes an entry of the class from the share i.
func (s *shares) give(i shareIndex, class uint8) {
	s.mu.Lock()
	s.list[i].total--
	s.list[i].classes[class]--
	s.release(i)
	s.mu.Unlock()
}

// noteLost notes that an entry of the share i was given up at now.
func (s *shares) noteLost(i shareIndex, now int64) {
	if s.remember == 0 {
		return
	}
	s.mu.Lock()
	s.list[i].lost = max(s.list[i].lost, now, 1)
	s.mu.Unlock()
}

// noteLostBy notes that an entry of p was given up, or refused, at now.
func (s *shares) noteLostBy(p PeerID, now int64) {
	if s.remember == 0 {
		return
	}
	s.mu.Lock()
	i := s.of(p, now)
	s.list[i].lost = max(s.list[i].lost, now, 1)
	s.mu.Unlock()
}

// lostAt returns when an entry of p was last given up, or 0 if that is too
// long ago to be remembered.
func (s *shares) lostAt(p PeerID, now int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[p]
	if !ok {
		i = restShare
	}
	if lost := s.list[i].lost; lost != 0 && now-lost <= s.remember {
		return lost
	}
	return 0
}

// of returns the share of p, which it makes if there is none. s is locked.
func (s *shares) of(p PeerID, now int64) shareIndex {
	if i, ok := s.index[p]; ok {
		return i
	}
	i := s.unusedShare(now)
	if i == restShare {
		return i
	}
	s.list[i] = share{peer: p}
	s.index[p] = i
	return i
}

// unusedShare returns a share that nobody has. s is locked.
func (s *shares) unusedShare(now int64) shareIndex {
	if n := len(s.unused); n > 0 {
		i := s.unused[n-1]
		s.unused = s.unused[:n-1]
		return i
	}
	const look = 4
	for range min(look, len(s.list)-int(restShare)-1) {
		if int(s.hand)+1 >= len(s.list) {
			s.hand = restShare
		}
		s.hand++
		if sh := &s.list[s.hand]; sh.peer != 0 && sh.total == 0 && now-sh.lost > s.remember {
			delete(s.index, sh.peer)
			return s.hand
		}
	}
	if len(s.list) == maxShares {
		return restShare
	}
	s.list = append(s.list, share{})
	return shareIndex(len(s.list) - 1)
}

// release gives up the share i if there is nothing to know of it any more.
// s is locked.
func (s *shares) release(i shareIndex) {
	sh := &s.list[i]
	if i == restShare || sh.total > 0 || sh.lost != 0 {
		return
	}
	delete(s.index, sh.peer)
	sh.peer = 0
	s.unused = append(s.unused, i)
}
