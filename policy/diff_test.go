package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
)

// space is few addresses, protocols and ports, with some that no rule names.
type space struct {
	srcs, dsts []netip.Addr
	hosts      []string // what rules name
}

var spaces = []space{newSpace("10.0.0.%d", "10.9.9.9"), newSpace("fd00::%d", "fd00:9::9")}

func newSpace(format, outside string) (s space) {
	for i := range 8 {
		s.srcs = append(s.srcs, netip.MustParseAddr(fmt.Sprintf(format, i)))
	}
	s.srcs = append(s.srcs, netip.MustParseAddr(outside))
	s.dsts = s.srcs
	bits := s.srcs[0].BitLen()
	for i := range 8 {
		s.hosts = append(s.hosts, s.srcs[i].String(), fmt.Sprintf("%v/%d", s.srcs[i&^3], bits-2), fmt.Sprintf("%v-%v", s.srcs[i/2], s.srcs[4+i/2]))
	}
	s.hosts = append(s.hosts, "*")
	// Some that are dropped before the rules.
	dropped := []string{"127.0.0.1", "169.254.0.1", "224.0.0.1"}
	if bits == 128 {
		dropped = []string{"::1", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"}
	}
	for _, text := range dropped {
		a := netip.MustParseAddr(text)
		s.srcs, s.dsts = append(s.srcs, a), append(s.dsts, a)
		if !a.Is4In6() {
			s.hosts = append(s.hosts, text)
		}
	}
	return s
}

var (
	spaceProtos = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.SCTP, ipproto.ICMPv4, ipproto.ICMPv6, ipproto.GRE, 50}
	spacePorts  = []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 65535}
)

