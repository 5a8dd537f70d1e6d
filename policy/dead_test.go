package policy_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tstun/policy"
)

// deadPolicy has the rules, one a line from line 2 on, and what is permitted.
func deadPolicy(permit string, rules ...string) string {
	return `{"hosts": {"web": "10.0.0.1", "web6": "fd00::1", "loop": ["127.0.0.1", "::1"]}, "permit": [` + permit +
		`"mapped"], "local": ["web", "web6", "loop", "fe80::1"], "accept": [` + "\n" + strings.Join(rules, ",\n") + "]}"
}

// TestDeadRules gives each cause for which a rule does nothing.
func TestDeadRules(t *testing.T) {
	const drops = `the rule allows nothing: the filter drops what `
	tests := []struct{ name, permit, rule, want string }{
		{"versions", ``, `{"src": "10.0.0.9", "dst": "web6:1"}`, `2:1: {"src": "10.0.0.9", "dst": "web6:1"}: allows nothing: want a source and a destination of one IP version`},
		{"protocol's version", ``, `{"proto": "icmpv6", "src": "*", "dst": "web"}`, `allows nothing: want a source and a destination of one IP version, and a protocol that it has`},
		{"multicast source", `"multicast", `, `{"src": "224.0.0.1", "dst": "web:1"}`, `2:9: "224.0.0.1": ` + drops + `comes from it (loopback, unspecified, broadcast or reserved) before it asks the rules, unless "permit" has "martian"`},
		{"multicast", ``, `{"src": "*", "dst": "224.0.0.251:5353"}`, `2:21: "224.0.0.251:5353": ` + drops + `is sent to it (multicast) before it asks the rules, unless "permit" has "multicast"`},
		{"link-local source", ``, `{"src": "fe80::/64", "dst": "web6:1"}`, `2:9: "fe80::/64": ` + drops + `comes from it (link-local) before it asks the rules, unless "permit" has "link-local"`},
		{"link-local", ``, `{"src": "*", "dst": "[fe80::1]:1"}`, `is sent to it (link-local)`},
		{"loopback", ``, `{"src": "*", "dst": "loop:1"}`, `2:21: "loop:1": ` + drops + `is sent to it (loopback, unspecified, broadcast or reserved) before it asks the rules, unless "permit" has "martian"`},
		{"broadcast", ``, `{"src": "255.255.255.255", "dst": "web:1"}`, `(loopback, unspecified, broadcast or reserved)`},
		{"not local", ``, `{"src": "*", "dst": ["10.0.0.2:1", "10.0.0.3-10.0.0.4:1"]}`, `2:22: "10.0.0.2:1": the rule allows nothing: none of it is in "local"`},
		{"all is excepted", ``, `{"src": "*", "dst": "web:1", "except": ["web", "web6"]}`, `2:21: "web:1": the rule allows nothing: "except" takes all of it away`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse("f", []byte(deadPolicy(tt.permit, tt.rule)))
			var errs policy.Errors
			if !errors.As(err, &errs) || len(errs) != 1 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestNotes gives what does nothing beside something that does.
func TestNotes(t *testing.T) {
	const live = `{"proto": "tcp", "src": "*", "dst": ["web:80", "web6:80"]}`
	tests := []struct {
		name, permit string
		rules, want  []string
	}{
		{"nothing", ``, []string{live, `{"proto": "udp", "src": "*", "dst": "web:80"}`}, nil},
		{"permitted", `"multicast", "link-local", "martian", `, []string{
			`{"src": ["127.0.0.1", "10.0.0.9", "224.0.0.1"], "dst": ["loop:1", "224.0.0.251:1", "web:1"]}`, `{"src": "fe80::/10", "dst": "[fe80::1]:1"}`,
		}, nil},
		{"one dead source", ``, []string{`{"src": ["10.0.0.9", "127.0.0.0/8"], "dst": "web:1"}`}, []string{
			`f:2:22: "127.0.0.0/8": does nothing here: the filter drops what comes from it (loopback, unspecified, broadcast or reserved) before it asks the rules, unless "permit" has "martian"`,
		}},
		{"one dead destination", ``, []string{`{"src": "*", "dst": ["web:1", "10.0.0.2:1", "[ff02::fb]:1"]}`}, []string{
			`f:2:31: "10.0.0.2:1": does nothing here: none of it is in "local", and the filter drops what is sent elsewhere`,
			`f:2:45: "[ff02::fb]:1": does nothing here: the filter drops what is sent to it (multicast) before it asks the rules, unless "permit" has "multicast"`,
		}},
		{"one without counterpart", ``, []string{`{"src": ["10.0.0.9", "fd00::9"], "dst": "web:1"}`}, []string{
			`f:2:22: "fd00::9": does nothing here: no destination is of its IP version`,
		}},
		{"an except of nothing", ``, []string{`{"src": "*", "dst": "web:1", "except": ["10.0.0.2"]}`}, []string{
			`f:2:41: "10.0.0.2": takes nothing away: it is in no destination`,
		}},
		{"twice", ``, []string{live, live}, []string{`f:3:1: the rule does nothing: the one in line 2 allows all of it`}},
		{"narrow, then wide", ``, []string{`{"proto": "tcp", "src": "10.0.0.0/8", "dst": "web:80"}`, live}, []string{
			`f:2:1: the rule does nothing: the one in line 3 allows all of it`,
		}},
		{"halves", ``, []string{
			`{"proto": "tcp", "src": "10.0.0.0/9", "dst": "web:80"}`, `{"proto": "tcp", "src": "10.64.0.0-10.255.255.255", "dst": "web:80"}`,
			`{"proto": "tcp", "src": "10.0.0.0/8", "dst": "web:80"}`,
		}, []string{`f:4:1: the rule does nothing: others together allow all of it`}},
		{"what differs is dropped", ``, []string{`{"proto": "tcp", "src": "*", "dst": "web:80"}`, `{"proto": "tcp", "src": ["*", "127.0.0.1"], "dst": "web:80"}`}, []string{
			`f:3:1: the rule does nothing: the one in line 2 allows all of it`,
			`f:3:31: "127.0.0.1": does nothing here: the filter drops what comes from it (loopback, unspecified, broadcast or reserved) before it asks the rules, unless "permit" has "martian"`,
		}},
		{"except, and the whole", ``, []string{`{"src": "10.0.0.9", "dst": "*:*", "except": "web6"}`, `{"src": "10.0.0.9", "dst": "*:*"}`}, []string{
			`f:2:1: the rule does nothing: the one in line 3 allows all of it`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Parse("f", []byte(deadPolicy(tt.permit, tt.rules...)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range p.Notes() {
				got = append(got, n.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// TestManyNotes has more notes than are kept.
func TestManyNotes(t *testing.T) {
	p := mustParse(t, "{\"local\": \"*\", \"accept\": [\n"+strings.Repeat(`{"src": "10.0.0.1", "dst": "10.0.0.2:1"},`, 300)+"]}")
	n := p.Notes()
	if len(n) != 101 || !strings.HasSuffix(n[100].String(), "and 199 more notes") || len(p.Notes()) != 101 {
		t.Errorf("%d notes, last %v", len(n), n[len(n)-1])
	}
}

// withoutRules returns a policy of randomPolicy without the rules in the lines.
func withoutRules(text string, lines map[int]bool) string {
	head, rest, _ := strings.Cut(text, `"accept": [`)
	rules := strings.Split(strings.TrimSuffix(rest, "]}"), ",\n")
	var left []string
	for i, r := range rules {
		if !lines[i+1] {
			left = append(left, r)
		}
	}
	return head + `"accept": [` + strings.Join(left, ",\n") + "]}"
}

// checkCovered takes the rules that are said to do nothing out of a random
// policy, which changes nothing, and then any other, which does.
func checkCovered(t *testing.T, p *policy.Policy, text string) (found, needed int) {
	t.Helper()
	covered := make(map[int]bool)
	for _, n := range p.Notes() {
		if strings.HasPrefix(n.Message, "the rule does nothing") {
			covered[n.Line] = true
		}
	}
	rest := mustParse(t, withoutRules(text, covered))
	if changes, err := policy.Diff(p, rest); err != nil || len(changes) > 0 {
		t.Fatalf("%s\nwithout lines %v: %v, %v", text, covered, changes, err)
	}
	for line := 1; line <= strings.Count(text, "\n")+1; line++ {
		if covered[line] {
			continue
		}
		needed++
		also := maps.Clone(covered)
		also[line] = true
		if changes, err := policy.Diff(rest, mustParse(t, withoutRules(text, also))); err != nil || len(changes) == 0 {
			t.Fatalf("%s\nline %d is not said to do nothing: %v, %v", text, line, changes, err)
		}
	}
	return len(covered), needed
}

func TestCoveredBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	found, needed := 0, 0
	for range 300 {
		p, text := randomParsed(r, unedited)
		f, n := checkCovered(t, p, text)
		found, needed = found+f, needed+n
	}
	if found < 20 || needed < 300 {
		t.Errorf("%d rules covered and %d not: the policies are no test", found, needed)
	}
}
