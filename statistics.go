package tstun

import (
	"sync/atomic"

	"tstun/filter"
	"tstun/flow"
	"tstun/netlogtype"
)

// maxConnections is how many connections are counted apart between two
// extracts: about 20 MB. Further ones are summed up.
const maxConnections = 100_000

// statistics counts what each connection carries, exactly and under
// concurrency: each run is added to one entry under its lock, and an extract
// takes entries out whole.
type statistics struct {
	flows *flow.Table[netlogtype.Counts]
	rest  counts // of connections that flows had no room for
}

// counts is a netlogtype.Counts that several goroutines add to.
type counts struct {
	txPackets, txBytes, rxPackets, rxBytes atomic.Uint64
}

func newStatistics() *statistics {
	return &statistics{flows: flow.New[netlogtype.Counts](flow.Config{Limit: maxConnections, Refuse: true})}
}

func (s *statistics) addTx(r run, now int64) {
	s.add(r, netlogtype.Counts{TxPackets: r.packets, TxBytes: r.bytes}, now)
}

func (s *statistics) addRx(r run, now int64) {
	s.add(r, netlogtype.Counts{RxPackets: r.packets, RxBytes: r.bytes}, now)
}

func (s *statistics) add(r run, c netlogtype.Counts, now int64) {
	if r.packets == 0 {
		return
	}
	if r.key != (flow.Key{}) {
		add := func(e *flow.Entry[netlogtype.Counts]) flow.Action {
			e.Value = e.Value.Add(c)
			return flow.Leave
		}
		if _, known := s.flows.Update(r.key, now, add); known {
			return
		}
		first := func(e *flow.Entry[netlogtype.Counts], _ bool) flow.Action { return add(e) }
		if s.flows.Upsert(r.key, 0, now, first) {
			return
		}
	}
	s.rest.txPackets.Add(c.TxPackets)
	s.rest.txBytes.Add(c.TxBytes)
	s.rest.rxPackets.Add(c.RxPackets)
	s.rest.rxBytes.Add(c.RxBytes)
}

// take returns everything counted since the last call.
func (s *statistics) take() map[netlogtype.Connection]netlogtype.Counts {
	m := make(map[netlogtype.Connection]netlogtype.Counts)
	s.flows.Drain(func(k flow.Key, c netlogtype.Counts) {
		conn := netlogtype.Connection{Proto: k.Proto(), Src: k.Host(), Dst: k.Peer()}
		m[conn] = m[conn].Add(c)
	})
	rest := netlogtype.Counts{
		TxPackets: s.rest.txPackets.Swap(0),
		TxBytes:   s.rest.txBytes.Swap(0),
		RxPackets: s.rest.rxPackets.Swap(0),
		RxBytes:   s.rest.rxBytes.Swap(0),
	}
	if !rest.IsZero() {
		m[netlogtype.Connection{}] = rest
	}
	return m
}

// ExtractStatistics returns what each connection has carried since the last
// call, and forgets it. The caller owns the map. A connection is seen from
// the host, so Src is the host's side, with its own address also under NAT.
// The sum over all extracts is exactly what passed or was taken by hooks
// while statistics were enabled. Fragments other than the first carry no
// ports and are counted with port 0. When more than 100,000 connections came up
// between two calls, the rest of them is summed under the zero Connection; so
// is what was injected without being an IP packet.
func (w *Wrapper) ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts {
	now := filter.Now()
	for _, l := range w.lanes.list() {
		w.stats.addRx(l.ledger.take(), now)
	}
	w.stats.addTx(w.inbox.batch.ledger.take(), now)
	return w.stats.take()
}
