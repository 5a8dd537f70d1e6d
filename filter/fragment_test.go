package filter_test

import (
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// cut makes a fragment of a packet of either family.
func cut(b []byte, id uint32, offset, end int) event {
	return in(craft.Cut(b, id, offset, end))
}

// TestFragments: the first fragment decides for all. (docs/lessons.md 8)
func TestFragments(t *testing.T) {
	type piece struct {
		id          uint32
		offset, end int
		port        uint16 // of the first fragment; 0: 80, which is allowed
		want        filter.Reason
	}
	const (
		denied  = filter.ReasonFragmentDenied
		orphan  = filter.ReasonFragmentOrphan
		overlap = filter.ReasonFragmentOverlap
	)
	tests := []struct {
		name   string
		pieces []piece
	}{
		{"in order", []piece{{1, 0, 32, 0, none}, {1, 32, 64, 0, none}, {1, 64, 999, 0, none}}},
		{"later ones in any order", []piece{{1, 0, 32, 0, none}, {1, 64, 999, 0, none}, {1, 32, 64, 0, none}}},
		{"later ones repeated", []piece{{1, 0, 32, 0, none}, {1, 32, 64, 0, none}, {1, 32, 64, 0, none}}},
		{"denied", []piece{{1, 0, 32, 22, noRule}, {1, 32, 64, 0, denied}, {1, 64, 999, 0, denied}}},
		{"the first comes second", []piece{{1, 32, 999, 0, orphan}, {1, 0, 32, 0, none}, {1, 32, 999, 0, none}}},
		{"of another datagram", []piece{{1, 0, 32, 0, none}, {2, 32, 999, 0, orphan}}},
		{"overlaps the first by eight bytes", []piece{{1, 0, 32, 0, none}, {1, 24, 999, 0, overlap}, {1, 32, 999, 0, none}}},
		{"replayed first", []piece{{1, 0, 32, 0, none}, {1, 0, 32, 0, none}, {1, 32, 999, 0, none}}},
		{"replayed first, longer", []piece{{1, 0, 32, 0, none}, {1, 0, 64, 0, overlap}, {1, 32, 999, 0, none}}},
		{"replayed first, shorter", []piece{{1, 0, 32, 0, none}, {1, 0, 24, 0, overlap}, {1, 24, 999, 0, overlap}}},
		{"replayed first for a denied port", []piece{{1, 0, 32, 0, none}, {1, 0, 32, 22, noRule}, {1, 32, 999, 0, denied}}},
		{"a denied first does not hide an allowed one", []piece{{1, 0, 32, 0, none}, {1, 0, 32, 22, noRule},
			{1, 0, 8, 0, overlap}, {1, 8, 32, 0, overlap}, {1, 32, 64, 0, denied}, {1, 0, 32, 0, none}, {1, 32, 64, 0, none}}},
		{"a denied first of another length", []piece{{1, 0, 32, 0, none}, {1, 0, 8, 22, overlap}, {1, 8, 32, 0, overlap}, {1, 32, 64, 0, none}}},
		{"a denied first twice", []piece{{1, 0, 8, 22, noRule}, {1, 0, 32, 22, noRule}, {1, 8, 32, 0, denied}}},
		{"the last fragment ends nothing", []piece{{1, 0, 32, 0, none}, {1, 64, 999, 0, none},
			{1, 0, 8, 0, overlap}, {1, 8, 32, 0, overlap}, {1, 24, 32, 0, overlap}, {1, 32, 64, 0, none}}},
		{"nor does a complete datagram", []piece{{1, 0, 32, 0, none}, {1, 32, 999, 0, none}, {1, 0, 8, 0, overlap}, {1, 8, 32, 0, overlap}}},
		{"lowered in steps", []piece{{1, 0, 64, 0, none}, {1, 0, 56, 0, overlap}, {1, 0, 48, 0, overlap}, {1, 48, 64, 0, overlap}}},
		{"allowed first after a denied one", []piece{{1, 0, 32, 22, noRule}, {1, 0, 64, 0, none}, {1, 32, 64, 0, overlap}, {1, 64, 999, 0, none}}},
		{"identification reused", []piece{{1, 0, 32, 0, none}, {1, 32, 999, 0, none}, {1, 0, 32, 0, none}, {1, 32, 999, 0, none}}},
		{"identification reused, other length", []piece{{1, 0, 32, 0, none}, {1, 32, 999, 0, none}, {1, 0, 48, 0, overlap}, {1, 48, 999, 0, none}}},
	}
	for _, tt := range tests {
		for _, family := range families {
			t.Run(tt.name+"/"+family.name, func(t *testing.T) {
				f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
				for i, p := range tt.pieces {
					e := pair{addrPort(family.ends.host.Addr().String(), 80), family.ends.peer}
					if p.port != 0 {
						e.host = addrPort(e.host.Addr().String(), p.port)
					}
					b := packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, make([]byte, 100))
					if v := judge(f, time.Duration(i), cut(b, p.id, p.offset, p.end), 0); v.Reason != p.want {
						t.Errorf("piece %d, %+v: reason %v", i, p, v.Reason)
					}
				}
			})
		}
	}
}

