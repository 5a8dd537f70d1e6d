package tundev

import (
	"bytes"
	"net/netip"
	"sync"
	"time"
)

const (
	maxStations  = 4096 // addresses that are remembered
	maxQuestions = 256  // of stations, that nobody has answered yet
	maxHeld      = 64   // addresses that are asked for, with a packet each

	// stationTime is how long an address is remembered after the last frame
	// from it.
	stationTime = 5 * time.Minute
	// A station that asks again after repeatMin was answered by nobody: hosts
	// ask once a second (RFC 1122 §2.3.2.1; RFC 4861 §10, RETRANS_TIMER).
	repeatMin = 500 * time.Millisecond
	repeatMax = 5 * time.Second
	// askEvery bounds how often an address is asked for (RFC 1122 §2.3.2.1).
	askEvery = time.Second
)

// stations says who has which address on an Ethernet with several stations, such
// as a bridge with guests. It may be used from several goroutines.
type stations struct {
	mu    sync.Mutex // guards what follows
	known map[netip.Addr]station
	asked map[question]time.Time // when first
	held  map[netip.Addr]heldPacket
}

// station is who has an address. tapMAC is for those beyond the TAP.
type station struct {
	mac  mac
	seen time.Time
}

// question is which address a station looks for.
type question struct {
	asker  mac
	target netip.Addr
}

// heldPacket is the latest packet for an address that is asked for (RFC 1122
// §2.3.2.2), and when it was asked for last.
type heldPacket struct {
	packet []byte
	asked  time.Time
}

func newStations() *stations {
	return &stations{
		known: make(map[netip.Addr]station),
		asked: make(map[question]time.Time),
		held:  make(map[netip.Addr]heldPacket),
	}
}

// of returns the MAC address of a station, or 0 if none is known to have a.
func (s *stations) of(a netip.Addr, now time.Time) mac {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stationLocked(a, now)
}

func (s *stations) stationLocked(a netip.Addr, now time.Time) mac {
	if e := s.known[a]; e.mac != tapMAC && now.Sub(e.seen) < stationTime {
		return e.mac
	}
	return 0
}

// claim learns that who says so in ARP or neighbour discovery has a. It returns the
// packet that waited for that, which the caller owns, or nil.
func (s *stations) claim(a netip.Addr, m mac, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setLocked(a, m, now)
	packet := s.held[a].packet
	delete(s.held, a)
	return packet
}

// sent learns from an IP packet that its sender m has a, unless another has it.
func (s *stations) sent(a netip.Addr, m mac, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.known[a]; !ok || e.mac == m || now.Sub(e.seen) >= stationTime {
		s.setLocked(a, m, now)
	}
}

func (s *stations) setLocked(a netip.Addr, m mac, now time.Time) {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return
	}
	if _, ok := s.known[a]; !ok {
		makeRoom(s.known, maxStations)
	}
	s.known[a] = station{m, now}
}

// makeRoom removes an entry if there are max. What is known of it is asked for
// again.
func makeRoom[K comparable, V any](m map[K]V, max int) {
	if len(m) < max {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

// isBeyond reports whether q is to be told that its target is beyond the TAP:
// packets have come from there, or the asker alone believes it already, or nobody
// on the Ethernet has answered.
func (s *stations) isBeyond(q question, believes bool, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stationLocked(q.target, now) != 0:
		return false
	case believes || s.known[q.target].mac == tapMAC:
		return true
	}
	first, ok := s.asked[q]
	if since := now.Sub(first); ok && since <= repeatMax {
		if since >= repeatMin {
			delete(s.asked, q)
			s.setLocked(q.target, tapMAC, now)
		}
		return since >= repeatMin
	}
	makeRoom(s.asked, maxQuestions)
	s.asked[q] = now
	return false
}

// hold keeps a copy of a packet until somebody claims a. It reports whether a is to
// be asked for.
func (s *stations) hold(a netip.Addr, packet []byte, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[a]
	if !ok {
		makeRoom(s.held, maxHeld)
	}
	ask := !ok || now.Sub(h.asked) >= askEvery
	if ask {
		h.asked = now
	}
	h.packet = bytes.Clone(packet)
	s.held[a] = h
	return ask
}
