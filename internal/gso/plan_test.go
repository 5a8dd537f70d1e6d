package gso_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"tstun/internal/gso"
	"tstun/ipproto"
)

// groups returns the packets of each group.
func groups(j *gso.Joiner) (all [][]int) {
	for g := range j.Groups() {
		var members []int
		for i := j.First(g); i >= 0; i = j.After(i) {
			members = append(members, i)
		}
		all = append(all, members)
	}
	return all
}

// What must not be joined is not, whatever it would take to join it.
func TestPlan(t *testing.T) {
	tcp := shape{proto: ipproto.TCP, ttl: 64, df: true, src: [16]byte{10, 0, 0, 1}, dst: [16]byte{10, 0, 0, 2},
		sport: 1, dport: 2, seq: 0xffffff00, ack: 9, flags: 0x10, win: 10, options: []byte{1, 1, 1, 1}}
	udp := shape{proto: ipproto.UDP, ttl: 64, id: 1, src: tcp.src, dst: tcp.dst, sport: 1, dport: 2}
	six := tcp
	six.v6, six.src, six.dst = true, [16]byte{0xfd, 1}, [16]byte{0xfd, 2}
	noChecksum := udp
	noChecksum.noChecksum = true
	withChecksumSix := six
	withChecksumSix.proto = ipproto.UDP
	noChecksumSix := withChecksumSix
	noChecksumSix.noChecksum = true
	data := func(n int) []byte { return bytes.Repeat([]byte{7}, n) }
	// follow returns n packets of size bytes each.
	follow := func(s shape, n, size int) (all []shape) {
		s.payload = data(size)
		for range n {
			all = append(all, s)
			s.seq += uint32(size)
			s.id++
		}
		return all
	}
	alone := [][]int{{0}, {1}, {2}}
	change := func(s shape, f func(*shape)) []shape {
		all := follow(s, 3, 100)
		f(&all[1])
		f(&all[2])
		return all
	}
	second := func(s shape, f func(*shape)) []shape {
		all := follow(s, 3, 100)
		f(&all[1])
		return all
	}
	first := func(s shape, f func(*shape)) []shape {
		all := follow(s, 3, 100)
		f(&all[0])
		return all
	}
	other := func(s shape, port uint16) shape { s.dport = port; return s }
	firstAlone := [][]int{{0}, {1, 2}}
	tests := []struct {
		name string
		in   []shape
		want [][]int
	}{
		{"TCP", follow(tcp, 3, 100), [][]int{{0, 1, 2}}},
		{"TCP over IPv6", follow(six, 3, 100), [][]int{{0, 1, 2}}},
		{"UDP", follow(udp, 3, 100), [][]int{{0, 1, 2}}},
		{"sequence wraps", follow(tcp, 4, 200), [][]int{{0, 1, 2, 3}}},
		{"gap", second(tcp, func(s *shape) { s.seq++ }), alone},
		{"retransmission", []shape{follow(tcp, 1, 100)[0], follow(tcp, 1, 100)[0]}, [][]int{{0}, {1}}},
		{"short one ends", append(follow(tcp, 1, 100), func() []shape {
			all := follow(tcp, 3, 50)
			all[0].seq += 100
			all[1].seq += 100
			all[2].seq += 100
			return all
		}()...), [][]int{{0, 1}, {2, 3}}},
		{"larger one", append(follow(tcp, 1, 100), func() shape { s := tcp; s.seq += 100; s.payload = data(101); return s }()), [][]int{{0}, {1}}},
		{"PSH ends", second(tcp, func(s *shape) { s.flags |= 8 }), [][]int{{0, 1}, {2}}},
		{"PSH at first", first(tcp, func(s *shape) { s.flags |= 8 }), firstAlone},
		{"acknowledgement", change(tcp, func(s *shape) { s.ack++ }), firstAlone},
		{"window", change(tcp, func(s *shape) { s.win++ }), firstAlone},
		{"urgent pointer", change(tcp, func(s *shape) { s.urg = 1 }), firstAlone},
		{"options", change(tcp, func(s *shape) { s.options = []byte{1, 1, 1, 0} }), firstAlone},
		{"more options", change(tcp, func(s *shape) { s.options = make([]byte, 8) }), firstAlone},
		{"FIN", second(tcp, func(s *shape) { s.flags |= 1 }), alone},
		{"SYN", first(tcp, func(s *shape) { s.flags |= 2 }), firstAlone},
		{"RST", second(tcp, func(s *shape) { s.flags |= 4 }), alone},
		{"URG", second(tcp, func(s *shape) { s.flags |= 0x20 }), alone},
		{"ECE", second(tcp, func(s *shape) { s.flags |= 0x40 }), alone},
		{"CWR", second(tcp, func(s *shape) { s.flags |= 0x80 }), alone},
		{"no ACK", change(tcp, func(s *shape) { s.flags = 8 }), alone},
		{"no payload", change(tcp, func(s *shape) { s.payload = nil }), alone},
		{"TOS", change(tcp, func(s *shape) { s.tos = 4 }), firstAlone},
		{"TTL", change(tcp, func(s *shape) { s.ttl = 63 }), firstAlone},
		{"DF", change(tcp, func(s *shape) { s.df = false }), firstAlone},
		{"IPv4 options", second(tcp, func(s *shape) { s.ip = []byte{1, 1, 1, 0} }), alone},
		{"IPv6 options", second(six, func(s *shape) { s.ip = []byte{6, 0, 1, 4, 0, 0, 0, 0} }), alone},
		{"traffic class", change(six, func(s *shape) { s.tos = 4 }), firstAlone},
		{"flow label", change(six, func(s *shape) { s.flow = 4 }), firstAlone},
		{"hop limit", change(six, func(s *shape) { s.ttl = 63 }), firstAlone},
		{"id with DF", change(tcp, func(s *shape) { s.id = 77 }), [][]int{{0, 1, 2}}},
		{"id jumps", second(udp, func(s *shape) { s.id = 77 }), alone},
		{"UDP without checksums", follow(noChecksum, 3, 100), [][]int{{0, 1, 2}}},
		{"UDP without checksums over IPv6", follow(noChecksumSix, 3, 100), alone},
		{"UDP without a checksum from now on", change(udp, func(s *shape) { s.noChecksum = true }), firstAlone},
		{"UDP with a checksum from now on", change(noChecksum, func(s *shape) { s.noChecksum = false }), firstAlone},
		{"UDP with checksums from now on over IPv6", first(withChecksumSix, func(s *shape) { s.noChecksum = true }), firstAlone},
		{"UDP without payload", change(udp, func(s *shape) { s.payload = nil }), alone},
		{"UDP short one ends", []shape{follow(udp, 1, 100)[0], func() shape { s := udp; s.id++; s.payload = data(1); return s }(),
			func() shape { s := udp; s.id += 2; s.payload = data(1); return s }()}, [][]int{{0, 1}, {2}}},
		{"two flows", []shape{follow(tcp, 2, 100)[0], follow(other(tcp, 3), 2, 50)[0], follow(tcp, 2, 100)[1], follow(other(tcp, 3), 2, 50)[1]},
			[][]int{{0, 2}, {1, 3}}},
		{"TCP and UDP", []shape{follow(tcp, 2, 100)[0], follow(udp, 2, 50)[0], follow(tcp, 2, 100)[1], follow(udp, 2, 50)[1]},
			[][]int{{0, 2}, {1, 3}}},
		{"total length", follow(udp, 3, 30_000), [][]int{{0, 1}, {2}}},
		{"segments of UDP", follow(udp, 66, 10), [][]int{until(0, 64), {64, 65}}},
		{"total length, just", []shape{follow(udp, 1, 32754)[0], func() shape { s := udp; s.id++; s.payload = data(32753); return s }()}, [][]int{{0, 1}}},
		{"total length, a byte too much", follow(udp, 2, 32754), [][]int{{0}, {1}}},
		{"pieces of a writev", follow(tcp, 1024, 1), [][]int{until(0, 1022), {1022, 1023}}},
	}
	for _, tt := range tests {
		var pkts [][]byte
		for _, s := range tt.in {
			pkts = append(pkts, s.bytes())
		}
		var j gso.Joiner
		j.Plan(pkts, 0, both)
		if got := groups(&j); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: groups %v, want %v", tt.name, got, tt.want)
		}
		checkPlan(t, &j, pkts, 0)
	}
}

