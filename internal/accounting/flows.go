package accounting

import (
	"sync"
	"sync/atomic"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/netlogtype"
)

// maxFlows is how many flows are counted apart of which the filter keeps no state, and
// how many that ended between two extracts: about 20 MB each. Further ones are summed
// up.
const maxFlows = 100_000

// looseIdle is how long a flow of which the filter keeps no state is one, without
// packets.
const looseIdle = 2 * time.Minute

// Flows counts what each flow carries, exactly and under concurrency. The count is in
// the flow's entry in the filter's state, where the filter has just looked it up; Flows
// itself has the flows that no state has, and, for Take, what ended ones carried.
type Flows struct {
	accounts  filter.Accounts
	loose     *flow.Table[struct{}]          // flows of which the state has no entry
	ended     *flow.Table[netlogtype.Counts] // of ended flows, what Take has not returned
	refused   *flow.Table[sourceRefusals]    // by refusedSource.id
	datagrams datagrams

	observer atomic.Pointer[Observer] // nil: there is none
	taking   atomic.Bool              // somebody calls Take

	// atLookup is what the filters' states have counted that were detached. Attach,
	// Detach and Begin are not called at once.
	atLookup flow.Counts

	restMu sync.Mutex        // guards the below
	rest   netlogtype.Counts // of flows that ended had, or has, no room for
}

// NewFlows returns Flows that have counted nothing.
func NewFlows() *Flows {
	f := &Flows{
		refused:   flow.New[sourceRefusals](flow.Config{Limit: maxSources}),
		loose:     flow.New[struct{}](flow.Config{Limit: maxFlows, Refuse: true}),
		ended:     flow.New[netlogtype.Counts](flow.Config{Limit: maxFlows, Refuse: true}),
		datagrams: newDatagrams(),
	}
	f.accounts = filter.Accounts{Began: f.began, Ended: f.end, Adopt: f.adopt}
	f.loose.KeepAccounts(&flow.Accounts[struct{}]{
		Began: func(r *flow.Record[struct{}]) { x := looseFlow(r); f.began(&x) },
		Ended: func(r *flow.Record[struct{}], untaken flow.Counts, now int64) {
			x := looseFlow(r)
			f.end(&x, untaken, now)
		},
	})
	f.ended.OnForget(func(e *flow.Entry[netlogtype.Counts], _ int64) { f.addRest(e.Value) })
	f.refused.OnForget(func(e *flow.Entry[sourceRefusals], now int64) {
		e.Value.each(func(at *refusal) { f.tellRefusedEnded(e.Key(), &e.Value, at, now) })
	})
	return f
}

// Attach makes the accounts of the state those of f, and reports whether they are: they
// are not if another Flows has it. s may be nil.
func (f *Flows) Attach(s *filter.State) bool { return s != nil && s.KeepAccounts(&f.accounts) }

// Detach ends Attach. Flows that go on under another state are counted on.
func (f *Flows) Detach(s *filter.State, now int64) {
	if s == nil {
		return
	}
	counted := s.DropAccounts(&f.accounts, func(x *filter.Flow, untaken flow.Counts) {
		id := x.Key.ID()
		if !f.loose.PutAccount(&id, flow.Claim{Peer: x.Note.Peer}, &x.Account, untaken, now+int64(looseIdle), now) {
			f.end(x, untaken, now)
		}
	})
	f.atLookup = f.atLookup.Add(counted)
}

// looseFlow is a flow of which no state has an entry.
func looseFlow(r *flow.Record[struct{}]) filter.Flow {
	return filter.Flow{Key: r.Key, Expires: r.Expires, Account: r.Account}
}

// adopt gives the account of a flow to the state, which opens it.
func (f *Flows) adopt(id flow.ID) (a flow.Account, untaken flow.Counts, ok bool) {
	if f.loose.Len() == 0 {
		return a, untaken, false
	}
	return f.loose.TakeAccount(&id)
}

// end is told of a flow that ends.
func (f *Flows) end(x *filter.Flow, untaken flow.Counts, now int64) {
	if o := f.observer.Load(); o != nil {
		o.Ended(x, now)
	}
	if f.taking.Load() {
		f.keep(x.Key, &x.Account, untaken)
	}
}

