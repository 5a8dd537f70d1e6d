package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
)

// TestExamples runs the tests in the examples, which must have some.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/policy/*.hujson")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(file, data)
		if err != nil {
			t.Error(err)
			continue
		}
		failures, err := p.Test()
		if err != nil || p.Tests() == 0 {
			t.Errorf("%s: %d tests, %v", file, p.Tests(), err)
		}
		for _, f := range failures {
			t.Error(f)
		}
	}
}

// TestDocuments runs the policies that README.md and Format show.
func TestDocuments(t *testing.T) {
	for file, prefix := range map[string]string{"../README.md": "", "format.txt": "\t"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := "\n"+prefix+"{\n"+prefix+"\t", "\n"+prefix+"}\n"
		_, rest, found := strings.Cut(string(data), begin)
		body, _, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Errorf("%s shows no policy", file)
			continue
		}
		p := mustParse(t, "{"+strings.ReplaceAll(body, "\n"+prefix, "\n")+"}")
		if failures, err := p.Test(); err != nil || len(failures) > 0 || p.Tests() == 0 {
			t.Errorf("%s: %d tests, %v, %v", file, p.Tests(), failures, err)
		}
	}
}

// rulesOf returns the rules in the filter's own words.
func rulesOf(p *policy.Policy) []string {
	var all []string
	for _, m := range p.Config().Matches {
		all = append(all, m.String())
	}
	return all
}

