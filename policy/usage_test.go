package policy_test

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"tstun/filter"
	"tstun/policy"
)

// seenFlow returns a flow that was seen, as a policy names it.
func seenFlow(t *testing.T, p *policy.Policy, src, dst, proto string) policy.Seen {
	t.Helper()
	flows, err := p.Flows(src, dst, proto)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Seen{Flow: flows[0], Packets: 2, Bytes: 100}
}

func TestUsage(t *testing.T) {
	p := mustParse(t, `{"local": ["10.0.0.1", "fd00::1"], "accept": [
		{"proto": "tcp", "src": "10.0.0.0/24", "dst": "10.0.0.1:22,80"},
		{"proto": "tcp", "src": "10.0.0.7", "dst": "10.0.0.1:80"},
		{"proto": "udp", "src": "*", "dst": "*:53"},
		{"proto": "udp", "src": "10.0.0.0-10.0.0.9", "dst": "*:53,54"},
		{"src": ["10.0.0.3", "10.0.0.4"], "proto": ["tcp", "udp"], "dst": "10.0.0.1:54"},
		{"src": ["10.0.0.3", "10.0.0.4"], "proto": ["udp"], "dst": "10.0.0.1:53-54"}]}`)
	at := func(s policy.Seen, seconds int64) policy.Seen {
		s.Last = time.Unix(seconds, 0)
		return s
	}
	refused, outbound := seenFlow(t, p, "10.0.0.7", "10.0.0.1:80", "tcp"), seenFlow(t, p, "10.0.0.7", "10.0.0.1:80", "tcp")
	refused.Refused, outbound.Outbound = true, true
	uses, err := p.Usage(slices.Values([]policy.Seen{
		at(seenFlow(t, p, "10.0.0.7", "10.0.0.1:80", "tcp"), 20), at(seenFlow(t, p, "10.0.0.8", "10.0.0.1:80", "tcp"), 10),
		at(seenFlow(t, p, "fd00::7", "[fd00::1]:53", "udp"), 30), refused, outbound,
		seenFlow(t, p, "10.0.0.7", "10.0.0.1:81", "tcp"), // which no rule allows
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.RuleUse{
		{Rule: 0, Flows: 2, Packets: 4, Bytes: 200, Last: time.Unix(20, 0), By: -1},
		{Rule: 1, Covered: true, By: 0},
		{Rule: 2, Flows: 1, Packets: 2, Bytes: 100, Last: time.Unix(30, 0), By: -1},
		{Rule: 3, By: -1},
		{Rule: 4, By: -1},
		{Rule: 5, Covered: true, By: 3},
	}
	if !reflect.DeepEqual(uses, want) {
		t.Errorf("%+v\nwant %+v", uses, want)
	}
}

// TestUsageBruteForce wants each flow to count for the rule that the filter names.
func TestUsageBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	counted := 0
	for range 6 {
		p, text := randomParsed(r, unedited)
		want := make([]int, len(p.Config().Matches))
		var seen []policy.Seen
		f := mustFilter(t, p)
		for flow := range spaceFlows() {
			if flow.Src == flow.Dst.Addr() { // which no filter lets in
				continue
			}
			if i := f.ExplainNew(filter.Inbound, netip.AddrPortFrom(flow.Src, 0), flow.Dst, flow.Proto).Rule; i >= 0 {
				seen = append(seen, policy.Seen{Flow: flow})
				want[i]++
				counted++
			}
		}
		uses, err := p.Usage(slices.Values(seen))
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range uses {
			if u.Flows != want[i] {
				t.Errorf("rule %d has %d flows, want %d: %s", i, u.Flows, want[i], text)
			}
		}
	}
	if counted < 100 {
		t.Errorf("%d flows are no test", counted)
	}
}
