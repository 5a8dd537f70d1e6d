package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/flow"
)

// DefaultMemory is the bound of a Stack's memory in bytes where Config has
// none.
const DefaultMemory = 256 << 20

const (
	// minMemory is the least bound: 64 connections.
	minMemory = 64 * connCost
	// connCost is what a TCP connection is charged at least, in bytes: what
	// it takes when idle (TestTenThousandConnections), and what it may hold
	// each way however full the memory is, so that old connections go on.
	connCost = idleCost + heldIn + heldOut
	idleCost = 8 << 10
	heldIn   = 6 << 10 // two segments, as gVisor counts them
	heldOut  = 2 << 10
	// segmentCost is what a segment takes beside its payload, in bytes:
	// gVisor's packet and segment, and the rest of a pooled buffer.
	segmentCost = 1 << 10
	// sweepEvery is the time between two looks at all endpoints. A look at
	// 10,000 takes about a millisecond.
	sweepEvery = 20 * time.Millisecond
	// leastAccounts is among how many peers the reserved part of the memory
	// is divided at least.
	leastAccounts = 16
	// mostAccounts bounds the accounts. Peers beyond it share one.
	mostAccounts = 4096
)

// memory is the account of what peers make a stack hold.
//
// A quarter of the bound is divided among the peers that hold something: up to
// its part, a peer always finds room. The rest goes to who comes first, but no
// peer grows beyond what the others with more than their part could have too.
//
// TCP's buffers are in gVisor. What they hold is known exactly after a sweep,
// and over-estimated since: each packet that the stack gets counts until a Read
// takes it, although gVisor may have dropped it as a double, and each byte that
// is written until the connection's next Write. So a sweep is due only when the
// estimate reaches the bound.
type memory struct {
	ip     *stack.Stack
	beside *stack.Stack // of what is forwarded; nil: none
	owner  func(netip.Addr) flow.PeerID
	bound  int64

	total  atomic.Int64 // of all accounts
	large  atomic.Int64 // accounts with more than their part, at least 1
	part   atomic.Int64 // the part of each account
	wanted atomic.Bool  // a sweep may help
	sweeps atomic.Int64 // how many there were

	mu     sync.Mutex // guards byPeer
	byPeer map[flow.PeerID]*account

	sweeper sync.Mutex // held by who sweeps
	swept   time.Time  // guarded by sweeper, as the next one
	ended   []ended    // connections in TIME-WAIT that the sweep found
}

// account is what one peer makes the stack hold.
type account struct {
	m     *memory
	exact atomic.Int64 // bytes of datagrams, held and released one by one
	tcp   atomic.Int64 // bytes of TCP: an estimate
	found int64        // by the sweep that is under way, as the next one
	short bool         // of room

	forgotten atomic.Bool // the peer gets another one, if it needs one

	waiting [numInboxes]waiting // each guarded by its inbox
}

// waiting is what one peer has in an inbox.
type waiting struct {
	bytes int
	round uint64 // of fetch, in which it was put there
}

func newMemory(ip *stack.Stack, bound int64, owner func(netip.Addr) flow.PeerID) *memory {
	m := &memory{ip: ip, bound: bound, owner: owner, byPeer: make(map[flow.PeerID]*account)}
	m.divide(0)
	return m
}

// divide sets what depends on the number of peers that hold more than their
// part.
func (m *memory) divide(large int) {
	m.part.Store(m.bound / 4 / int64(max(len(m.byPeer), leastAccounts)))
	m.large.Store(int64(max(large, 1)))
}

// of returns the account of the peer behind a.
func (m *memory) of(a netip.Addr) *account {
	id := m.owner(a)
	m.mu.Lock()
	defer m.mu.Unlock()
	if acct := m.byPeer[id]; acct != nil {
		return acct
	}
	if len(m.byPeer) >= mostAccounts {
		id = 0
	}
	acct := m.byPeer[id]
	if acct == nil {
		acct = &account{m: m}
		m.byPeer[id] = acct
	}
	return acct
}

func (a *account) used() int64 { return a.exact.Load() + a.tcp.Load() }

// fits reports whether the account may hold n bytes more.
func (a *account) fits(n int64) bool {
	m, used := a.m, a.used()+n
	if used <= m.part.Load() {
		return true
	}
	first := m.bound * 3 / 4
	return m.total.Load()+n <= first && used <= first/m.large.Load()
}

// room is fits, after a sweep if one may help.
func (a *account) room(n int64) bool { return a.fits(n) || a.m.sweep() && a.fits(n) }

// hold takes n bytes, and reports whether there is room. release gives them
// back. It may be called by the stack, which a sweep would wait for.
func (a *account) hold(n int) bool {
	if !a.fits(int64(n)) {
		a.m.wanted.Store(true)
		return false
	}
	a.exact.Add(int64(n))
	a.m.total.Add(int64(n))
	return true
}

func (a *account) release(n int) {
	a.exact.Add(int64(-n))
	a.m.total.Add(int64(-n))
}

// estimate takes n bytes of TCP's until the next sweep, or gives some back.
func (a *account) estimate(n int64) {
	a.tcp.Add(n)
	a.m.total.Add(n)
}
