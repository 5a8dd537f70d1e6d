package policy_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"tstun/policy"
)

func TestRecord(t *testing.T) {
	p := mustParse(t, forgotten)
	var seen []policy.Seen
	for i, flows := range [][]policy.Flow{
		namedFlows(t, p, "tcp phone web:80", "tcp laptop web:80", "tcp 192.0.2.7 db:22", "tcp phone web:22", "tcp phone db:99"), // of which a test has one
		namedFlows(t, p, "tcp phone db:5432", "icmp 192.0.2.7 db", "tcp laptop web:443", "tcp phone 100.64.0.10:23"),
	} {
		for _, f := range flows {
			seen = append(seen, policy.Seen{Flow: f, Refused: i == 1})
		}
	}
	seen[0].Outbound = true
	s, err := policy.Record("test", []byte(forgotten), "", seen)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(s.Patch) {
		if strings.HasPrefix(line, "+\t") {
			got = append(got, strings.TrimSpace(line[1:]))
		}
	}
	want := []string{
		`{"src": "fd7a::20", "deny": "web:9000"},`,
		`{"proto": "icmp", "src": "192.0.2.7", "deny": "db"},`,
		`{"proto": "tcp", "src": "phone", "deny": "db:5432"},`,
		`{"proto": "tcp", "src": "192.0.2.7", "accept": "db:22"},`,
		`{"proto": "tcp", "src": "laptop", "accept": "web:80"}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || s.Tests != 4 {
		t.Errorf("%d tests:\n%s", s.Tests, s.Patch)
	}
	// db:99 was let in and web:443 refused, of both versions: the policy says otherwise.
	if len(s.Left) != 3 {
		t.Errorf("left: %v", s.Left)
	}
	checkComments(t, forgotten, string(s.Text))
}

// TestRecordBruteForce records what the filter of a random policy says of flows: that
// makes tests that hold, and nothing is left.
func TestRecordBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 30 {
		_, text := randomParsed(r, unedited)
		text = randomTests(r, text, deniedBy(t, text))
		f := mustFilter(t, mustParse(t, text))
		var seen []policy.Seen
		for flow := range spaceFlows() {
			if isOrdinary(flow) && r.IntN(200) == 0 {
				seen = append(seen, policy.Seen{Flow: flow, Refused: check(f, flow).IsDrop()})
			}
		}
		s, err := policy.Record("test", []byte(text), "", seen)
		if err != nil || len(s.Left) > 0 || s.Tests == 0 {
			t.Fatalf("%v, %+v\n%s", err, s, text)
		}
	}
}
