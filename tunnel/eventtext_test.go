package tunnel_test

import (
	"net/netip"
	"testing"

	"tstun/tunnel"
)

// TestEventText: an event of changes says what came, what went, and of whom.
func TestEventText(t *testing.T) {
	many := make([]string, 10)
	for i := range many {
		many[i] = "x"
	}
	at := netip.MustParseAddrPort
	for want, e := range map[string]tunnel.Event{
		"laptop: added 10.0.0.0/8, 10.1.0.0/16; removed ::/0": {Kind: tunnel.RoutesChanged, PeerName: "laptop", Added: []string{"10.0.0.0/8", "10.1.0.0/16"}, Removed: []string{"::/0"}},
		"Table is off, was auto":                              {Kind: tunnel.RoutesChanged, Text: "Table is off, was auto"},
		"removed 10.0.0.53; resolv.conf is not followed":      {Kind: tunnel.DNSChanged, Removed: []string{"10.0.0.53"}, Text: "resolv.conf is not followed"},
		"added x, x, x, x, x, x, x, x and 2 more":             {Kind: tunnel.DNSChanged, Added: many},
		"a is at 192.0.2.1:1 now, was at 192.0.2.2:2":         {Kind: tunnel.PeerMoved, PeerName: "a", Endpoint: at("192.0.2.1:1"), Before: at("192.0.2.2:2")},
	} {
		if got := e.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
