package packet_test

import (
	"math/rand/v2"
	"testing"

	"tstun/packet"
)

// slowMatch is Match by way of Decode.
func slowMatch(r packet.Run, b []byte) int {
	var p packet.Parsed
	p.Decode(b)
	if other, ok := p.Run(); ok && other == r {
		return len(p.Buffer())
	}
	return 0
}

func checkRun(t *testing.T, first, second []byte) {
	t.Helper()
	var p packet.Parsed
	p.Decode(first)
	r, _ := p.Run() // the zero Run matches nothing either
	if got, want := r.Match(second), slowMatch(r, second); got != want {
		t.Fatalf("Match = %d, want %d\nfirst  %x\nsecond %x", got, want, first, second)
	}
}

// TestRunMatchesLikeDecode spoils one byte after the other of packets of a
// run, cuts them and sets them beside all packets of the tables.
func TestRunMatchesLikeDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for _, cases := range [][]decodeCase{ip4Cases(), option4Cases(), transportCases(), fragment4Cases(), ip6Cases(), extensionCases(), fragment6Cases()} {
		for _, tt := range cases {
			all = append(all, tt.in)
		}
	}
	begun := 0
	for _, first := range [][]byte{udp4(20), udp6(20), tcp4(20), tcp6(20)} {
		if tcp := first[9] == 6 || first[6] == 6; tcp {
			flags := 33
			if first[0]>>4 == 6 {
				flags = 53
			}
			first[flags] = byte(packet.TCPAck)
		}
		checkRun(t, first, first)
		var p packet.Parsed
		p.Decode(first)
		if r, ok := p.Run(); ok && r.Match(first) == len(first) && r.Match(append(first, 1, 2, 3)) == len(first) {
			begun++
		}
		for i := range first {
			for range 20 {
				checkRun(t, first, edit(first, i, byte(rng.Uint32())))
			}
			checkRun(t, first, first[:i])
		}
		for _, other := range all {
			checkRun(t, first, other)
			checkRun(t, other, first)
			checkRun(t, other, other)
		}
	}
	if begun != 4 {
		t.Errorf("%d of 4 packets begin a run and match it", begun)
	}
}

func FuzzRun(f *testing.F) {
	for _, b := range [][]byte{udp4(5), udp6(5), tcp4(5), tcp6(5)} {
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) { checkRun(t, first, second) })
}
