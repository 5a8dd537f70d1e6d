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
		if !sameBut(seg, summed(members[k])) {
			t.Fatalf("packet %d of %d came back differently\n got %x\nwant %x", k, len(members), seg, members[k])
		}
	}
}

// summed returns a datagram over IPv4 that has no checksum with the one that it comes
// back with, and any other packet as it is.
func summed(p []byte) []byte {
	if p[0]>>4 != 4 || p[9] != byte(ipproto.UDP) || p[26] != 0 || p[27] != 0 {
		return p
	}
	p = bytes.Clone(p)
	var src, dst [16]byte
	copy(src[:4], p[12:])
	copy(dst[:4], p[16:])
	setChecksum(p[20:], 6, false, ipproto.UDP, src, dst)
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
			streams[i].noChecksum = streams[i].proto == ipproto.UDP && r.IntN(3) == 0
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
	field := 6
	if proto == ipproto.TCP {
		field = 16
	}
	setChecksum(p[at:], field, p[0]>>4 == 6, proto, src, dst)
}