func until(from, to int) (all []int) {
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

// A packet that may belong to any flow is not overtaken.
func TestPlanBarriers(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	s := newStream(r, false, ipproto.TCP)
	one := s.shape
	one.payload = make([]byte, 100)
	two := one
	two.seq += 100
	two.id++
	fragment := one.bytes()
	fragment[6] |= 0x20
	extension := newStream(r, true, ipproto.TCP).shape
	extension.ip = []byte{6, 0, 1, 4, 0, 0, 0, 0}
	for name, tt := range map[string]struct {
		between []byte
		want    string
	}{
		"nothing":       {nil, "[[0 2]]"},
		"fragment":      {fragment, "[[0] [1] [2]]"},
		"no IP":         {[]byte{0x90}, "[[0] [1] [2]]"},
		"ICMP":          {append([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 1, 1}, make([]byte, 18)...), "[[0 2] [1]]"},
		"cut header":    {one.bytes()[:30], "[[0] [1] [2]]"},
		"extension":     {extension.bytes(), "[[0] [1] [2]]"},
		"trailing byte": {append(one.bytes(), 0), "[[0] [1] [2]]"},
	} {
		pkts := [][]byte{one.bytes(), tt.between, two.bytes()}
		var j gso.Joiner
		j.Plan(pkts, 0, both)
		if got := fmt.Sprint(groups(&j)); got != tt.want {
			t.Errorf("%s: groups %s, want %s", name, got, tt.want)
		}
	}
}

// A packet whose header says something that the joined one cannot goes as it is,
// also if its checksums hold.
func TestOddPacketsAreNotJoined(t *testing.T) {
	for _, tt := range []struct {
		name     string
		v6       bool
		proto    ipproto.Proto
		at       int
		old, odd byte
	}{
		{name: "IPv4 length", proto: ipproto.TCP, at: 3, old: 140, odd: 139},
		{name: "IPv6 length", v6: true, proto: ipproto.TCP, at: 5, old: 120, odd: 119},
		{name: "UDP length", proto: ipproto.UDP, at: 25, old: 108, odd: 107},
		{name: "UDP length over IPv6", v6: true, proto: ipproto.UDP, at: 45, old: 108, odd: 107},
		{name: "more fragments", proto: ipproto.UDP, at: 6, odd: 0x20},
		{name: "fragment offset", proto: ipproto.UDP, at: 7, odd: 1},
		{name: "reserved bit of IPv4", proto: ipproto.TCP, at: 6, odd: 0x80},
		{name: "reserved bit of TCP", proto: ipproto.TCP, at: 32, old: 0x50, odd: 0x51},
	} {
		for _, odd := range [][3]bool{{true, false, false}, {false, true, false}, {true, true, true}} {
			s := newStream(rand.New(rand.NewPCG(33, 34)), tt.v6, tt.proto).shape
			s.df, s.options, s.payload = false, nil, make([]byte, 100)
			var pkts [][]byte
			for i := range odd {
				p := s.bytes()
				if p[tt.at] != tt.old {
					t.Fatalf("%s: byte %d is %#x", tt.name, tt.at, p[tt.at])
				}
				if odd[i] {
					p[tt.at] = tt.odd
					mendChecksums(p)
				}
				pkts = append(pkts, p)
				s.seq += 100
				s.id++
			}
			var j gso.Joiner
			j.Plan(pkts, 0, both)
			want := "[[0] [1] [2]]"
			if odd == [3]bool{true, false, false} {
				want = "[[0] [1 2]]"
			}
			if got := fmt.Sprint(groups(&j)); got != want {
				t.Errorf("%s, %v: groups %s, want %s", tt.name, odd, got, want)
			}
		}
	}
}

// A wrong checksum is for the receiver to see: the packet goes as it is.
func TestWrongChecksumsAreNotJoined(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP} {
			s := newStream(rand.New(rand.NewPCG(25, 26)), v6, proto)
			s.df = false
			for bad := range 3 {
				base := s.shape
				base.payload = make([]byte, 100)
				var pkts [][]byte
				for range 3 {
					pkts = append(pkts, base.bytes())
					base.seq += 100
					base.id++
				}
				want := [3]string{"[[0] [1 2]]", "[[0] [1] [2]]", "[[0 1] [2]]"}[bad]
				pkts[bad][len(pkts[bad])-1] ^= 1
				var j gso.Joiner
				j.Plan(pkts, 0, both)
				if got := fmt.Sprint(groups(&j)); got != want {
					t.Errorf("v6 %v, %v, packet %d: groups %s, want %s", v6, proto, bad, got, want)
				}
				if v6 {
					continue
				}
				pkts[bad][len(pkts[bad])-1] ^= 1
				pkts[bad][10] ^= 1 // of the IPv4 header
				j.Plan(pkts, 0, both)
				if got := fmt.Sprint(groups(&j)); got != want {
					t.Errorf("%v, header of packet %d: groups %s, want %s", proto, bad, got, want)
				}
			}
		}
	}
}

