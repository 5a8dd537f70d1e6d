package tunnel

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A peer is up for 180 s after a handshake.
func TestChanges(t *testing.T) {
	now := time.Unix(1e9, 0)
	a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:2")
	seen := func(age time.Duration, at netip.AddrPort) seenPeer {
		return seenPeer{peerState{handshake: now.Add(-age)}.isUp(now), at}
	}
	fresh, old := 179*time.Second, 180*time.Second
	for _, tt := range []struct {
		was, is seenPeer
		want    []EventKind
	}{
		{seenPeer{}, seen(old, a), nil},
		{seenPeer{peerState{}.isUp(now), a}, seen(fresh, a), []EventKind{PeerUp}},
		{seen(fresh, a), seen(fresh, a), nil},
		{seen(fresh, a), seen(fresh, b), []EventKind{PeerMoved}},
		{seen(fresh, a), seen(old, a), []EventKind{PeerDown}},
		{seen(old, a), seen(fresh, b), []EventKind{PeerMoved, PeerUp}},
	} {
		if got := tt.was.changes(tt.is); !slices.Equal(got, tt.want) {
			t.Errorf("%+v to %+v: got %v, want %v", tt.was, tt.is, got, tt.want)
		}
	}
}
