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

var both = gso.Kinds{TCP: true, UDP: true}

// joined puts the group's super-packet together as a writev does.
func joined(j *gso.Joiner, group int, pkts [][]byte, offset int) (gso.Virtio, []byte) {
	header := make([]byte, gso.MaxHeader)
	v := j.Header(group, pkts[j.First(group)][offset:], header)
	super := header[:v.HeaderLen:v.HeaderLen]
	for i := j.First(group); i >= 0; i = j.After(i) {
		super = append(super, pkts[i][offset+int(v.HeaderLen):]...)
	}
	return v, super
}

// split cuts a super-packet.
func split(t testing.TB, v gso.Virtio, super []byte) (segments [][]byte) {
	t.Helper()
	opts, err := v.Options(super)
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	var s gso.Splitter
	if err := s.Reset(super, opts); err != nil {
		t.Fatalf("%+v: %v", opts, err)
	}
	for s.More() {
		seg := make([]byte, s.Size())
		if _, err := s.Next(seg); err != nil {
			t.Fatal(err)
		}
		segments = append(segments, seg)
	}
	return segments
}

// flowOf tells packets apart that must not overtake each other; "" for
// one that may be of any flow.
func flowOf(p []byte) string {
	switch {
	case p[0]>>4 == 4 && p[0]&0xf == 5 && len(p) >= 24 && binary.BigEndian.Uint16(p[6:])&0x3fff == 0:
		return fmt.Sprintf("%d %x", p[9], p[12:24])
	case p[0]>>4 == 6 && len(p) >= 44 && (p[6] == 6 || p[6] == 17):
		return fmt.Sprintf("%d %x", p[6], p[8:44])
	}
	return ""
}

// checkPlan holds every promise of Plan against pkts, and returns how many
// packets were joined to others.
func checkPlan(t testing.TB, j *gso.Joiner, pkts [][]byte, offset int) (together int) {
	t.Helper()
	seen := make(map[int]bool)
	order := make(map[string]int) // flow → last packet
	for g := range j.Groups() {
		members := [][]byte{}
		last := -1
		for i := j.First(g); i >= 0; i = j.After(i) {
			p := pkts[i][offset:]
			if seen[i] || len(p) == 0 || i <= last {
				t.Fatalf("packet %d in group %d: seen %v, %d bytes, after %d", i, g, seen[i], len(p), last)
			}
			seen[i], last = true, i
			members = append(members, p)
			if before, ok := order[flowOf(p)]; ok && before > i && flowOf(p) != "" {
				t.Fatalf("packet %d comes after %d of the same flow", i, before)
			}
			order[flowOf(p)] = i
		}
		if len(members) != j.Len(g) {
			t.Fatalf("group %d: Len %d, %d members", g, j.Len(g), len(members))
		}
		if len(members) == 1 {
			continue
		}
		together += len(members)
		checkJoined(t, j, g, pkts, offset, members)
	}
	for i, p := range pkts {
		if len(p) > offset && !seen[i] {
			t.Fatalf("packet %d is in no group", i)
		}
	}
	return together
}

func checkJoined(t testing.TB, j *gso.Joiner, g int, pkts [][]byte, offset int, members [][]byte) {
	t.Helper()
	v, super := joined(j, g, pkts, offset)
	if len(super) > 65535 {
		t.Fatalf("super-packet of %d bytes", len(super))
	}
	segments := split(t, v, super)
	if len(segments) != len(members) {
		t.Fatalf("%d packets came back as %d: %+v", len(members), len(segments), v)
	}
	for k, seg := range segments {
		if !sameBut(seg, members[k]) {
			t.Fatalf("packet %d of %d came back differently\n got %x\nwant %x", k, len(members), seg, members[k])
		}
	}
}

// stream makes packets of one flow, one after the other.
type stream struct {
	r *rand.Rand
	shape
	mss int
}

func newStream(r *rand.Rand, v6 bool, proto ipproto.Proto) *stream {
	s := &stream{r: r, mss: 1 + r.IntN(1400)}
	s.shape = shape{
		v6: v6, proto: proto, ttl: 64, df: r.IntN(2) == 0, flags: 0x10, win: 500,
		id: uint16(r.Uint32()), seq: r.Uint32(), ack: r.Uint32(), sport: uint16(r.Uint32()), dport: uint16(r.Uint32()),
	}
	for i := range s.src {
		s.src[i], s.dst[i] = byte(r.Uint32()), byte(r.Uint32())
	}
	if proto == ipproto.TCP && r.IntN(2) == 0 {
		s.options = []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8} // timestamps, RFC 7323
	}
	return s
}

// next returns a packet that follows the one before, most of the time.
func (s *stream) next() []byte {
	r := s.r
	n := s.mss
	if r.IntN(10) == 0 {
		n = r.IntN(n + 1)
	}
	now := s.shape
	now.payload = make([]byte, n)
	for i := range now.payload {
		now.payload[i] = byte(r.Uint32())
	}
	s.seq += uint32(n)
	s.id++
	switch r.IntN(40) {
	case 0:
		now.flags |= 1 << r.IntN(8)
	case 1:
		s.ack++
	case 2:
		now.ttl++
	case 3:
		s.id += 7
	case 4:
		s.seq++
	case 5:
		now.ip = []byte{1, 1, 1, 0}
		if now.v6 {
			now.ip = []byte{byte(now.proto), 0, 1, 4, 0, 0, 0, 0}
		}
	case 6:
		now.df = !now.df
	case 7:
		now.noChecksum = true
	case 8:
		now.payload = nil
	}
	p := now.bytes()
	switch r.IntN(40) {
	case 0:
		p[r.IntN(len(p))] ^= 1 << r.IntN(8)
	case 1:
		p = append(p, 0)
	case 2:
		p = p[:r.IntN(len(p))]
	}
	return p
}

func TestJoinedPacketsComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	var j gso.Joiner
	packets, together := 0, 0
	for range 600 {
		streams := make([]*stream, 1+r.IntN(6))
		for i := range streams {
			streams[i] = newStream(r, r.IntN(2) == 0, []ipproto.Proto{ipproto.TCP, ipproto.TCP, ipproto.UDP}[r.IntN(3)])
		}
		offset := r.IntN(20)
		pkts := make([][]byte, r.IntN(129))
		at := 0
		for i := range pkts {
			if r.IntN(8) == 0 { // bursts, and interleaving
				at = r.IntN(len(streams))
			}
			pkts[i] = append(make([]byte, offset), streams[at].next()...)
		}
		before := make([][]byte, len(pkts))
		for i, p := range pkts {
			before[i] = bytes.Clone(p)
		}
		j.Plan(pkts, offset, both)
		together += checkPlan(t, &j, pkts, offset)
		packets += len(pkts)
		for i, p := range pkts {
			if !bytes.Equal(p, before[i]) {
				t.Fatalf("packet %d was changed", i)
			}
		}
	}
	if together < packets/3 {
		t.Errorf("only %d of %d packets were joined", together, packets)
	}
}

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
		{"UDP without checksum", change(udp, func(s *shape) { s.noChecksum = true }), alone},
		{"UDP without payload", change(udp, func(s *shape) { s.payload = nil }), alone},
		{"UDP short one ends", []shape{follow(udp, 1, 100)[0], func() shape { s := udp; s.id++; s.payload = data(1); return s }(),
			func() shape { s := udp; s.id += 2; s.payload = data(1); return s }()}, [][]int{{0, 1}, {2}}},
		{"two flows", []shape{follow(tcp, 2, 100)[0], follow(other(tcp, 3), 2, 50)[0], follow(tcp, 2, 100)[1], follow(other(tcp, 3), 2, 50)[1]},
			[][]int{{0, 2}, {1, 3}}},
		{"TCP and UDP", []shape{follow(tcp, 2, 100)[0], follow(udp, 2, 50)[0], follow(tcp, 2, 100)[1], follow(udp, 2, 50)[1]},
			[][]int{{0, 2}, {1, 3}}},
		{"total length", follow(udp, 3, 30_000), [][]int{{0, 1}, {2}}},
		{"segments of UDP", follow(udp, 66, 10), [][]int{until(0, 64), {64, 65}}},
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
	for name, tt := range map[string]struct {
		between []byte
		want    string
	}{
		"nothing":       {nil, "[[0 2]]"},
		"fragment":      {fragment, "[[0] [1] [2]]"},
		"no IP":         {[]byte{0x90}, "[[0] [1] [2]]"},
		"ICMP":          {append([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 1, 1}, make([]byte, 18)...), "[[0 2] [1]]"},
		"cut header":    {one.bytes()[:30], "[[0] [1] [2]]"},
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

// Any bytes, cut into packets of any lengths: Plan keeps its promises.
func FuzzJoiner(f *testing.F) {
	r := rand.New(rand.NewPCG(29, 30))
	for _, v6 := range []bool{false, true} {
		for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP} {
			s := newStream(r, v6, proto)
			s.mss = 20
			var all []byte
			for range 4 {
				p := s.next()
				all = append(append(all, byte(len(p))), p...)
			}
			f.Add(all, uint8(0), true)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, offset uint8, mend bool) {
		var pkts [][]byte
		for len(in) > 0 {
			n := min(int(in[0]), len(in)-1)
			p := append(make([]byte, offset), in[1:1+n]...)
			if mend {
				mendChecksums(p[offset:])
			}
			pkts = append(pkts, p)
			in = in[1+n:]
		}
		var j gso.Joiner
		j.Plan(pkts, int(offset), both)
		checkPlan(t, &j, pkts, int(offset))
	})
}

// mendChecksums lets a mutated packet get past the verification.
func mendChecksums(p []byte) {
	at := 40
	if len(p) >= 20 && p[0]>>4 == 4 {
		at = int(p[0]&0xf) * 4
		if at < 20 || at > len(p) {
			return
		}
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^slowSum(p[:at], 0))
	}
	if len(p) < at+20 {
		return
	}
	var src, dst [16]byte
	proto := ipproto.Proto(p[9])
	if at == 40 && p[0]>>4 == 6 {
		proto = ipproto.Proto(p[6])
		copy(src[:], p[8:])
		copy(dst[:], p[24:])
	} else {
		copy(src[:4], p[12:])
		copy(dst[:4], p[16:])
	}
	field := p[at+6:]
	if proto == ipproto.TCP {
		field = p[at+16:]
	}
	field[0], field[1] = 0, 0
	c := ^slowSum(p[at:], uint32(slowPseudo(p[0]>>4 == 6, proto, src, dst, len(p)-at)))
	if c == 0 && proto == ipproto.UDP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(field, c)
}