// A checksum of 0 is written as 0xffff by UDP alone. Where another packet has
// it so, joining would change its bytes.
func TestZeroChecksums(t *testing.T) {
	for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP} {
		for _, where := range []string{"transport", "IPv4 header"} {
			s := newStream(rand.New(rand.NewPCG(31, 32)), false, proto).shape
			s.df = false
			field, zero := 36, []byte{0, 0}
			if proto == ipproto.UDP {
				field, zero = 26, []byte{0xff, 0xff}
			}
			if where == "IPv4 header" {
				field, zero = 10, []byte{0, 0}
			}
			var pkts [][]byte
			for x := 0; ; x++ { // the first packet, until it has the checksum
				s.payload = make([]byte, 100)
				binary.BigEndian.PutUint16(s.payload, uint16(x))
				s.id = uint16(x)
				if p := s.bytes(); bytes.Equal(p[field:field+2], zero) {
					pkts = append(pkts, p)
					break
				}
			}
			s.seq += 100
			s.id++
			pkts = append(pkts, s.bytes())
			var j gso.Joiner
			j.Plan(pkts, 0, both)
			if together := checkPlan(t, &j, pkts, 0); together != 2 {
				t.Errorf("%v, %s: not joined", proto, where)
			}
			if zero[0] != 0 {
				continue
			}
			pkts[0][field], pkts[0][field+1] = 0xff, 0xff
			j.Plan(pkts, 0, both)
			if together := checkPlan(t, &j, pkts, 0); together != 0 {
				t.Errorf("%v, %s: joined with 0xffff", proto, where)
			}
		}
	}
}

