package candidate_test

import (
	"net/netip"
	"testing"

	tailscale "github.com/tailscale/wireguard-go/tun"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/bench/candidate"
	"tstun/bench/memory"
	"tstun/packet"
)

var (
	host  = netip.MustParseAddr("100.64.0.1")
	peer  = netip.MustParseAddr("100.64.0.2")
	other = netip.MustParseAddr("100.64.0.3")
)

const offset = 16

func udp(from netip.Addr, fromPort uint16, to netip.Addr, port uint16) []byte {
	return packet.Generate(packet.UDPHeader{Src: netip.AddrPortFrom(from, fromPort), Dst: netip.AddrPortFrom(to, port)}, make([]byte, 20))
}

// judge tells whether a candidate lets an inbound packet through.
type judge func(t *testing.T, pkt []byte) bool

// judges sets all candidates up with the same rules.
func judges(t *testing.T, s candidate.Setup) map[string]judge {
	t.Helper()
	dev := memory.New[tun.Event](1, [][]byte{udp(host, 1, peer, 2)})
	ours, err := candidate.Tstun(dev, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	theirDev := memory.New[tailscale.Event](1, [][]byte{udp(host, 1, peer, 2)})
	theirs, err := candidate.Tailscale(theirDev, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	nebula, err := candidate.NewNebula(s)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]judge{
		"tstun":     through(ours, dev.Taken),
		"tailscale": through(theirs, theirDev.Taken),
		"nebula":    func(_ *testing.T, pkt []byte) bool { return nebula.Judge(pkt, true) == nil },
	}
}

// through writes packets and looks whether they arrive.
func through(w interface {
	Write(bufs [][]byte, offset int) (int, error)
}, taken func() int) judge {
	return func(t *testing.T, pkt []byte) bool {
		before := taken()
		if _, err := w.Write([][]byte{append(make([]byte, offset), pkt...)}, offset); err != nil {
			t.Error(err)
		}
		return taken() > before
	}
}

// All candidates let in and keep out the same, whatever else they have to do:
// or they would not be comparable.
func TestSameRules(t *testing.T) {
	for name, s := range map[string]candidate.Setup{
		"one rule":          {Rules: 1},
		"many rules":        {Rules: 1000},
		"statistics, hooks": {Rules: 1, Statistics: true, Hook: true},
	} {
		s.Host, s.Peer, s.First, s.Last = host, peer, 80, 81
		for kind, passes := range judges(t, s) {
			for _, tt := range []struct {
				name string
				pkt  []byte
				want bool
			}{
				{"allowed", udp(peer, 1000, host, 80), true},
				{"allowed, last port", udp(peer, 1000, host, 81), true},
				{"another port", udp(peer, 1000, host, 82), false},
				{"another address", udp(other, 1000, host, 80), false},
				{"again", udp(peer, 1000, host, 80), true},
			} {
				if got := passes(t, tt.pkt); got != tt.want {
					t.Errorf("%s, %s, %s: passes: %v, want %v", name, kind, tt.name, got, tt.want)
				}
			}
		}
	}
}