func TestParse(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"default protocols", `{"src": "10.0.0.1", "dst": "10.0.0.2:80"}`, "tcp,udp,icmpv4,icmpv6 from 10.0.0.1/32 to 10.0.0.2/32:80"},
		{"range", `{"src": "10.0.0.1-10.0.0.6", "dst": "10.0.0.2:80"}`, "tcp,udp,icmpv4,icmpv6 from 10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/31, 10.0.0.6/32 to 10.0.0.2/32:80"},
		{"all", `{"proto": "tcp", "src": "*", "dst": "*:*"}`, "tcp from 0.0.0.0/0, ::/0 to 0.0.0.0/0:*, [::/0]:*"},
		{"IPv6", `{"proto": "tcp", "src": "fd00::1", "dst": "[fd00::/64]:1-9"}`, "tcp from fd00::1/128 to [fd00::/64]:1-9"},
		{"ports are joined", `{"proto": "tcp", "src": "10.0.0.1", "dst": "10.0.0.2:80,22,81-90"}`, "tcp from 10.0.0.1/32 to 10.0.0.2/32:22, 10.0.0.2/32:80-90"},
		{"portless", `{"proto": ["gre", "50"], "src": "10.0.0.1", "dst": "10.0.0.2"}`, "gre,proto-50 from 10.0.0.1/32 to 10.0.0.2/32:*"},
		{"names", `{"proto": "tcp", "src": "all", "dst": "a:1"}`, "tcp from 10.0.0.1/32, 10.0.0.2/32 to 10.0.0.1/32:1"},
		{"escapes", `{"proto": "\u0074cp", "src": "\u0061", "dst": "a:1"}`, "tcp from 10.0.0.1/32 to 10.0.0.1/32:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, `{"hosts": {"a": "10.0.0.1", "b": "10.0.0.2"}, "groups": {"all": ["some", "b"], "some": ["a", "a"]},
				"local": "*", "accept": [`+tt.in+`]}`)
			if got := rulesOf(p); len(got) != 1 || got[0] != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			mustFilter(t, p)
		})
	}
}

func TestParsePacketFilter(t *testing.T) {
	p := mustParse(t, `[
		{"SrcIPs": ["100.64.0.1", "10.0.0.0/8", "10.0.0.4-10.0.0.7", "*"], "SrcBits": null,
		 "DstPorts": [{"IP": "100.64.0.2", "Bits": null, "Ports": {"First": 22, "Last": 22}}, {"IP": "*", "Ports": {"First": 0, "Last": 65535}}]},
		{"SrcIPs": ["fd7a::1"], "IPProto": [6, 17], "DstPorts": [{"IP": "fd7a::/48", "Ports": {"First": 80, "Last": 90}}]},
		{"SrcIPs": ["100.64.0.3"], "CapGrant": [{"Dsts": ["100.64.0.2/32"], "CapMap": {"x": null}}]},
	]`)
	want := []string{
		"tcp,udp,icmpv4,icmpv6 from 100.64.0.1/32, 10.0.0.0/8, 10.0.0.4/30, 0.0.0.0/0, ::/0 to 100.64.0.2/32:22, 0.0.0.0/0:*, [::/0]:*",
		"tcp,udp from fd7a::1/128 to [fd7a::/48]:80-90",
	}
	if got := rulesOf(p); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := p.Rule(1); got != (policy.Position{File: "test", Line: 4, Column: 3}) {
		t.Errorf("rule 1 is at %v", got)
	}
	if mustFilter(t, p).Check(netip.MustParseAddr("fd7a::1"), netip.MustParseAddr("fd7a::9"), 85, ipproto.UDP) != filter.Accept {
		t.Error("refused")
	}
}

func TestErrors(t *testing.T) {
	policyWith := func(rest string) string { return `{"hosts": {"web": "10.0.0.1"}, "local": "*", ` + rest + `}` }
	rule := func(r string) string { return policyWith(`"accept": [` + r + `]`) }
	test := func(r string) string { return policyWith(`"tests": [` + r + `]`) }
	tests := []struct{ name, in, want string }{
		{"empty", ``, `1:1: the file is empty: want a policy, such as {"local"`},
		{"neither form", `7`, `1:1: 7: want the policy: an object`},
		{"syntax", "{\n  \"local\": ]}", `2:12: ]}: invalid character ']' at start of value: want HuJSON`},
		{"other language", "local: 1", `1:1: local: 1: invalid literal: local: want HuJSON`},
		{"unclosed list", "{\n \"local\": [\"[\", // {\n", `2:22: the file ends too early: want a ] for the [ in line 2, column 11`},
		{"unclosed object", "{\"local\": [],\n", `1:15: the file ends too early: want a } for the { in line 1, column 1`},
		{"unclosed string", "{\"local\": \"web,\n \"accept\": []}", `1:11: "web,: a string that does not end in its line: want a closing "`},
		{"unclosed string at the end", `{"local": "web}`, `1:16: a string that does not end in its line: want a closing "`},
		{"unclosed comment", `{/* "local": "web"}`, `1:2: /* "local": "web"}: a comment that does not end: want */`},
		{"no quotes", `{"local": 10.0.0.1}`, `1:11: 10.0.0.1}: want double quotes around names and strings, such as "local"`},
		{"single quotes", `{'local': "web"}`, `1:2: 'local': "web"}: want double quotes around names and strings, such as "local"`},
		{"backslash", `{"local": "we\b\x"}`, `a string that JSON does not know: want \\ for a backslash`},
		{"no local", `{}`, `1:1: {}: the policy has no "local"`},
		{"unknown key", policyWith(`"hots": {}`), `"hots": unknown key in the policy: want "hosts", "groups"`},
		{"duplicate key", policyWith(`"local": "web"`), `"local": duplicate key: the first is in line 1`},
		{"duplicate key, other spelling", policyWith(`"loc\u0061l": "web"`), `duplicate key`},
		{"column in characters", "{\"local\": \"*\", /* äöü */ \"x\": 1}", `1:26: "x": unknown key`},
		{"deep", strings.Repeat("[", 1e6), `1:33: [: nested more than 32 deep`},
		{"host of a wrong type", `{"hosts": {"web": 7}, "local": "*"}`, `1:19: 7: want an address: a string`},
		{"host's name", `{"hosts": {"1web": "10.0.0.1"}, "local": "*"}`, `"1web": want a name: a letter`},
		{"host and group", policyWith(`"groups": {"web": "10.0.0.1"}`), `"web": a host has this name too`},
		{"group in itself", policyWith(`"groups": {"a": "b", "b": ["web", "a"]}`), `"a": the group is in itself`},
		{"unknown name", rule(`{"src": "wed", "dst": "web:1"}`), `"wed": no host or group has this name: want one that has, such as web`},
		{"empty list", rule(`{"src": [], "dst": "web:1"}`), `[]: empty: want at least one`},
		{"address", rule(`{"src": "10.0.0.256", "dst": "web:1"}`), `"10.0.0.256": want an address such as`},
		{"mapped", rule(`{"src": "::ffff:10.0.0.1", "dst": "web:1"}`), `maps an IPv4 address: want 10.0.0.1`},
		{"zone", rule(`{"src": "fe80::1%eth0", "dst": "web:1"}`), `has a zone: want fe80::1`},
		{"bits", rule(`{"src": "10.0.0.1/8", "dst": "web:1"}`), `want 10.0.0.0/8 or 10.0.0.1`},
		{"backwards", rule(`{"src": "10.0.0.9-10.0.0.1", "dst": "web:1"}`), `an empty range: want 10.0.0.1-10.0.0.9`},
		{"two versions", rule(`{"src": "10.0.0.9-fd00::1", "dst": "web:1"}`), `a range from one IP version to the other`},
		{"no version in common", rule(`{"src": "fd00::1", "dst": "web:1"}`), `allows nothing: want a source and a destination of one IP version`},
		{"port", rule(`{"src": "*", "dst": "web:65536"}`), `"web:65536": ports "65536": want "*", or ports`},
		{"ports backwards", rule(`{"src": "*", "dst": "web:9-1"}`), `ports "9-1": an empty range: want 1-9`},
		{"no ports", rule(`{"src": "*", "dst": "web"}`), `no ports: want HOST:PORTS`},
		{"brackets", rule(`{"src": "*", "dst": "fd00::1:80"}`), `want HOST:PORTS, such as web:22`},
		{"protocol", rule(`{"proto": "255", "src": "*", "dst": "web:*"}`), `"255": want tcp, udp`},
		{"port zero", rule(`{"src": "*", "dst": "web:0,80"}`), `port 0 alone is no service's`},
		{"ports of gre", rule(`{"proto": ["tcp", "gre"], "src": "*", "dst": "web:80"}`), `gre has no ports: want the ports "*"`},
		{"test without source", test(`{"accept": "web:1"}`), `a test has no "src"`},
		{"test of nothing", test(`{"src": "web"}`), `a test has neither "accept" nor "deny"`},
		{"test without flows", test(`{"src": "fd00::1", "deny": "web:1"}`), `stands for no flow`},
		{"filter: port", `[{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65536}}]}]`, `65536: want a port: a number from 0 to 65535`},
		{"filter: backwards", `[{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 9, "Last": 1}}]}]`, `want {"First": 1, "Last": 9}`},
		{"filter: names", `[{"SrcIPs": ["web"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 1}}]}]`, `"web": want an address such as`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse("f", []byte(tt.in))
			var errs policy.Errors
			if !errors.As(err, &errs) || len(errs) != 1 {
				t.Fatalf("got %v, want one error", err)
			}
			if got := err.Error(); !strings.Contains(got, tt.want) || !strings.HasPrefix(got, "f:") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := policy.Parse("f.hujson", []byte("{\n\"local\": \"*\",\n\"accept\": [\n{\"src\": \"x\",\n\"dst\": \"y:1\",\n\"z\": 1}]}"))
	var errs policy.Errors
	if !errors.As(err, &errs) {
		t.Fatal(err)
	}
	var lines []int
	for _, e := range errs {
		lines = append(lines, e.Line)
	}
	if !slices.Equal(lines, []int{4, 5, 6}) {
		t.Errorf("errors in lines %v\n%v", lines, err)
	}
	var one *policy.Error
	if !errors.As(err, &one) || one.Value != `"x"` || one.Column != 9 {
		t.Errorf("first error: %+v", one)
	}
}

// TestNoErrorsOfErrors gives files with one error each, which spoils a name or
// "local" for other places. These have no errors of their own.
func TestNoErrorsOfErrors(t *testing.T) {
	const uses = `"accept": [{"src": ["web", "10.0.0.9"], "dst": ["web:1", "10.0.0.2:1"], "except": "web"}, {"src": "g", "dst": "*:1"}, {"src": "*", "dst": "g:1"}],
		"tests": [{"src": "web", "deny": "10.0.0.2:1"}, {"src": "*", "deny": "g:1", "except": "10.0.0.9"}]`
	for _, in := range []string{
		`{"hosts": {"web": "10.0.0.300"}, "groups": {"g": "web"}, "local": "*", ` + uses + `}`,
		`{"hosts": {"web": "10.0.0.1"}, "groups": {"g": "wed"}, "local": "g", ` + uses + `}`,
		`{"hosts": {"web": "10.0.0.1"}, "groups": {"g": "web"}, "local": ["10.0.0.300", "10.0.0.3"], ` + uses + `}`,
		`{"hosts": {"web": "10.0.0.1"}, "groups": {"g": "web"}, ` + uses + `}`,
		`{"hosts": {"web": "10.0.0.1"}, "groups": {"g": "g"}, "local": "*", ` + uses + `}`,
	} {
		_, err := policy.Parse("f", []byte(in))
		var errs policy.Errors
		if !errors.As(err, &errs) || len(errs) != 1 {
			t.Errorf("%s\n%v, want one error", in, err)
		}
	}
}

// TestBounds gives files that stand for far more than they say.
func TestBounds(t *testing.T) {
	var chain strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&chain, `"g%d": ["g%d", "10.0.%d.%d"],`, i+1, i, i>>8, i&255)
	}
	var hosts []string
	for i := range 3000 {
		hosts = append(hosts, fmt.Sprintf(`"10.0.%d.%d"`, i>>8, i&255))
	}
	tests := []struct{ name, in, want string }{
		{"chain of groups", `{"groups": {"g0": "10.1.0.0", ` + chain.String() + `}, "local": "*"}`, "4194304 prefixes"},
		{"deep groups", `{"groups": {` + reversed(100) + `"g0": "10.1.0.0"}, "local": "*"}`, "more than 64 deep"},
		{"large group in many rules", `{"groups": {"g": [` + strings.Join(hosts, ",") + `]}, "local": "*", "accept": [` +
			strings.Repeat(`{"src": "g", "dst": "*:1"},`, 2000) + `]}`, "4194304 prefixes"},
		{"many errors", `{"local": [` + strings.Repeat("7,", 1e5) + `]}`, "want a host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse("f", []byte(tt.in))
			var errs policy.Errors
			if !errors.As(err, &errs) || !strings.Contains(err.Error(), tt.want) || len(errs) > 100 {
				t.Errorf("%d errors, %.300v; want %s", len(errs), err, tt.want)
			}
		})
	}
}