// A datagram without a checksum joins none with one, even where the sum over it is that of
// a right checksum.
func TestNoChecksumIsToldApart(t *testing.T) {
	s := newStream(rand.New(rand.NewPCG(35, 36)), false, ipproto.UDP).shape
	s.payload = make([]byte, 100)
	pkts := [][]byte{s.bytes(), nil}
	s.id++
	for x := 0; pkts[1] == nil; x++ {
		binary.BigEndian.PutUint16(s.payload, uint16(x))
		if p := s.bytes(); p[26] == 0xff && p[27] == 0xff {
			p[26], p[27] = 0, 0
			pkts[1] = p
		}
	}
	var j gso.Joiner
	j.Plan(pkts, 0, both)
	if together := checkPlan(t, &j, pkts, 0); together != 0 {
		t.Error("joined")
	}
}

func TestKindsAreKeptApart(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	tcp, udp := newStream(r, true, ipproto.TCP).shape, newStream(r, true, ipproto.UDP).shape
	tcp.payload, udp.payload = make([]byte, 10), make([]byte, 10)
	later := tcp
	later.seq += 10
	pkts := [][]byte{tcp.bytes(), udp.bytes(), later.bytes(), udp.bytes(), nil}
	for kinds, want := range map[gso.Kinds]string{
		{}:                     "[[0] [1] [2] [3]]",
		{TCP: true}:            "[[0 2] [1] [3]]",
		{UDP: true}:            "[[0] [1 3] [2]]",
		{TCP: true, UDP: true}: "[[0 2] [1 3]]",
	} {
		var j gso.Joiner
		j.Plan(pkts, 0, kinds)
		if got := fmt.Sprint(groups(&j)); got != want {
			t.Errorf("%+v: groups %s, want %s", kinds, got, want)
		}
	}
}
