package netstack

import "tstun/flow"

// share divides a number of places among peers: one has at most three times
// as many as are free for the others.
type share struct {
	places int
	taken  int
	byPeer map[flow.PeerID]int
}

func newShare(places int) share { return share{places: places, byPeer: make(map[flow.PeerID]int)} }

// take reports whether there was a place for p. give gives it back.
func (s *share) take(p flow.PeerID) bool {
	free := s.places - s.taken
	if free <= 0 || s.byPeer[p] >= 3*free {
		return false
	}
	s.taken++
	s.byPeer[p]++
	return true
}

func (s *share) give(p flow.PeerID) {
	s.taken--
	if s.byPeer[p]--; s.byPeer[p] == 0 {
		delete(s.byPeer, p)
	}
}

// clear gives back all places.
func (s *share) clear() {
	s.taken = 0
	clear(s.byPeer)
}