// A first fragment is a packet like any other: it belongs to its flow.
func TestFirstFragmentFollowsState(t *testing.T) {
	for _, family := range families {
		e := family.ends
		f := newFilter(t, filter.Config{})
		expect(t, f, 0, e.udpOut(), none)
		b := packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, make([]byte, 100))
		expect(t, f, 1, cut(b, 9, 0, 32), none)
		expect(t, f, 1, cut(b, 9, 32, 999), none)

		// Outbound, the first fragment opens the flow and all pass.
		f = newFilter(t, filter.Config{})
		b = packet.Generate(packet.UDPHeader{Src: e.host, Dst: e.peer}, make([]byte, 100))
		expect(t, f, 0, out(cut(b, 9, 32, 999).b), none)
		expect(t, f, 0, e.udpIn(), noRule)
		expect(t, f, 0, out(cut(b, 9, 0, 32).b), none)
		expect(t, f, 0, e.udpIn(), none)
	}
}

func TestFragmentsExpireAndAreBounded(t *testing.T) {
	e := ends4(80, 5000)
	b := packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, make([]byte, 100))
	bad := packet.Generate(packet.UDPHeader{Src: e.peer, Dst: addrPort(host4, 22)}, make([]byte, 100))
	f := newFilter(t, filter.Config{
		Matches: []filter.Match{rule(port(80))},
		Limits:  filter.Limits{Fragments: 20}, // of which one peer has half
	})
	expect(t, f, 0, cut(b, 1, 0, 32), none)
	expect(t, f, minute-1, cut(b, 1, 32, 64), none)
	expect(t, f, minute, cut(b, 1, 64, 999), filter.ReasonFragmentOrphan)

	for id := range uint32(10) {
		expect(t, f, minute, cut(b, 100+id, 0, 32), none)
	}
	expect(t, f, minute+2*time.Second, cut(b, 200, 0, 32), none) // evicts the oldest
	expect(t, f, minute+2*time.Second, cut(b, 100, 32, 999), filter.ReasonFragmentOrphan)
	for id := range uint32(100) { // refused and orphaned ones push out one
		expect(t, f, minute+3*time.Second, cut(bad, 1000+id, 0, 32), noRule)
		expect(t, f, minute+3*time.Second, cut(b, 5000+id, 32, 64), filter.ReasonFragmentOrphan)
	}
	for id := range uint32(8) {
		expect(t, f, minute+4*time.Second, cut(b, 102+id, 32, 999), none)
	}
	expect(t, f, minute+4*time.Second, cut(b, 200, 32, 999), none)
	if s := f.State().Stats().Fragments; s.Entries != 10 || s.Evicted != 101 {
		t.Errorf("fragments: %+v", s)
	}
}

