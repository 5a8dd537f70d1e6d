package accounting

import (
	"sync"

	"tstun/filter"
	"tstun/flow"
	"tstun/netlogtype"
)

// maxFlows is how many flows are counted apart between two extracts: about
// 20 MB. Further ones are summed up.
const maxFlows = 100_000

// Flows counts what each flow carries, exactly and under concurrency: each run
// is added to one entry under its lock, and Take takes entries out whole.
type Flows struct {
	table     *flow.Table[netlogtype.Counts]
	datagrams datagrams

	restMu sync.Mutex        // guards the below
	rest   netlogtype.Counts // of flows that table had, or has, no room for
}

// NewFlows returns Flows that have counted nothing.
func NewFlows() *Flows {
	f := &Flows{
		table:     flow.New[netlogtype.Counts](flow.Config{Limit: maxFlows, Refuse: true}),
		datagrams: newDatagrams(),
	}
	f.table.OnEvict(func(e *flow.Entry[netlogtype.Counts]) {
		f.restMu.Lock()
		f.rest = f.rest.Add(e.Value)
		f.restMu.Unlock()
	})
	return f
}

// AddCall adds what a call has carried to the counts of its flows, but for the
// flow of the verdict cache, which Local has. peers, which must not be nil, say
// whose a flow is.
func (f *Flows) AddCall(c *Call, way Direction, now int64, peers filter.Peers) {
	for i := range c.runs {
		if i != c.cached {
			f.Add(&c.runs[i], way, now, peers)
		}
	}
}

// Add adds a run to the counts of its flow. A peer that makes up flows fills its
// own share of the table.
func (f *Flows) Add(r *Run, way Direction, now int64, peers filter.Peers) {
	if r.Packets == 0 {
		return
	}
	if !r.ID.IsZero() {
		if _, known := f.table.UpdateID(&r.ID, now, func(e *flow.Entry[netlogtype.Counts]) flow.Action {
			r.addTo(&e.Value, way)
			return flow.Leave
		}); known || f.insert(r, way, now, peers) {
			return
		}
	}
	f.restMu.Lock()
	r.addTo(&f.rest, way)
	f.restMu.Unlock()
}

// insert adds the run to a new flow, if there is room.
func (f *Flows) insert(r *Run, way Direction, now int64, peers filter.Peers) bool {
	k := r.ID.Key()
	c := flow.Claim{Peer: peers.PeerOf(k.Peer().Addr())}
	return f.table.UpsertID(&r.ID, c, now, func(e *flow.Entry[netlogtype.Counts], _ bool) flow.Action {
		r.addTo(&e.Value, way)
		return flow.Leave
	})
}

func (r *Run) addTo(c *netlogtype.Counts, way Direction) {
	if way == In {
		c.RxPackets += r.Packets
		c.RxBytes += r.Bytes
		return
	}
	c.TxPackets += r.Packets
	c.TxBytes += r.Bytes
}

// Take returns what was counted since the last call, and forgets it.
func (f *Flows) Take() map[netlogtype.Connection]netlogtype.Counts {
	m := make(map[netlogtype.Connection]netlogtype.Counts)
	f.table.Drain(func(k flow.Key, c netlogtype.Counts) {
		conn := netlogtype.Connection{Proto: k.Proto(), Src: k.Host(), Dst: k.Peer()}
		m[conn] = m[conn].Add(c)
	})
	f.restMu.Lock()
	rest := f.rest
	f.rest = netlogtype.Counts{}
	f.restMu.Unlock()
	if !rest.IsZero() {
		m[netlogtype.Connection{}] = rest
	}
	return m
}
