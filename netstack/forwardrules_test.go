package netstack

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
)

// slowRule is the twin of tcp and udp: all rules, one by one.
func slowRule(rules []ForwardRule, to netip.AddrPort, counts func(*ForwardRule) bool) *ForwardRule {
	for i := range rules {
		r := &rules[i]
		for _, p := range r.Prefixes {
			if p.Contains(to.Addr()) && counts(r) && r.covers(to.Port()) {
				return r
			}
		}
	}
	return nil
}

func randomRules(r *rand.Rand) (rules []ForwardRule) {
	for range r.IntN(8) {
		var rule ForwardRule
		for range 1 + r.IntN(3) {
			a := randomAddr(r)
			rule.Prefixes = append(rule.Prefixes, netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked())
		}
		for range r.IntN(4) {
			first := r.IntN(20) // low ports meet
			rule.Ports = append(rule.Ports, filter.PortRange{First: uint16(first), Last: uint16(first + 1 + r.IntN(10))})
		}
		if r.IntN(4) == 0 {
			rule.Ports = append(rule.Ports, filter.PortRange{First: 65530, Last: 65535})
		}
		if r.IntN(2) == 0 {
			rule.TCP = func(*TCPRequest) {}
		}
		if r.IntN(2) == 0 {
			rule.UDP = func(*UDPRequest) {}
		}
		rules = append(rules, rule)
	}
	return rules
}

// randomAddr is one of few, so that prefixes meet.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)) << 6, byte(r.IntN(4))})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(r.IntN(3)), 15: byte(r.IntN(4))})
}

func TestForwardRulesAgainstSlow(t *testing.T) {
	isTCP := func(r *ForwardRule) bool { return r.TCP != nil }
	isUDP := func(r *ForwardRule) bool { return r.UDP != nil }
	found := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		rules := randomRules(r)
		f := newForwardRules(rules)
		for range 100 {
			port := uint16(r.IntN(40))
			if r.IntN(4) == 0 {
				port = uint16(65525 + r.IntN(11))
			}
			to := netip.AddrPortFrom(randomAddr(r), port)
			if got, want := f.tcp(to), slowRule(f.rules, to, isTCP); got != want {
				t.Fatalf("seed %d: TCP to %v: rule %p, want %p", seed, to, got, want)
			}
			got, want := f.udp(to), slowRule(f.rules, to, isUDP)
			if got != want {
				t.Fatalf("seed %d: UDP to %v: rule %p, want %p", seed, to, got, want)
			}
			if got != nil {
				found++
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d packets met a rule", found)
	}
}

func TestForwardRefusesBadConfig(t *testing.T) {
	good := func() Forward {
		return Forward{Rules: []ForwardRule{{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, TCP: func(*TCPRequest) {}}}}
	}
	tests := []struct {
		name   string
		spoil  func(*Forward)
		naming string
	}{
		{"good", func(*Forward) {}, ""},
		{"no rules", func(f *Forward) { f.Rules = nil }, "no rules"},
		{"no prefix", func(f *Forward) { f.Rules = append(f.Rules, ForwardRule{}) }, "rule 1: no prefixes"},
		{"no handler", func(f *Forward) { f.Rules[0].TCP = nil }, "rule 0: neither"},
		{"bits", func(f *Forward) {
			f.Rules[0].Prefixes = append(f.Rules[0].Prefixes, netip.MustParsePrefix("10.0.0.1/8"))
		}, "rule 0: prefix 1: prefix 10.0.0.1/8 has bits"},
		{"mapped", func(f *Forward) { f.Rules[0].Prefixes[0] = netip.MustParsePrefix("::ffff:1.2.3.4/128") }, "prefix 0"},
		{"ports", func(f *Forward) { f.Rules[0].Ports = []filter.PortRange{{First: 2, Last: 1}} }, "ports 0"},
		{"zero ports", func(f *Forward) { f.Rules[0].Ports = []filter.PortRange{filter.AllPorts, {}} }, "ports 1"},
		{"opening", func(f *Forward) { f.Opening = -1 }, "opening is -1"},
		{"sessions", func(f *Forward) { f.Sessions = -1 }, "sessions is -1"},
		{"idle", func(f *Forward) { f.Idle = -time.Second }, "idle is -1s"},
	}
	for _, tt := range tests {
		w := tstun.Wrap(nil, tstun.NewFake())
		f := good()
		tt.spoil(&f)
		s, err := New(w, Config{Addrs: []netip.Addr{netip.MustParseAddr("100.64.0.1")}, Forward: &f})
		if tt.naming == "" {
			if err != nil {
				t.Error(err)
			} else {
				s.Close()
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.naming) || w.PostFilterIn != nil {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.naming)
		}
		w.Close()
	}
}

func TestForwardIdle(t *testing.T) {
	var f Forward
	if f.idle(53) != DefaultDNSIdle || f.idle(54) != DefaultIdle {
		t.Errorf("%v for DNS, %v for others", f.idle(53), f.idle(54))
	}
	if f.Idle = time.Hour; f.idle(53) != time.Hour {
		t.Errorf("%v for DNS", f.idle(53))
	}
}