// keep keeps for Take what it has not returned of a flow that ended.
func (f *Flows) keep(k flow.Key, a *flow.Account, untaken flow.Counts) {
	if untaken == (flow.Counts{}) {
		return
	}
	id := filter.WithoutQuery(k).ID()
	counts := netlogtype.Counts(untaken)
	if !f.ended.UpsertID(&id, flow.Claim{Peer: a.Note.Peer}, a.Last, func(e *flow.Entry[netlogtype.Counts], _ bool) flow.Action {
		e.Value = e.Value.Add(counts)
		return flow.Leave
	}) {
		f.addRest(counts)
	}
}

// uncount takes back that the filter counted a packet of size bytes, and reports whether
// it did.
func (t *Target) uncount(c *flow.Counted, size int, way Direction) bool {
	less := Traffic{1, uint64(size)}.counts(way)
	return t.State.Uncount(c, less, func() (done bool) {
		if !t.Flows.taking.Load() {
			return true
		}
		t.Flows.ended.UpdateCounted(c, func(e *flow.Entry[netlogtype.Counts]) {
			if done = flow.Counts(e.Value).Has(less); done {
				e.Value = netlogtype.Counts(flow.Counts(e.Value).Sub(less))
			}
		})
		return done
	})
}

func (f *Flows) addRest(c netlogtype.Counts) {
	f.restMu.Lock()
	f.rest = f.rest.Add(c)
	f.restMu.Unlock()
}

// Target is where packets are entered under one configuration. It does not change.
type Target struct {
	Flows *Flows
	State *filter.State // with accounts of Flows; nil: none
	Peers filter.Peers  // not nil
	// Policy is the Serial of the filter; 0: there is none.
	Policy uint32
	// Tell: Call.Begun is wanted.
	Tell bool
}

// entry is the entering of one call.
type entry struct {
	*Target
	call *Call // nil: refuse is not called
	way  Direction
	now  int64
}

// add adds a run to the counts of its flow. A peer that makes up flows fills its own
// share.
func (t *entry) add(r *Run) {
	switch {
	case r.Packets == 0:
	case r.ID.IsZero():
		t.Flows.addToRest(r, t.way)
	case t.State != nil && t.State.Add(&r.ID, t.way == In, r.Packets, r.Bytes, t.now):
	case !t.Flows.addLoose(r, t.way, t.now, t.Peers):
		t.Flows.addToRest(r, t.way)
	}
}

// addLoose adds the run to a flow of which the state has no entry, if there is room.
func (f *Flows) addLoose(r *Run, way Direction, now int64, peers filter.Peers) bool {
	refresh := func(e *flow.Entry[struct{}], _ bool) flow.Action {
		e.Expires = now + int64(looseIdle)
		return flow.Touch
	}
	if _, known := f.loose.UpdateID(&r.ID, now, nil, func(e *flow.Entry[struct{}]) flow.Action { return refresh(e, false) }); !known {
		k := r.ID.Key()
		peer := peers.PeerOf(k.Peer().Addr())
		if !f.loose.UpsertID(&r.ID, flow.Claim{Peer: peer}, now, refresh) {
			return false
		}
		f.loose.NoteID(&r.ID, flow.Note{Peer: peer}, struct{}{}, now)
	}
	return f.loose.AddID(&r.ID, way == In, r.Packets, r.Bytes, now)
}

func (f *Flows) addToRest(r *Run, way Direction) {
	if !f.taking.Load() {
		return
	}
	f.addRest(netlogtype.Counts(r.counts(way)))
}

// SetTaking says whether Take is going to be called. What was counted before is not
// among what it returns.
func (f *Flows) SetTaking(taking bool, s *filter.State) {
	if f.taking.Load() == taking {
		return
	}
	if taking {
		f.take(s, func(flow.Key, flow.Counts) {})
		f.taking.Store(true)
		return
	}
	f.take(s, func(k flow.Key, c flow.Counts) {
		f.keep(k, &flow.Account{}, c)
	})
	f.taking.Store(false)
}

func (f *Flows) take(s *filter.State, add func(flow.Key, flow.Counts)) {
	if s != nil {
		s.TakeCounts(add)
	}
	f.loose.Take(add)
}

// ConnectionOf returns the connection of a flow. The identifier of an ICMP query is not
// in it.
func ConnectionOf(k flow.Key) netlogtype.Connection {
	k = filter.WithoutQuery(k)
	return netlogtype.Connection{Proto: k.Proto(), Src: k.Host(), Dst: k.Peer()}
}
