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

// testCase is a test while it is read.
type testCase struct {
	protos []ipproto.Proto
	srcs   []netip.Prefix
	found  bool // destinations
}

func (s *source) readTest(v *hujson.Value, p *Policy) {
	t := testCase{protos: []ipproto.Proto{ipproto.TCP}}
	expect := func(accept bool) func(*hujson.Value) {
		return func(v *hujson.Value) {
			t.found = true
			s.texts(v, "a destination", func(text string, v *hujson.Value) {
				s.readExpectation(v, p, accept, t, text)
			})
		}
	}
	s.object(v, "a test",
		field{key: "proto", read: func(v *hujson.Value) { t.protos = s.protocols(v) }},
		field{key: "src", required: true, read: func(v *hujson.Value) { t.srcs = s.addresses(v, p.names).list }},
		field{key: "accept", read: expect(true)},
		field{key: "deny", read: expect(false)},
	)
	if _, ok := v.Value.(*hujson.Object); ok && !t.found {
		s.errorf(v, `a test has neither "accept" nor "deny"`)
	}
}

// readExpectation adds that the flows of t to the destination text are to be
// accepted, or not.
func (s *source) readExpectation(v *hujson.Value, p *Policy, accept bool, t testCase, text string) {
	to, err := parseTarget(text, p.names, t.protos)
	if err != nil {
		s.errorf(v, "%v", err)
		return
	}
	if len(t.srcs) == 0 || len(t.protos) == 0 || len(to.nets) == 0 {
		return // for an error that is noted already
	}
	if !s.room(v, len(t.srcs)+len(to.nets)*len(to.ports)) {
		return
	}
	f := newFlows(t.protos, t.srcs, to.append(nil))
	n, err := f.check(maxTested)
	if err != nil {
		s.errorf(v, "%v", err)
		return
	}
	if s.tested += n; s.tested > maxTested {
		s.errorf(v, "from here on, the tests stand for more than %d flows: want fewer addresses or ports", maxTested)
		s.tested = 0
	}
	p.tests = append(p.tests, expectation{s.position(v.StartOffset), accept, f})
}

// Tests returns the number of destinations that the file's tests name.
func (p *Policy) Tests() int { return len(p.tests) }

// Failure is a destination of a test that does not hold.
type Failure struct {
	Position // of the destination in the test
	// Flow is the first that is not as the test wants it.
	Flow Flow
	// Accept is what the test wants: that the flow is accepted, or denied.
	Accept bool
	// Explanation is what the filter says of the flow.
	Explanation filter.Explanation
	// More is the number of further flows of the same destination that are
	// not as wanted.
	More int
}

// String returns the failure in a line or more.
func (f Failure) String() string {
	want := "denied"
	if f.Accept {
		want = "accepted"
	}
	more := ""
	if f.More > 0 {
		more = fmt.Sprintf(" (and %d more flows)", f.More)
	}
	return fmt.Sprintf("%v: %v is to be %s%s\n%v", f.Position, f.Flow, want, more, f.Explanation)
}

// Test puts the flows of the file's tests to a filter of the file's Config and
// returns what does not hold, in the order of the file. An error is that of
// filter.New, which does not come from a Policy that Parse returned.
func (p *Policy) Test() ([]Failure, error) {
	if len(p.tests) == 0 {
		return nil, nil
	}
	f, err := filter.New(p.Config())
	if err != nil {
		return nil, err
	}
	var failures []Failure
	for _, t := range p.tests {
		if failure, failed := t.run(f); failed {
			failures = append(failures, failure)
		}
	}
	return failures, nil
}

func (t expectation) run(f *filter.Filter) (failure Failure, failed bool) {
	for flow := range t.flows.all() {
		drop := f.Check(flow.Src, flow.Dst.Addr(), flow.Dst.Port(), flow.Proto).IsDrop()
		switch {
		case drop != t.accept:
		case failed:
			failure.More++
		default:
			failed = true
			failure = Failure{Position: t.at, Flow: flow, Accept: t.accept}
			failure.Explanation = f.Explain(netip.AddrPortFrom(flow.Src, 0), flow.Dst, flow.Proto)
		}
	}
	return failure, failed
}
