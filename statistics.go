package tstun

import (
	"sync"

	"tstun/flow"
	"tstun/internal/clock"
	"tstun/netlogtype"
)

// maxConnections is how many connections are counted apart between two
// extracts: about 20 MB. Further ones are summed up.
const maxConnections = 100_000

// statistics counts what each connection carries, exactly and under
// concurrency: each run is added to one entry under its lock, and an extract
// takes entries out whole.
type statistics struct {
	flows     *flow.Table[netlogtype.Counts]
	datagrams datagramFlows

	restMu sync.Mutex        // guards the below
	rest   netlogtype.Counts // of connections that flows had, or has, no room for
}

func newStatistics() *statistics {
	s := &statistics{
		flows:     flow.New[netlogtype.Counts](flow.Config{Limit: maxConnections, Refuse: true}),
		datagrams: newDatagramFlows(),
	}
	s.flows.OnEvict(func(e *flow.Entry[netlogtype.Counts]) {
		s.restMu.Lock()
		s.rest = s.rest.Add(e.Value)
		s.restMu.Unlock()
	})
	return s
}

// direction says which way packets go.
type direction bool

const (
	dirOut direction = false
	dirIn  direction = true
)

// add adds a run to the counts of its flow. peers tell whose that is: a peer
// that makes up connections fills its own share of the table.
func (s *statistics) add(r *run, d direction, now int64, peers *peerTable) {
	if r.packets == 0 {
		return
	}
	if !r.id.IsZero() {
		if _, known := s.flows.UpdateID(&r.id, now, func(e *flow.Entry[netlogtype.Counts]) flow.Action {
			r.addTo(&e.Value, d)
			return flow.Leave
		}); known {
			return
		}
		k := r.id.Key()
		c := flow.Claim{Peer: peers.PeerOf(k.Peer().Addr())}
		if s.flows.UpsertID(&r.id, c, now, func(e *flow.Entry[netlogtype.Counts], _ bool) flow.Action {
			r.addTo(&e.Value, d)
			return flow.Leave
		}) {
			return
		}
	}
	s.restMu.Lock()
	r.addTo(&s.rest, d)
	s.restMu.Unlock()
}

func (r *run) addTo(c *netlogtype.Counts, d direction) {
	if d == dirIn {
		c.RxPackets += r.packets
		c.RxBytes += r.bytes
		return
	}
	c.TxPackets += r.packets
	c.TxBytes += r.bytes
}

// take returns everything counted since the last call.
func (s *statistics) take() map[netlogtype.Connection]netlogtype.Counts {
	m := make(map[netlogtype.Connection]netlogtype.Counts)
	s.flows.Drain(func(k flow.Key, c netlogtype.Counts) {
		conn := netlogtype.Connection{Proto: k.Proto(), Src: k.Host(), Dst: k.Peer()}
		m[conn] = m[conn].Add(c)
	})
	s.restMu.Lock()
	rest := s.rest
	s.rest = netlogtype.Counts{}
	s.restMu.Unlock()
	if !rest.IsZero() {
		m[netlogtype.Connection{}] = rest
	}
	return m
}

// ExtractStatistics returns what each connection has carried since the last
// call, and forgets it. The caller owns the map. A connection is seen from
// the host, so Src is the host's side, with its own address also under NAT.
// The sum over all extracts is exactly what passed or was taken by hooks
// while statistics were enabled. Fragments are counted under the flow of their
// datagram. Only those without a known flow are counted with port 0, since they
// carry none: of a datagram whose first fragment was not counted before them, or
// was forgotten, after a minute or with more than 4096 datagrams each way, of
// which a peer has its share. Between two calls 100,000 connections are
// counted apart, shared out among the peers that have many; a peer alone has half
// of them. The rest is summed under the zero Connection; so is what was injected
// without being an IP packet.
func (w *Wrapper) ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts {
	now, peers := clock.Now(), w.config.Load().peers
	for _, l := range w.lanes.list() {
		r := l.ledger.take()
		w.stats.add(&r, dirIn, now, peers)
	}
	r := w.inbox.batch.ledger.take()
	w.stats.add(&r, dirOut, now, peers)
	return w.stats.take()
}
