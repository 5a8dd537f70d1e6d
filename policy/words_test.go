package policy_test

import (
	"net/netip"
	"testing"

	"tstun/policy"
)

// Rules are told in the words of the file.
func TestWords(t *testing.T) {
	p := mustParse(t, `{
		"hosts": {"web": "10.0.0.1", "anna": "10.0.0.2"}, "groups": {"admins": ["anna", "10.0.0.3"]}, "local": "web",
		"accept": [
			{"proto": "tcp", "src": "admins", "dst": ["web:22", "web:80,443"]},
			{"src": ["admins", "10.9.0.0/16"], "dst": "web:53"},
			{"src": ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.1.0.7", "10.1.0.8", "10.1.0.9", "10.1.0.10"], "proto": ["udp", "47"], "dst": "web:*"},
		],
	}`)
	for i, want := range []string{
		"tcp from admins to web:22, web:80,443",
		"tcp,udp,icmp from admins, 10.9.0.0/16 to web:53",
		"udp,47 from 10.1.0.1, 10.1.0.2, 10.1.0.3, 10.1.0.4, 10.1.0.5, 10.1.0.6, 10.1.0.7, 10.1.0.8 and 2 more to web:*",
	} {
		if got := p.Words(i).String(); got != want {
			t.Errorf("rule %d: got %q, want %q", i, got, want)
		}
	}
	p = mustParse(t, `[{"SrcIPs": ["10.0.0.2"], "DstPorts": [{"IP": "10.0.0.1", "Ports": {"First": 22, "Last": 22}}]}]`)
	if got := p.Words(0).String(); got != "tcp,udp,icmp from 10.0.0.2/32 to 10.0.0.1/32:22" {
		t.Errorf("packet filter: %q", got)
	}
}

// Of the names that stand for an address, the one that says most is told.
func TestNames(t *testing.T) {
	p := mustParse(t, `{
		"hosts": {"web": ["10.0.0.1", "fd00::1"], "zoe": "10.0.0.2", "office": "10.0.0.0/24", "site": "10.0.0.0/16", "pool": "10.0.1.1-10.0.1.3"},
		"groups": {"admins": ["zoe"], "all": ["zoe", "10.0.0.7", "site"], "few": ["10.0.0.7"]},
		"local": "web",
	}`)
	names := p.Names()
	for in, want := range map[string]string{
		"10.0.0.1": "web", "fd00::1": "web", "10.0.0.2": "zoe", "10.0.0.7": "few", "10.0.0.9": "office",
		"10.0.1.2": "pool", "10.0.9.9": "site", "192.0.2.1": "", "fd00::2": "",
	} {
		got, ok := names.Of(netip.MustParseAddr(in))
		if got != want || ok != (want != "") {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	if name, ok := (policy.Names{}).Of(netip.MustParseAddr("10.0.0.1")); ok {
		t.Errorf("the zero value knows %q", name)
	}
	if name, ok := names.Of(netip.Addr{}); ok {
		t.Errorf("no address is %q", name)
	}
}
