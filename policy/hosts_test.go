package policy_test

import (
	"maps"
	"net/netip"
	"testing"

	"tstun/policy"
)

// Only what is one host's own address has its name.
func TestHosts(t *testing.T) {
	p, err := policy.Parse("f", []byte(`{
		"hosts": {"web": ["10.0.0.1", "fd00::1"], "alias": "10.0.0.1", "lab": "10.1.0.0/16"},
		"groups": {"few": ["10.0.0.2", "web"]}, "local": ["web"], "accept": []}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[netip.Addr]string{netip.MustParseAddr("10.0.0.1"): "alias", netip.MustParseAddr("fd00::1"): "web"}
	if got := p.Hosts(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := new(policy.Policy).Hosts(); len(got) != 0 {
		t.Errorf("the zero value has %v", got)
	}
}
