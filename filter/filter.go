package filter

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"tstun/internal/clock"
	"tstun/internal/lpm"
	"tstun/ipproto"
	"tstun/logger"
)

// Filter judges packets by the rules and the state it was made with. It is
// safe for concurrent use, allocates nothing per packet and never blocks but
// for the short locks of its State. Its rules never change: make a new one,
// with the State of the old.
type Filter struct {
	state  *State
	serial uint32 // its number among all filters
	gen    uint32 // its number among the filters of state
	// keepFrom is, with keep, the number of the first filter whose verdicts f
	// keeps. A flow that a filter between has cut stays cut.
	keepFrom uint32
	rules    scan   // for Explain: which rule allows a flow
	index    *index // for packets: whether a rule does
	local    *lpm.Set
	permit   Permit
	limits   Limits
	log      *eventLog // nil: nothing is logged
	byFlow   rulesByFlow

	keep, loose, shieldsUp bool
}

// New makes a Filter. It does not keep c's slices. Errors name the rule or the
// field that is not valid; rules count from 0.
func New(c Config) (*Filter, error) {
	limits, err := c.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	rules, err := copyRules(c.Matches)
	if err != nil {
		return nil, err
	}
	local, err := prefixSet("Local", c.Local)
	if err != nil {
		return nil, err
	}
	logIPs, err := prefixSet("LogIPs", c.logIPs())
	if err != nil {
		return nil, err
	}
	f := &Filter{
		serial:    serials.Add(1),
		state:     c.State,
		rules:     rules,
		index:     newIndex(rules),
		local:     local,
		permit:    c.Permit,
		limits:    limits,
		keep:      c.Keep,
		loose:     c.LooseTCP,
		shieldsUp: c.ShieldsUp,
	}
	if c.Logf != nil {
		f.log = newEventLog(c.Logf, logIPs)
	}
	if f.state == nil {
		f.state = newState(limits)
	}
	f.gen = f.state.filters.Add(1)
	before := f.state.latest.Swap(f)
	f.state.history.add(before)
	f.keepFrom = before.keptFrom()
	return f, nil
}

// NewAllowAll returns a Filter that allows every flow of every protocol
// between permitted addresses, and that may log all of them to logf. With nil
// logf it logs nothing.
func NewAllowAll(logf logger.Logf) *Filter {
	any := everywhere()
	var protos []ipproto.Proto
	for p := ipproto.Unknown + 1; p < ipproto.Fragment; p++ {
		protos = append(protos, p)
	}
	m := Match{IPProto: protos, Srcs: any}
	for _, net := range any {
		m.Dsts = append(m.Dsts, NetPortRange{Net: net, Ports: AllPorts})
	}
	return must(Config{Matches: []Match{m}, Local: any, LogIPs: any, Logf: logf})
}

// NewAllowNone returns a Filter that allows no flows but those that the host
// opens, and that may log all packets to logf. With nil logf it logs nothing.
func NewAllowNone(logf logger.Logf) *Filter {
	any := everywhere()
	return must(Config{Local: any, LogIPs: any, Logf: logf})
}

// must returns the Filter of one of this file's configurations, which are valid.
func must(c Config) *Filter {
	f, err := New(c)
	if err != nil {
		panic("filter: built-in configuration: " + err.Error())
	}
	return f
}

func everywhere() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}
}

// State returns the state of f, for the Config of its successor.
func (f *Filter) State() *State { return f.state }

// serials numbers the filters of the process.
var serials atomic.Uint32

// Serial returns the number of f, which is greater than that of each Filter that was
// made before it in this process. The first is 1.
func (f *Filter) Serial() uint32 { return f.serial }

// HasLocal reports whether Config.Local named any address. Without one, no
// inbound packet but permitted multicast passes f.
func (f *Filter) HasLocal() bool { return f.local.Size() > 0 }

// keptFrom returns the keepFrom of the filter that succeeds f. f may be nil.
func (f *Filter) keptFrom() uint32 {
	switch {
	case f == nil:
		return 0
	case f.keep:
		return f.keepFrom
	}
	return f.gen
}

// Begin puts f in force from now on, in the place of the filter with the same
// State that judged last. Without it, f is in force from the first packet on that
// it judges.
func (f *Filter) Begin(now int64) {
	s := f.state
	if s.startedAt.Load() == 0 || s.active.Load() == f {
		return // the time of a State starts with the first packet
	}
	if before := s.active.Swap(f); before != f {
		s.history.change(before, f, now)
	}
}

// activate puts f in force, which judges a packet at now.
func (f *Filter) activate(now int64) {
	if f.state.startedAt.Load() == 0 {
		f.state.startedAt.CompareAndSwap(0, max(now, 1))
	}
	f.Begin(now)
}

// Now returns the monotonic time that RunIn and RunOut pass to In, Out and Record,
// in nanoseconds.
func Now() int64 { return clock.Now() }

func prefixSet(field string, prefixes []netip.Prefix) (*lpm.Set, error) {
	set := new(lpm.Set)
	for i, p := range prefixes {
		if err := checkPrefix(p); err != nil {
			return nil, fmt.Errorf("filter: %s[%d]: %w", field, i, err)
		}
		set.Insert(p)
	}
	return set, nil
}
