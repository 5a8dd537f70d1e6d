package lpm

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
)

// slow is the twin: all prefixes, one by one.
type slow map[netip.Prefix]int

func (s slow) lookup(a netip.Addr) (v int, ok bool) {
	best := -1
	for p, value := range s {
		if p.Contains(a.WithZone("")) && p.Bits() > best {
			best, v = p.Bits(), value
		}
	}
	return v, best >= 0
}

// address is one of few, so that prefixes meet.
func address(r *rand.Rand) netip.Addr {
	low := [4]byte{10, byte(r.IntN(3)), byte(r.IntN(256)), byte(r.IntN(256))}
	if r.IntN(2) == 0 {
		return netip.AddrFrom4(low)
	}
	b := [16]byte{0: 0xfd, 7: byte(r.IntN(2))}
	copy(b[12:], low[:])
	if r.IntN(8) == 0 {
		b = netip.AddrFrom4(low).As16() // mapped
	}
	return netip.AddrFrom16(b)
}

func prefix(r *rand.Rand) netip.Prefix {
	a := address(r)
	return netip.PrefixFrom(a, r.IntN(a.BitLen()+1))
}

// TestLookup holds what Table and Set are on the one processor and the other
// against the twin.
func TestLookup(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var (
			trie   bart.Table[int]
			hashed hashedTable[int]
			lite   bart.Lite
			set    hashedSet
			oracle = make(slow)
		)
		for i := range r.IntN(30) {
			p := prefix(r)
			trie.Insert(p, i)
			hashed.Insert(p, i)
			lite.Insert(p)
			set.Insert(p)
			oracle[p.Masked()] = i
		}
		for _, a := range append(addresses(r, 100), netip.Addr{}, netip.MustParseAddr("fd00::1%eth0"), netip.IPv4Unspecified(), netip.IPv6Unspecified()) {
			want, wantOK := oracle.lookup(a)
			for name, lookup := range map[string]func(netip.Addr) (int, bool){"bart": trie.Lookup, "hashed": hashed.Lookup} {
				if got, ok := lookup(a); got != want || ok != wantOK {
					t.Fatalf("seed %d: %s: %v is in %d, %v, want %d, %v", seed, name, a, got, ok, want, wantOK)
				}
			}
			if got := set.Contains(a); got != wantOK || lite.Contains(a) != wantOK {
				t.Fatalf("seed %d: %v: %v by hash, %v in bart, want %v", seed, a, got, lite.Contains(a), wantOK)
			}
		}
		for p, want := range oracle {
			if got, ok := hashed.Get(p); got != want || !ok {
				t.Fatalf("seed %d: Get(%v): %d, %v, want %d", seed, p, got, ok, want)
			}
		}
	}
}

func addresses(r *rand.Rand, n int) (all []netip.Addr) {
	for range n {
		all = append(all, address(r))
	}
	return all
}

func FuzzHashed(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123"), uint32(7))
	f.Fuzz(func(t *testing.T, seeds []byte, host uint32) {
		var table hashedTable[int]
		oracle := make(slow)
		for i := 0; i+5 <= len(seeds) && i < 200; i += 5 {
			a := netip.AddrFrom4([4]byte(seeds[i:]))
			p := netip.PrefixFrom(a, int(seeds[i+4])%33)
			table.Insert(p, i)
			oracle[p.Masked()] = i
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], host)
		for _, a := range []netip.Addr{netip.AddrFrom4(b), netip.AddrFrom16(netip.AddrFrom4(b).As16())} {
			want, wantOK := oracle.lookup(a)
			if got, ok := table.Lookup(a); got != want || ok != wantOK {
				t.Fatalf("%v is in %d, %v, want %d, %v", a, got, ok, want, wantOK)
			}
		}
	})
}

// TestNoAllocation also says for which processors trieAllocates is wrong.
func TestNoAllocation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var (
		table  Table[int]
		set    Set
		hashed hashedTable[int]
		trie   bart.Table[int]
	)
	for i := range 50 {
		p := prefix(r)
		table.Insert(p, i)
		set.Insert(p)
		hashed.Insert(p, i)
		trie.Insert(p, i)
	}
	all, sink := addresses(r, 100), 0
	each := func(f func(netip.Addr)) float64 {
		return testing.AllocsPerRun(10, func() {
			for _, a := range all {
				f(a)
			}
		})
	}
	lookups := map[string]func(netip.Addr){
		"Table.Lookup": func(a netip.Addr) { v, _ := table.Lookup(a); sink += v },
		"by hash":      func(a netip.Addr) { v, _ := hashed.Lookup(a); sink += v },
		"Set.Contains": func(a netip.Addr) {
			if set.Contains(a) {
				sink++
			}
		},
	}
	for name, f := range lookups {
		if n := each(f); n != 0 {
			t.Errorf("%s: %v allocations for %d addresses", name, n, len(all))
		}
	}
	if n := each(func(a netip.Addr) { v, _ := trie.Lookup(a); sink += v }); (n > 0) != trieAllocates {
		t.Errorf("bart allocates %v times for %d addresses, and trieAllocates is %v", n, len(all), trieAllocates)
	}
}

func BenchmarkLookup(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var table Table[int]
	for i := range 1000 {
		table.Insert(prefix(r), i)
	}
	all, i := addresses(r, 1024), 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		table.Lookup(all[i%len(all)])
	}
}
