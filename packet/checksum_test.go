package packet_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

// randomBytes returns n random bytes.
func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// randomAddr returns an address that is random in all of its bytes.
func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte(randomBytes(r, 16)))
	}
	return netip.AddrFrom4([4]byte(randomBytes(r, 4)))
}

// newRand returns a source of random numbers that is the same in every run.
func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestChecksum(t *testing.T) {
	tests := []struct {
		name    string
		in      []byte
		initial uint16
		want    uint16
	}{
		{"nothing", nil, 0, 0},
		{"initial alone", nil, 0x1234, 0x1234},
		{"RFC 1071 §3", []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0, 0xddf2},
		{"odd byte is the upper half", []byte{0xab}, 0, 0xab00},
		{"carry", []byte{0xff, 0xff}, 1, 1},
		{"all ones stay", []byte{0xff, 0xff, 0xff, 0xff}, 0xffff, 0xffff},
		{"zeros", make([]byte, 100), 0, 0},
	}
	for _, tt := range tests {
		if got := packet.Checksum(tt.in, tt.initial); got != tt.want {
			t.Errorf("%s: %#04x, want %#04x", tt.name, got, tt.want)
		}
	}
}

// TestChecksumEveryLength compares with the naive sum for all lengths that
// the fast one treats apart, at every alignment.
func TestChecksumEveryLength(t *testing.T) {
	r := newRand()
	buf := randomBytes(r, 300)
	ones := make([]byte, 300)
	for i := range ones {
		ones[i] = 0xff
	}
	for n := range 256 {
		for at := range 9 {
			initial := uint16(r.Uint32())
			for _, b := range [][]byte{buf[at : at+n], ones[at : at+n]} {
				want := slowSum([]byte{byte(initial >> 8), byte(initial)}, b)
				if got := packet.Checksum(b, initial); got != want {
					t.Fatalf("Checksum of %d bytes at %d: %#04x, want %#04x", n, at, got, want)
				}
			}
		}
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, initial uint16) {
		want := slowSum([]byte{byte(initial >> 8), byte(initial)}, b)
		if got := packet.Checksum(b, initial); got != want {
			t.Errorf("Checksum(% x, %#x) = %#04x, want %#04x", b, initial, got, want)
		}
		even := len(b) / 2 &^ 1
		if got := packet.Checksum(b[even:], packet.Checksum(b[:even], initial)); got != want {
			t.Errorf("Checksum in two parts = %#04x, want %#04x", got, want)
		}
	})
}

func TestPseudoHeaderSum(t *testing.T) {
	r := newRand()
	for i := range 1000 {
		v6 := i%2 == 0
		src, dst := randomAddr(r, v6), randomAddr(r, v6)
		n, proto := int(r.Uint32()>>12), ipproto.Proto(r.Uint32())
		want := slowSum(src.AsSlice(), dst.AsSlice(), []byte{0, byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, byte(proto)})
		if got := packet.PseudoHeaderSum(proto, src, dst, n); got != want {
			t.Fatalf("PseudoHeaderSum(%v, %v, %v, %d) = %#04x, want %#04x", proto, src, dst, n, got, want)
		}
	}
	zoned := netip.MustParseAddr("fe80::1%eth0")
	if a, b := packet.PseudoHeaderSum(6, zoned, zoned, 1), packet.PseudoHeaderSum(6, zoned.WithZone(""), zoned.WithZone(""), 1); a != b {
		t.Errorf("a zone changes the sum: %#04x, %#04x", a, b)
	}
}
