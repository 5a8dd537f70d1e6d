package policy_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
)

// TestEverywhere has tests that stand for more flows than can be listed.
func TestEverywhere(t *testing.T) {
	head := `{"hosts": {"web": ["10.0.0.1", "fd00::1"], "lan": "192.168.0.0/16"}, "local": "*", "accept": [
		{"proto": "tcp", "src": "*", "dst": "web:80,443"},
		{"src": "10.0.0.9", "dst": "*:*", "except": "lan"},
	], "tests": [`
	tests := []struct{ name, test, want string }{
		{"denied", `{"src": "*", "deny": ["web:0-21"]}`, "tcp from 10.0.0.9 to 10.0.0.1:0 is to be denied (and 21 more flows)"},
		{"accepted", `{"src": "*", "accept": "web:80,443"}`, ""},
		{"accepted but for one", `{"src": "*", "accept": "web:79-80"}`, "tcp from 1.0.0.0 to 10.0.0.1:79 is to be accepted (and more than 10^19 more flows)"},
		{"denied but for one", `{"src": ["10.0.0.0/9", "fd00::/8"], "deny": "web:22"}`, "tcp from 10.0.0.9 to 10.0.0.1:22 is to be denied\n"},
		{"no such source", `{"src": ["10.1.0.0/16", "fd00::/8"], "proto": ["tcp", "udp", "icmp"], "deny": "web:22"}`, ""},
		{"exit node", `{"src": "10.0.0.9", "accept": "*:*", "except": ["lan", "::/0"]}`, ""},
		{"exit node, all", `{"src": "10.0.0.9", "accept": "0.0.0.0/0:22"}`, "tcp from 10.0.0.9 to 192.168.0.0:22 is to be accepted (and 65535 more flows)"},
		{"exit node, lan", `{"src": "10.0.0.9", "proto": ["tcp", "gre"], "deny": "lan:*"}`, ""},
		{"loopback is not everywhere", `{"src": "10.0.0.9", "proto": "udp", "accept": ["10.0.0.0/8:*", "0.0.0.0-10.0.0.9:5"]}`, ""},
		{"loopback by name", `{"src": "10.0.0.9", "accept": "127.0.0.0/8:1"}`, "tcp from 10.0.0.9 to 127.0.0.0:1 is to be accepted (and 16777215 more flows)"},
		{"by number", `{"src": "*", "proto": 17, "deny": "web:443", "except": "10.0.0.1"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			failures, err := mustParse(t, head+tt.test+"]}").Test()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range failures {
				got = append(got, f.String())
			}
			text := strings.Join(got, "\n")
			if tt.want == "" && text != "" || !strings.Contains(text, tt.want) {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}

// TestAllSources is a test of all sources, that holds.
func TestAllSources(t *testing.T) {
	p := mustParse(t, `{"local":"10.0.0.1","accept":[{"src":"*","dst":"10.0.0.1:443"}],"tests":[{"src":"*","deny":"10.0.0.1:22"}]}`)
	if failures, err := p.Test(); err != nil || len(failures) > 0 {
		t.Error(failures, err)
	}
}

// checkTest compares what one test of many flows says of a policy with what
// the filter says of each flow.
func checkTest(t *testing.T, text string, r *rand.Rand) (failed bool) {
	t.Helper()
	v := r.IntN(2)
	from := func(first, last int) string { return fmt.Sprintf("%v-%v", spaces[v].srcs[first], spaces[v].srcs[last]) }
	src, dst, ports := from(r.IntN(4), 4+r.IntN(4)), from(r.IntN(4), 4+r.IntN(4)), []string{"0-8", "1-9", "*"}[r.IntN(2)]
	verb := []string{"accept", "deny"}[r.IntN(2)]
	protos := []string{`"tcp"`, `["tcp", "udp", "icmp"]`, `["tcp", "udp", "sctp", "icmpv4", 58]`}[r.IntN(3)]
	test := fmt.Sprintf(`{"src": %q, "proto": %s, %q: "[%s]:%s"}`, src, protos, verb, dst, ports)
	p, err := policy.Parse("test", []byte(strings.TrimSuffix(text, "}")+`, "tests": [`+test+"]}"))
	if err != nil {
		t.Fatalf("%s\n%v", test, err)
	}
	failures, err := p.Test()
	if err != nil {
		t.Fatal(err)
	}
	f := mustFilter(t, p)
	n, first := 0, policy.Flow{}
	for _, flow := range flowsOf(v, src, dst, ports, protos) {
		if f.Check(flow.Src, flow.Dst.Addr(), flow.Dst.Port(), flow.Proto).IsDrop() == (verb == "accept") {
			if n++; n == 1 || order(flow, first) < 0 {
				first = flow
			}
		}
	}
	got, gotFirst := 0, policy.Flow{}
	if len(failures) == 1 {
		got, gotFirst = 1+int(failures[0].More), failures[0].Flow
	}
	if len(failures) > 1 || got != n || gotFirst != first {
		t.Fatalf("%s\n%s\ngot  %d, first %v\nwant %d, first %v", text, test, got, gotFirst, n, first)
	}
	return n > 0
}

// order is that of Failure.Flow.
func order(a, b policy.Flow) int {
	return cmp.Or(a.Src.Compare(b.Src), a.Dst.Compare(b.Dst), cmp.Compare(a.Proto, b.Proto))
}

// flowsOf lists the flows of a test that checkTest made.
func flowsOf(v int, src, dst, ports, protos string) (all []policy.Flow) {
	list := map[string][]ipproto.Proto{
		`"tcp"`:                                {ipproto.TCP},
		`["tcp", "udp", "icmp"]`:               {ipproto.ICMPv4, ipproto.TCP, ipproto.UDP, ipproto.ICMPv6},
		`["tcp", "udp", "sctp", "icmpv4", 58]`: {ipproto.ICMPv4, ipproto.TCP, ipproto.UDP, ipproto.ICMPv6, ipproto.SCTP},
	}[protos]
	var low, high int
	fmt.Sscanf(ports, "%d-%d", &low, &high)
	for _, a := range between(src) {
		for _, b := range between(dst) {
			for _, proto := range list {
				if proto == ipproto.ICMPv4 && v == 1 || proto == ipproto.ICMPv6 && v == 0 {
					continue
				}
				if !proto.HasPorts() {
					all = append(all, policy.Flow{Proto: proto, Src: a, Dst: netip.AddrPortFrom(b, 0)})
					continue
				}
				for port := low; port <= high; port++ {
					all = append(all, policy.Flow{Proto: proto, Src: a, Dst: netip.AddrPortFrom(b, uint16(port))})
				}
			}
		}
	}
	return all
}

// between returns the addresses of a range.
func between(text string) (all []netip.Addr) {
	first, last, _ := strings.Cut(text, "-")
	for a := netip.MustParseAddr(first); !netip.MustParseAddr(last).Less(a); a = a.Next() {
		all = append(all, a)
	}
	return all
}

// TestSetsBruteForce runs random tests of random policies.
func TestSetsBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	failed := 0
	const rounds = 400
	for range rounds {
		_, text := randomParsed(r, unedited)
		if checkTest(t, text, r) {
			failed++
		}
	}
	if failed < rounds/10 || failed > rounds*9/10 {
		t.Errorf("%d of %d tests fail: they are no test", failed, rounds)
	}
}

// FuzzSets holds tests, differences and covered rules against the filter, for
// policies and tests that a seed makes.
func FuzzSets(f *testing.F) {
	for _, what := range []string{"0", "1", "2"} {
		f.Add([]byte("0123456789abcdef" + what))
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		seed = append(seed, make([]byte, 17)...)
		r := rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed), binary.BigEndian.Uint64(seed[8:])))
		p, text := randomParsed(r, unedited)
		switch seed[16] % 3 {
		case 0:
			checkTest(t, text, r)
			return
		case 1:
			checkCovered(t, p, text)
			return
		}
		next, _ := randomParsed(r, unedited)
		changes, err := policy.Diff(p, next)
		if err != nil {
			t.Fatal(err)
		}
		compareAll(t, changes, mustFilter(t, p), mustFilter(t, next))
	})
}

// TestExplainExcept says that an exception is why a flow is refused.
func TestExplainExcept(t *testing.T) {
	p := mustParse(t, `{"hosts": {"lan": "192.168.0.0/16"}, "local": "*", "accept": [
		{"proto": "tcp", "src": "10.0.0.8", "dst": "*:*"},
		{"proto": "tcp", "src": "10.0.0.9", "dst": "*:1-99", "except": "lan"}]}`)
	f := mustFilter(t, p)
	tests := []struct{ src, dst, want string }{
		{"10.0.0.9", "192.168.1.1:22", "rule 1 comes nearest: 192.168.1.1 is in its \"except\""},
		{"10.0.0.9", "192.168.1.1:100", "comes nearest: "},
		{"10.0.0.9", "192.169.1.1:22", "accept (rules): rule 1: tcp from 10.0.0.9/32 to 0.0.0.0/0:1-99, [::/0]:1-99 except 192.168.0.0/16"},
		{"10.0.0.8", "192.168.1.1:22", "accept (rules): rule 0: tcp from 10.0.0.8/32"},
	}
	for _, tt := range tests {
		flow := policy.Flow{Proto: ipproto.TCP, Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddrPort(tt.dst)}
		if got := p.Explain(f, filter.Inbound, flow).String(); !strings.Contains(got, tt.want) {
			t.Errorf("%v: got %q, want %q", flow, got, tt.want)
		}
	}
	if e := p.Explain(f, filter.Inbound, policy.Flow{Proto: ipproto.UDP, Src: netip.MustParseAddr("10.0.0.9"), Dst: netip.MustParseAddrPort("192.168.1.1:22")}); strings.Contains(e.Nearest.String(), "except") || e.Reason != filter.ReasonNoRule {
		t.Errorf("got %+v", e)
	}
}

func TestCountsSaturate(t *testing.T) {
	p := mustParse(t, `{"local": "::/0", "tests": [{"src": "fd00::/8", "accept": "[fd00::/8]:*"}]}`)
	failures, err := p.Test()
	if err != nil || len(failures) != 1 || failures[0].More != math.MaxUint64 {
		t.Error(failures, err)
	}
}
