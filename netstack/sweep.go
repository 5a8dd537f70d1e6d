package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// sweep makes the estimates exact. It reports false if the last sweep, or one
// that is under way, is too young.
func (m *memory) sweep() bool {
	if !m.sweeper.TryLock() {
		return false
	}
	defer m.sweeper.Unlock()
	now := time.Now()
	if now.Sub(m.swept) < sweepEvery {
		return false
	}
	m.swept = now
	// What is added while the sweep goes on may be counted twice, until the
	// next one.
	before := m.estimates()
	m.findIn(m.ip)
	if m.beside != nil {
		m.findIn(m.beside)
	}
	m.settle(before)
	m.reap()
	return true
}

// sweepIfWanted is for a goroutine that holds nothing of the stack.
func (m *memory) sweepIfWanted() {
	if m.wanted.Load() && m.sweep() {
		m.wanted.Store(false)
	}
}

func (m *memory) estimates() map[*account]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := make(map[*account]int64, len(m.byPeer))
	for _, a := range m.byPeer {
		a.found = 0
		was[a] = a.tcp.Load()
	}
	return was
}

func (m *memory) findIn(ip *stack.Stack) {
	for _, ep := range ip.RegisteredEndpoints() {
		if t, ok := ep.(*tcp.Endpoint); ok {
			m.find(t)
		}
	}
}

// find adds what the endpoint holds to what was found of its peer.
func (m *memory) find(ep *tcp.Endpoint) {
	state := tcp.EndpointState(ep.State())
	if state == tcp.StateListen {
		return
	}
	info := ep.Info().(*stack.TransportEndpointInfo)
	remote, ok := netip.AddrFromSlice(info.ID.RemoteAddress.AsSlice())
	if !ok {
		return
	}
	a := m.of(remote.Unmap())
	if state == tcp.StateTimeWait {
		m.ended = append(m.ended, ended{ep, a})
		a.found += idleCost
		return
	}
	a.found += heldBy(ep)
}

// ended is a connection that is over but for TIME-WAIT, which lasts a minute.
type ended struct {
	ep      *tcp.Endpoint
	account *account
}

// reap ends TIME-WAIT, all of it, for those peers that have no room for as much
// again as they hold, as Linux does beyond net.ipv4.tcp_max_tw_buckets. A late segment
// of such a connection may meet a new one (RFC 1337), which is better than none.
func (m *memory) reap() {
	for _, e := range m.ended {
		e.account.short = !e.account.fits(e.account.used())
	}
	for _, e := range m.ended {
		if e.account.short {
			e.ep.Abort()
			e.account.estimate(-idleCost)
		}
	}
	clear(m.ended)
	m.ended = m.ended[:0]
}

// heldBy returns what the endpoint is charged.
func heldBy(ep *tcp.Endpoint) int64 {
	return max(idleCost+received(ep)+unacked(ep), connCost)
}

// settle replaces the estimates that were there before the sweep by what it
// found, and forgets the accounts that hold nothing.
func (m *memory) settle(before map[*account]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	large, sum := 0, int64(0)
	for id, a := range m.byPeer {
		a.tcp.Add(a.found - before[a])
		used := a.used()
		if used > m.part.Load() {
			large++
		}
		if sum += used; used == 0 {
			delete(m.byPeer, id)
			a.forgotten.Store(true)
		}
	}
	// Not a sum of differences: what an account that was forgotten still got
	// would stay for ever.
	m.total.Add(sum - m.total.Load())
	m.sweeps.Add(1)
	m.divide(large)
}