// reversed is groups that each hold the next.
func reversed(n int) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		fmt.Fprintf(&b, `"g%d": "g%d",`, i, i-1)
	}
	return b.String()
}

func TestFailures(t *testing.T) {
	p := mustParse(t, `{"hosts": {"web": ["10.0.0.1", "fd00::1"]}, "local": "web", "accept": [{"src": "*", "dst": "web:80-89"}],
"tests": [
 {"src": ["10.9.9.9", "fd00::9"], "accept": "web:85-92", "deny": ["web:80", "web:22"]},
 {"src": "10.9.9.9", "proto": "icmp", "accept": "web", "deny": "10.0.0.2"},
]}`)
	failures, err := p.Test()
	if err != nil || len(failures) != 2 {
		t.Fatalf("got %v, %v", failures, err)
	}
	first, second := failures[0], failures[1]
	if got := first.Flow.String(); got != "tcp from 10.9.9.9 to 10.0.0.1:90" || !first.Accept || first.More != 5 || first.Line != 3 {
		t.Errorf("got %+v", first)
	}
	if first.Explanation.Reason != filter.ReasonNoRule || second.Explanation.Rule != 0 || second.More != 1 || second.Accept {
		t.Errorf("got %+v\n%+v", first.Explanation, second)
	}
}

