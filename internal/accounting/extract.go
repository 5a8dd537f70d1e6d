package accounting

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/netlogtype"
)

// Take returns what was counted since the last call. s is the state of the filter in
// force, with accounts of f, or nil.
func (f *Flows) Take(s *filter.State) map[netlogtype.Connection]netlogtype.Counts {
	var x extract
	if s != nil {
		x.size = s.Untaken()
		s.TakeCounts(func(k flow.Key, c flow.Counts) {
			if k.Proto().IsICMP() {
				x.addAgain(k, netlogtype.Counts(c)) // several queries may be of one connection
			} else {
				x.add(k, netlogtype.Counts(c))
			}
		})
	}
	f.loose.Take(func(k flow.Key, c flow.Counts) { x.addAgain(k, netlogtype.Counts(c)) })
	f.ended.Drain(x.addAgain)
	m := x.finish()
	f.restMu.Lock()
	rest := f.rest
	f.rest = netlogtype.Counts{}
	f.restMu.Unlock()
	if !rest.IsZero() {
		m[netlogtype.Connection{}] = rest
	}
	return m
}

// connCounts is what a connection has carried, or one of its flows.
type connCounts struct {
	conn   netlogtype.Connection
	counts netlogtype.Counts
}

// connMap is what Take returns.
type connMap = map[netlogtype.Connection]netlogtype.Counts

// extract makes the map of Take. Reading the tables and making a map both wait for
// memory, as both are larger than a processor's caches. So a goroutine makes the map of
// more than a part, on another processor if there is one, while the caller reads.
type extract struct {
	size   int          // about how many connections come
	part   []connCounts // for the map, each connection once
	others []connCounts // for the map when it has all parts

	full, empty chan []connCounts // to and from the goroutine; nil: there is none
	made        chan connMap
}

const (
	// partSize is how many connections go to the goroutine at once: 100 kB.
	partSize = 1024
	// parts is how many of them there are.
	parts = 4
)

// add adds a connection that does not come again but by addAgain.
func (x *extract) add(k flow.Key, c netlogtype.Counts) {
	if len(x.part) == cap(x.part) {
		x.nextPart()
	}
	x.part = append(x.part, connCounts{ConnectionOf(k), c})
}

// addAgain adds to a connection that others may be added to.
func (x *extract) addAgain(k flow.Key, c netlogtype.Counts) {
	if c.IsZero() {
		return // all of it was uncounted
	}
	x.others = append(x.others, connCounts{ConnectionOf(k), c})
}

// nextPart makes x.part an empty one.
func (x *extract) nextPart() {
	switch {
	case x.part == nil:
		x.part = make([]connCounts, 0, min(max(x.size, 64), partSize))
		return
	case x.full == nil:
		x.full, x.empty, x.made = make(chan []connCounts, parts), make(chan []connCounts, parts), make(chan connMap)
		for range parts - 1 {
			x.empty <- make([]connCounts, 0, partSize)
		}
		go func() {
			m := make(connMap, x.size)
			for part := range x.full {
				put(m, part)
				x.empty <- part[:0]
			}
			x.made <- m
		}()
	}
	x.full <- x.part
	x.part = <-x.empty
}

// finish returns the map.
func (x *extract) finish() (m connMap) {
	if x.full == nil {
		m = make(connMap, len(x.part)+len(x.others))
		put(m, x.part)
	} else {
		x.full <- x.part
		close(x.full)
		m = <-x.made
	}
	for i := range x.others {
		o := &x.others[i]
		m[o.conn] = m[o.conn].Add(o.counts)
	}
	return m
}

func put(m connMap, part []connCounts) {
	for i := range part {
		m[part[i].conn] = part[i].counts
	}
}