// TestFragmentsCannotRewriteTheHeader: behind a first fragment for an allowed
// port, no fragment passes that would put another header in its place,
// whatever comes between and wherever the transport header is.
func TestFragmentsCannotRewriteTheHeader(t *testing.T) {
	tcp := func(e pair) []byte {
		return packet.Generate(packet.TCPHeader{Src: e.peer, Dst: e.host, Flags: syn}, make([]byte, 120))
	}
	udp := func(e pair) []byte {
		return packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, make([]byte, 120))
	}
	behindOptions := func(make func(pair) []byte, n int) func(pair) []byte {
		return func(e pair) []byte { return extended(make(e), n) }
	}
	tests := []struct {
		name       string
		good, evil func(pair) []byte
		v6Only     bool
	}{
		{"udp", udp, udp, false},
		{"tcp", tcp, tcp, false},
		{"tcp behind one option header", behindOptions(tcp, 1), behindOptions(tcp, 1), true},
		{"tcp behind two option headers", behindOptions(tcp, 2), behindOptions(tcp, 2), true},
		{"udp behind an option header", behindOptions(udp, 1), behindOptions(udp, 1), true},
		{"tcp in place of udp", behindOptions(udp, 1), behindOptions(tcp, 1), true},
	}
	between := map[string]func(e pair) []event{
		"nothing": func(pair) []event { return nil },
		"the last fragment": func(e pair) []event {
			return []event{cut(udp(e), 1, 104, 999)}
		},
		"all the rest": func(e pair) []event {
			return []event{cut(udp(e), 1, 48, 104), cut(udp(e), 1, 104, 999)}
		},
		"a short first": func(e pair) []event { return []event{cut(udp(e), 1, 0, 8)} },
		"the last, then a short first": func(e pair) []event {
			return []event{cut(udp(e), 1, 104, 999), cut(udp(e), 1, 0, 8)}
		},
		"a denied first": func(e pair) []event {
			e.host = netip.AddrPortFrom(e.host.Addr(), 22)
			return []event{cut(udp(e), 1, 0, 48), cut(udp(e), 1, 0, 8)}
		},
		"a denied first, then short ones": func(e pair) []event {
			bad := pair{netip.AddrPortFrom(e.host.Addr(), 22), e.peer}
			return []event{cut(udp(bad), 1, 0, 48), cut(udp(e), 1, 0, 8), cut(udp(e), 1, 0, 16)}
		},
	}
	for _, tt := range tests {
		for _, family := range families {
			if tt.v6Only && family.name != "v6" {
				continue
			}
			for name, events := range between {
				t.Run(tt.name+"/"+family.name+"/"+name, func(t *testing.T) {
					e := family.ends
					evil := pair{netip.AddrPortFrom(e.host.Addr(), 22), e.peer}
					f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
					expect(t, f, 0, cut(tt.good(e), 1, 0, 48), none)
					for _, ev := range events(e) {
						judge(f, 1, ev, 0)
					}
					for offset := 0; offset < 48; offset += 8 {
						for end := offset + 8; end <= 64; end += 8 {
							if v := judge(f, minute-1, cut(tt.evil(evil), 1, offset, end), 0); !v.Response.IsDrop() {
								t.Errorf("%d to %d passes", offset, end)
							}
						}
					}
				})
			}
		}
	}
}

// An identification is free again when the time of its last first fragment is
// over, and not before.
func TestIdentificationReusedAfterTimeout(t *testing.T) {
	for _, family := range families {
		e := family.ends
		b := packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, make([]byte, 100))
		f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}})
		expect(t, f, 0, cut(b, 1, 0, 32), none)
		expect(t, f, 1, cut(b, 1, 32, 999), none)
		expect(t, f, 31*time.Second, cut(b, 1, 0, 48), filter.ReasonFragmentOverlap) // prolongs nothing
		expect(t, f, minute-1, cut(b, 1, 0, 48), filter.ReasonFragmentOverlap)
		expect(t, f, minute, cut(b, 1, 0, 48), none)
		expect(t, f, minute, cut(b, 1, 32, 48), filter.ReasonFragmentOverlap)
		expect(t, f, minute, cut(b, 1, 48, 999), none)
		expect(t, f, 2*minute-1, cut(b, 1, 0, 48), none)
		expect(t, f, 3*minute-2, cut(b, 1, 0, 32), filter.ReasonFragmentOverlap)
		expect(t, f, 3*minute-1, cut(b, 1, 0, 32), none)
	}
}

// TestAllowNoneHoldsFragments: nothing of a datagram passes, whatever the
// order of its fragments.
func TestAllowNoneHoldsFragments(t *testing.T) {
	f := filter.NewAllowNone(nil)
	for _, family := range families {
		e := family.ends
		b := packet.Generate(packet.TCPHeader{Src: e.peer, Dst: e.host, Flags: syn}, make([]byte, 100))
		for offset := 0; offset < 96; offset += 8 {
			for end := offset + 8; end < 128; end += 8 {
				if v := judge(f, 0, cut(b, 1, offset, end), 0); !v.Response.IsDrop() {
					t.Fatalf("%d to %d passes", offset, end)
				}
			}
		}
	}
}