func TestFlows(t *testing.T) {
	p := mustParse(t, `{"hosts": {"web": ["10.0.0.1", "fd00::1"], "me": "10.0.0.2-10.0.0.3"}, "local": "web"}`)
	tests := []struct{ src, dst, proto, want string }{
		{"me", "web:80", "", "tcp from 10.0.0.2 to 10.0.0.1:80; tcp from 10.0.0.3 to 10.0.0.1:80"},
		{"fd00::2", "web", "icmp", "icmpv6 from fd00::2 to fd00::1"},
		{"10.0.0.9", "10.0.0.1:1-2", "udp", "udp from 10.0.0.9 to 10.0.0.1:1; udp from 10.0.0.9 to 10.0.0.1:2"},
	}
	for _, tt := range tests {
		flows, err := p.Flows(tt.src, tt.dst, tt.proto)
		var got []string
		for _, f := range flows {
			got = append(got, f.String())
		}
		if err != nil || strings.Join(got, "; ") != tt.want {
			t.Errorf("Flows(%q, %q, %q) = %q, %v", tt.src, tt.dst, tt.proto, got, err)
		}
	}
	for _, bad := range [][3]string{{"x", "web:1", ""}, {"me", "web", ""}, {"me", "web:1", "x"}, {"*", "web:1", ""}, {"me", "[fd00::1]:1", ""}} {
		if flows, err := p.Flows(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("Flows(%q) = %v, want an error", bad, flows)
		}
	}
}

// FuzzParse: whatever the bytes are, Parse does not panic, and the filter takes
// what it accepts.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../examples/policy/*.hujson")
	filters, _ := filepath.Glob("testdata/filters/*.json")
	for _, file := range append(files, filters...) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"permit": "martian", "hosts": {"lan": "::1"}, "accept": [{"src": "*", "dst": "*:ssh", "except": "lan"}], "tests": [{"src": "*", "proto": 17, "accept": "lan:1"}], "local": "*"}`))
	f.Add([]byte(`[{"SrcIPs":["*","10.0.0.1-10.0.0.9"],"DstPorts":[{"IP":"fd00::/8","Bits":null,"Ports":{"First":0,"Last":9}}],"IPProto":[6,17]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = policy.ParseFor("f", data, "10.0.0.1")
		p, err := policy.Parse("f", data)
		if err != nil {
			var errs policy.Errors
			if !errors.As(err, &errs) || len(errs) == 0 || errs[0].Line < 1 || errs[0].Column < 1 {
				t.Fatalf("%#v", err)
			}
			return
		}
		if _, err := filter.New(p.Config()); err != nil {
			t.Fatal(err)
		}
		for i := range p.Config().Matches {
			p.Rule(i)
		}
		if changes, err := policy.Diff(p, p); len(changes) > 0 || err != nil {
			t.Fatal(changes, err)
		}
		p.Notes()
		if _, err := p.Test(); err != nil && !errors.Is(err, policy.ErrTooLarge) {
			t.Fatal(err)
		}
	})
}