// randomPolicy writes a policy over all spaces.
func randomPolicy(r *rand.Rand) string {
	pick := func(of []string) string { return of[r.IntN(len(of))] }
	hosts := slices.Concat(spaces[0].hosts, spaces[1].hosts)
	list := func(one func() string) string {
		items := make([]string, 1+r.IntN(3))
		for i := range items {
			items[i] = fmt.Sprintf("%q", one())
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	var rules []string
	for range 1 + r.IntN(5) {
		proto, ports := "", []string{"*", "0-1", "1-3", "2,5", "3-7", "65535", "0-65534"}
		switch r.IntN(4) {
		case 0:
			proto = `"proto": ` + list(func() string { return pick([]string{"tcp", "udp", "sctp", "icmp", "icmpv4"}) }) + ", "
		case 1:
			proto, ports = `"proto": ["gre", "50", "tcp"], `, []string{"*"}
		}
		// "*" on either side keeps rules from allowing nothing.
		src, dst := list(func() string { return pick(hosts) }), list(func() string { return "[" + pick(hosts) + "]:" + pick(ports) })
		if r.IntN(2) == 0 {
			src = strings.Replace(src, "]", `, "*"]`, 1)
		} else {
			dst = strings.TrimSuffix(dst, "]") + `, "*:` + pick(ports) + `"]`
		}
		if r.IntN(3) == 0 {
			dst += `, "except": ` + list(func() string { return pick(hosts[:len(hosts)-1]) })
		}
		rules = append(rules, fmt.Sprintf(`{%s"src": %s, "dst": %s}`, proto, src, dst))
	}
	permit := ""
	if r.IntN(2) == 0 {
		permit = `"permit": ` + list(func() string { return pick([]string{"multicast", "link-local", "mapped", "martian"}) }) + ", "
	}
	local := list(func() string { return pick(hosts) })
	if r.IntN(2) == 0 {
		local = `"*"`
	}
	return fmt.Sprintf(`{%s"local": %s, "accept": [%s]}`, permit, local, strings.Join(rules, ",\n"))
}

func mustParse(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("test", []byte(text))
	if err != nil {
		t.Fatalf("%.1000s\n%v", text, err)
	}
	return p
}

// randomParsed returns a random policy that makes sense, and its text.
func randomParsed(r *rand.Rand, edit func(string) string) (*policy.Policy, string) {
	for tries := 0; ; tries++ {
		text := randomPolicy(r)
		if tries < 8 {
			text = edit(text)
		}
		if p, err := policy.Parse("test", []byte(text)); err == nil {
			return p, text
		}
	}
}

func unedited(text string) string { return text }

func mustFilter(t *testing.T, p *policy.Policy) *filter.Filter {
	t.Helper()
	f, err := filter.New(p.Config())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func covers(c policy.Change, src, dst netip.Addr, port uint16, proto ipproto.Proto) bool {
	in := func(a netip.Addr) func(policy.Range) bool {
		return func(r policy.Range) bool {
			return a.BitLen() == r.First.BitLen() && !a.Less(r.First) && !r.Last.Less(a)
		}
	}
	return slices.Contains(c.Protos, proto) && slices.ContainsFunc(c.Srcs, in(src)) && slices.ContainsFunc(c.Dsts, in(dst)) &&
		(!proto.HasPorts() || slices.ContainsFunc(c.Ports, func(r filter.PortRange) bool { return r.First <= port && port <= r.Last }))
}

// TestDiffBruteForce asks the filters of random policies about every flow of
// a small space.
func TestDiffBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rounds := 80
	if testing.Short() {
		rounds = 50
	}
	var changed, same int
	for range rounds {
		old, oldText := randomParsed(r, unedited)
		edit := unedited
		if r.IntN(2) == 0 { // few differences, as edits make
			edit = func(string) string {
				text := strings.Replace(oldText, "tcp", "udp", 1)
				text = strings.Replace(text, "10.0.0.3", "10.0.0.5", 1+r.IntN(3))
				return strings.Replace(text, `"permit": [`, fmt.Sprintf(`"permit": [%q, `, []string{"martian", "link-local"}[r.IntN(2)]), r.IntN(2))
			}
		}
		next, newText := randomParsed(r, edit)
		changes, err := policy.Diff(old, next)
		if err != nil {
			t.Fatal(err)
		}
		c, s := compareAll(t, changes, mustFilter(t, old), mustFilter(t, next))
		changed, same = changed+c, same+s
		if t.Failed() {
			t.Fatalf("old %s\nnew %s\ndiff %v", oldText, newText, changes)
		}
	}
	if changed < 1000 || same < 1000 {
		t.Errorf("%d flows changed and %d did not: the policies are no test", changed, same)
	}
}

func compareAll(t *testing.T, changes []policy.Change, old, next *filter.Filter) (changed, same int) {
	for _, s := range spaces {
		for _, src := range s.srcs {
			for _, dst := range s.dsts {
				for _, proto := range spaceProtos {
					for _, port := range spacePorts {
						was, is := old.Check(src, dst, port, proto), next.Check(src, dst, port, proto)
						if was == filter.DropSilently && is == filter.DropSilently {
							continue // neither policy lets it get as far as the rules
						}
						n := 0
						for _, c := range changes {
							if covers(c, src, dst, port, proto) {
								n++
								if c.Allowed == is.IsDrop() || c.Allowed != was.IsDrop() {
									t.Errorf("%v %v to %v:%d: %v, then %v; but it %v", proto, src, dst, port, was, is, c)
								}
							}
						}
						switch {
						case was.IsDrop() == is.IsDrop():
							same++
						case n != 1:
							t.Errorf("%v %v to %v:%d: %v, then %v; in %d changes", proto, src, dst, port, was, is, n)
						default:
							changed++
						}
					}
				}
			}
		}
	}
	return changed, same
}

func TestDiffText(t *testing.T) {
	const base = `{"local": ["100.64.0.1", "fd7a::1"], "accept": [{"src": "100.64.0.9", "dst": "100.64.0.1:*"}]}`
	rule := func(rules string) string {
		return strings.Replace(base, `"accept": [`, `"accept": [`+rules+",", 1)
	}
	tests := []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", base, base, nil},
		{"a rule twice", base, rule(`{"src": "100.64.0.9", "dst": "100.64.0.1:*"}`), nil},
		{"a rule that another covers", base, rule(`{"src": "100.64.0.9", "dst": "100.64.0.1:80"}`), nil},
		{"both versions", base, rule(`{"proto": "tcp", "src": "*", "dst": ["100.64.0.1:22", "[fd7a::1]:22"]}`), []string{
			"becomes allowed: tcp from 0.0.0.0-100.64.0.8, 100.64.0.10-255.255.255.255 and any IPv6 address to 100.64.0.1 and fd7a::1, port 22",
		}},
		{"no ports", base, rule(`{"proto": ["gre", "icmp"], "src": "10.0.0.0/8", "dst": "100.64.0.1"}`), []string{
			"becomes allowed: icmpv4, gre and icmpv6 from 10.0.0.0/8 to 100.64.0.1",
		}},
		{"not local", base, rule(`{"src": "100.64.0.9", "dst": ["100.64.0.1:*", "100.64.0.7:*"]}`), nil},
		{"loopback", base, rule(`{"src": ["127.0.0.0/8", "100.64.0.9"], "dst": "100.64.0.1:*"}`), nil},
		{"another local", strings.Replace(base, `"100.64.0.1:*"`, `["100.64.0.1:*", "100.64.0.2:80"]`, 1),
			strings.Replace(strings.Replace(base, `"100.64.0.1:*"`, `["100.64.0.1:*", "100.64.0.2:80"]`, 1), `["100.64.0.1"`, `["100.64.0.2"`, 1), []string{
				"becomes allowed: icmpv4 and icmpv6 from 100.64.0.9 to 100.64.0.2",
				"becomes allowed: tcp and udp from 100.64.0.9 to 100.64.0.2, port 80",
				"becomes denied: icmpv4, tcp, udp and icmpv6 from 100.64.0.9 to 100.64.0.1, all ports",
			}},
		{"a wide rule over many", `{"local": "*", "accept": [` + manyRules(2000) + `]}`,
			`{"local": "*", "accept": [` + manyRules(2000) + `{"proto": "tcp", "src": "*", "dst": "10.0.0.0/8:1022"}]}`, []string{
				"becomes allowed: tcp from any IPv4 address to 10.0.0.0/8, port 1022",
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes, err := policy.Diff(mustParse(t, tt.old), mustParse(t, tt.new))
			var got []string
			for _, c := range changes {
				got = append(got, c.String())
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("Diff: %v\ngot  %s\nwant %s", err, strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
			}
			back, err := policy.Diff(mustParse(t, tt.new), mustParse(t, tt.old))
			if err != nil || len(back) != len(changes) {
				t.Errorf("the way back: %v, %v", back, err)
			}
		})
	}
}

// manyRules is n rules from host to host.
func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"src": "10.1.%d.%d", "dst": "10.2.%[1]d.%d:%d"},`, i>>8, i&255, 1+i&255)
	}
	return b.String()
}

// TestBlockedAddresses ties what Diff leaves out to what the filter drops.
func TestBlockedAddresses(t *testing.T) {
	all := filter.NewAllowAll(nil)
	for _, tt := range []struct{ first, last, other string }{
		{"0.0.0.0", "0.255.255.255", "10.0.0.1"}, {"127.0.0.0", "127.255.255.255", "10.0.0.1"},
		{"169.254.0.0", "169.254.255.255", "10.0.0.1"}, {"224.0.0.0", "255.255.255.255", "10.0.0.1"},
		{"::", "::1", "fd00::1"}, {"fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::1"},
		{"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::1"},
	} {
		first, last, other := netip.MustParseAddr(tt.first), netip.MustParseAddr(tt.last), netip.MustParseAddr(tt.other)
		for _, a := range []netip.Addr{first, last} {
			if all.Check(a, other, 80, ipproto.TCP) == filter.Accept || all.Check(other, a, 80, ipproto.TCP) == filter.Accept {
				t.Errorf("the filter passes %v", a)
			}
		}
		for _, a := range []netip.Addr{first.Prev(), last.Next()} {
			if a.IsValid() && all.Check(a, other, 80, ipproto.TCP) != filter.Accept {
				t.Errorf("the filter drops %v", a)
			}
		}
	}
}
