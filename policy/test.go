package policy

import (
	"fmt"
	"net/netip"

	"github.com/tailscale/hujson"

	"tstun/filter"
	"tstun/ipproto"
)

// expectation is one destination of a test.
type expectation struct {
	at     Position
	accept bool
	flows  flows
}

// testParts is a test while it is read.
type testParts struct {
	protos  []ipproto.Proto
	srcs    []netip.Prefix
	excepts []netip.Prefix
	found   bool // destinations
	unknown bool // some of what it names, for an error that is noted already
}

func (r *reader) readTest(v *hujson.Value) {
	n := r.policy.names
	t := testParts{protos: []ipproto.Proto{ipproto.TCP}}
	expect := func(accept bool) func(*hujson.Value) {
		return func(v *hujson.Value) {
			t.found = true
			r.texts(v, "a destination", func(text string, v *hujson.Value) {
				r.readExpectation(v, accept, t, text)
			})
		}
	}
	read := func(to *[]netip.Prefix) func(*hujson.Value) {
		return func(v *hujson.Value) {
			before := len(r.errs)
			items := r.addresses(v, n)
			t.unknown = t.unknown || len(r.errs) > before || !allKnown(items)
			*to = joinNets(items)
		}
	}
	r.object(v, "a test",
		field{key: "proto", read: func(v *hujson.Value) { t.protos = r.protocols(v) }},
		field{key: "src", required: true, read: read(&t.srcs)},
		field{key: "except", read: read(&t.excepts)},
		field{key: "accept", read: expect(true)},
		field{key: "deny", read: expect(false)},
	)
	if _, ok := v.Value.(*hujson.Object); ok && !t.found {
		r.errorf(v, `a test has neither "accept" nor "deny"`)
	}
}

// readExpectation adds that the flows of t to the destination text are to be
// accepted, or not.
func (r *reader) readExpectation(v *hujson.Value, accept bool, t testParts, text string) {
	d, ok := r.target(text, v, r.policy.names, t.protos)
	if !ok || t.unknown || len(d.nets) == 0 || len(t.srcs) == 0 || len(t.protos) == 0 || !r.room(v, len(t.srcs)) {
		return // for an error that is noted already
	}
	f := newFlows(t.protos, t.srcs, without(d.nets, t.excepts), d.ports)
	if f.count() == 0 {
		r.errorf(v, "%v", errNoFlow)
		return
	}
	if accept {
		r.trim(&f, t.srcs, d.nets)
	}
	if r.host != "" && r.hostErr == nil {
		if r.leaveOutOthers(&f); f.count() == 0 {
			r.missing = true
			return
		}
	}
	p := r.policy
	p.tests = append(p.tests, expectation{r.position(v.StartOffset), accept, f})
}

// trim leaves out the addresses that the filter drops before it asks the rules,
// but for those that prefixes name alone: nobody who wants flows from
// everywhere to be accepted means those from loopback.
func (r *reader) trim(f *flows, srcs, dsts []netip.Prefix) {
	for i := range f.versions {
		v, sc := &f.versions[i], &r.scopes[i]
		v.src = difference(v.src, difference(sc.dropSrc, named(srcs, i, sc.dropSrc)))
		v.dst = difference(v.dst, difference(sc.dropDst, named(dsts, i, sc.dropDst)))
	}
}

// named returns the prefixes that are inside dropped.
func named(prefixes []netip.Prefix, v int, dropped []span) []span {
	var all []span
	for _, p := range prefixes {
		if s := spanOf(p); version(p) == v && inside(s, dropped) {
			all = append(all, s)
		}
	}
	return normal(all)
}

// leaveOutOthers leaves out the destinations that are local in the file, but
// not for the host that it is read for.
func (r *reader) leaveOutOthers(f *flows) {
	for i := range f.versions {
		others := difference(r.scopes[i].localSpans, r.chosen[i].localSpans)
		f.versions[i].dst = difference(f.versions[i].dst, others)
	}
}

// Tests returns the number of destinations that the file's tests name.
func (p *Policy) Tests() int { return len(p.tests) }

// Failure is a destination of a test that does not hold.
type Failure struct {
	Position // of the destination in the test
	// Flow is the first that is not as the test wants it, in the order of
	// addresses.
	Flow Flow
	// Accept is what the test wants: that the flow is accepted, or denied.
	Accept bool
	// Explanation is what the filter says of the flow.
	Explanation filter.Explanation
	// More is the number of further flows of the same destination that are
	// not as wanted. math.MaxUint64 stands for more, too.
	More uint64
}

// String returns the failure in a line or more.
func (f Failure) String() string {
	want := "denied"
	if f.Accept {
		want = "accepted"
	}
	return fmt.Sprintf("%v: %v is to be %s%s\n%v", f.Position, f.Flow, want, inWordsMore(f.More), f.Explanation)
}

// maxAsked is how many flows of a destination are put to the filter one by one.
// Those of more are computed on the rules, as Diff does.
const maxAsked = 1 << 8

// Test runs the file's tests and returns what does not hold, in the order of
// the file. Few flows are put to a filter of the file's Config, many are
// computed on its rules. An error is ErrTooLarge with a place, or that of
// filter.New, which does not come from a Policy that Parse returned.
func (p *Policy) Test() ([]Failure, error) {
	if len(p.tests) == 0 {
		return nil, nil
	}
	f, err := filter.New(p.Config())
	if err != nil {
		return nil, err
	}
	all := prover{policy: p}
	var failures []Failure
	for _, t := range p.tests {
		bad, err := t.run(f, &all)
		if err != nil {
			return failures, fmt.Errorf("%v: %w", t.at, err)
		}
		if bad.n > 0 {
			failures = append(failures, Failure{t.at, bad.first, t.accept, p.Explain(f, filter.Inbound, bad.first), less(bad.n)})
		}
	}
	return failures, nil
}

// less returns n-1, or n if that is all that can be counted.
func less(n uint64) uint64 {
	if n == ^uint64(0) {
		return n
	}
	return n - 1
}

// failing are flows that are not as a test wants them.
type failing struct {
	first Flow
	n     uint64
}

// add adds n flows of which first comes first.
func (f *failing) add(first Flow, n uint64) {
	if f.n == 0 || first.compare(f.first) < 0 {
		f.first = first
	}
	f.n = plus(f.n, n)
}

func (t expectation) run(f *filter.Filter, all *prover) (bad failing, err error) {
	if t.flows.count() > maxAsked {
		return all.prove(t)
	}
	for flow := range t.flows.all() {
		if f.Check(flow.Src, flow.Dst.Addr(), flow.Dst.Port(), flow.Proto).IsDrop() == t.accept {
			bad.add(flow, 1)
		}
	}
	return bad, nil
}
