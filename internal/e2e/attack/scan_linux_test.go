package attack_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

const scanned = "1-600,3306,5353"

// TestScans checks what nmap's scans find out: the ports that the rules
// allow, and nothing about others, though the victim listens there. What the
// victim gets is for allowed ports only, whatever the flags.
func TestScans(t *testing.T) {
	r := newLab(t)
	tests := []struct {
		name, scan string
		want       map[string][]string // those that nmap lists one by one
	}{
		{"SYN", "-sS", map[string][]string{"open": {"22"}, "closed": {"443"}}},
		{"ACK", "-sA", map[string][]string{"unfiltered": {"22", "443"}}},
		{"FIN", "-sF", map[string][]string{"closed": {"443"}}},
		{"XMAS", "-sX", map[string][]string{"closed": {"443"}}},
		{"NULL", "-sN", map[string][]string{"closed": {"443"}}},
		{"Maimon", "-sM", map[string][]string{"closed": {"22", "443"}}},
	}
	for _, victim := range []netip.Addr{victim4, victim6} {
		for _, tt := range tests {
			t.Run(tt.name+" "+victim.String(), func(t *testing.T) {
				got := r.nmap(t, victim, tt.scan, "-p", scanned)
				delete(got, "open|filtered") // nmap lists them if they are few
				if !maps.EqualFunc(got, tt.want, slices.Equal) {
					t.Errorf("nmap %s: %v, want %v", tt.scan, got, tt.want)
				}
				r.wantOnlyAllowed(t)
			})
		}
	}
	r.wantService(t)
}

// wantOnlyAllowed checks everything that the victim ever got against the
// rules.
func (r *lab) wantOnlyAllowed(t *testing.T) {
	t.Helper()
	r.observer.mu.Lock()
	seen := r.observer.seen
	r.observer.mu.Unlock()
	if n := r.breaches.Load(); n > 0 {
		t.Errorf("servers on denied ports were reached %d times", n)
	}
	for _, b := range seen {
		var p packet.Parsed
		p.Decode(b)
		port := p.Dst.Port()
		ok := p.IPProto == ipproto.TCP && (port == openTCP || port == idleTCP) ||
			p.IPProto == ipproto.UDP && port == openUDP ||
			p.IPProto.IsICMP() || p.IPProto == ipproto.Fragment
		if !ok {
			t.Errorf("the victim got %v", &p)
		}
	}
}
