package gso_test

import (
	"math/rand/v2"
	"testing"

	"tstun/internal/gso"
	"tstun/ipproto"
)

// A super-packet of 44 segments of 1,240 bytes: what a tunnel with an MTU of
// 1,280 reads in a bulk transfer. One iteration is one segment.
func BenchmarkSplitter(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP} {
			b.Run(name(v6, proto), func(b *testing.B) {
				s := newStream(rand.New(rand.NewPCG(51, 52)), v6, proto).shape
				s.options = nil
				s.payload = make([]byte, 44*1200)
				super, v := s.bytes(), virtioOf(s, 1200)
				partial(super, s)
				dst := make([][]byte, 128)
				for i := range dst {
					dst[i] = make([]byte, 2048)
				}
				var sp gso.Splitter
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if !sp.More() {
						opts, err := v.Options(super)
						if err == nil {
							err = sp.Reset(super, opts)
						}
						if err != nil {
							b.Fatal(err)
						}
					}
					sp.Next(dst[i%128])
					i++
				}
			})
		}
	}
}

func name(v6 bool, proto ipproto.Proto) string {
	if v6 {
		return proto.String() + "/IPv6"
	}
	return proto.String() + "/IPv4"
}

// A batch of 128 packets of 1,240 bytes, of one flow or of so many that no two
// join. One iteration is one packet; headers are made, payload is not copied.
func BenchmarkJoiner(b *testing.B) {
	for _, flows := range []int{1, 4, 128} {
		b.Run(map[int]string{1: "1 flow", 4: "4 flows", 128: "128 flows"}[flows], func(b *testing.B) {
			r := rand.New(rand.NewPCG(53, 54))
			pkts := make([][]byte, 128)
			shapes := make([]shape, flows)
			for i := range shapes {
				shapes[i] = newStream(r, false, ipproto.TCP).shape
				shapes[i].options, shapes[i].payload = nil, make([]byte, 1200)
			}
			for i := range pkts {
				s := &shapes[i%flows]
				pkts[i] = s.bytes()
				s.seq += 1200
				s.id++
			}
			var j gso.Joiner
			header := make([]byte, gso.MaxHeader)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i%len(pkts) > 0 {
					continue
				}
				j.Plan(pkts, 0, both)
				for g := range j.Groups() {
					if j.Len(g) > 1 {
						j.Header(g, pkts[j.First(g)], header)
					}
				}
			}
		})
	}
}

func TestPlanDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(55, 56))
	var pkts [][]byte
	for i := range 4 {
		s := newStream(r, i%2 == 0, []ipproto.Proto{ipproto.TCP, ipproto.UDP}[i/2])
		for range 32 {
			pkts = append(pkts, s.next())
		}
	}
	var j gso.Joiner
	header := make([]byte, gso.MaxHeader)
	if n := testing.AllocsPerRun(100, func() {
		j.Plan(pkts, 0, both)
		for g := range j.Groups() {
			if j.Len(g) > 1 {
				j.Header(g, pkts[j.First(g)], header)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
