package gso_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/internal/gso"
	"tstun/ipproto"
	"tstun/packet"
)

// super is a super-packet and what its segments should be.
type super struct {
	pkt  []byte
	opts gso.Options
	want [][]byte
}

// makeSuper builds a super-packet with a payload of n bytes, and, each on its
// own and from scratch, the packets that it stands for.
func makeSuper(r *rand.Rand, v6 bool, proto ipproto.Proto, size, n int, flags packet.TCPFlag) super {
	src, dst := randomAddr(r, v6), randomAddr(r, v6)
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(r.Uint32())
	}
	seq, id := r.Uint32(), uint16(r.IntN(0xfffe)+1)
	build := func(data []byte, offset, index int, flags packet.TCPFlag) []byte {
		var h packet.Header = packet.UDPHeader{Src: src, Dst: dst, ID: id + uint16(index)}
		if proto == ipproto.TCP {
			h = packet.TCPHeader{Src: src, Dst: dst, Seq: seq + uint32(offset), Ack: 7, Flags: flags, Window: 99, ID: id + uint16(index)}
		}
		return packet.Generate(h, data)
	}
	s := super{opts: gso.Options{Proto: proto, Transport: 20, Size: size}, pkt: build(payload, 0, 0, flags)}
	if v6 {
		s.opts.Transport = 40
	}
	for at, i := 0, 0; ; i++ {
		end := min(at+size, n)
		f := flags
		if end < n {
			f &^= packet.TCPFin | packet.TCPPsh
		}
		if i > 0 {
			f &^= packet.TCPCWR
		}
		s.want = append(s.want, build(payload[at:end], at, i, f))
		if at = end; at == n {
			break
		}
	}
	if !v6 {
		for _, w := range append(s.want, s.pkt) {
			clearDF(w)
		}
	}
	spoil(s.pkt, s.opts)
	return s
}

// clearDF makes all packets agree on the flags, which Generate derives from
// an ID that may wrap to 0.
func clearDF(p []byte) {
	p[6], p[10], p[11] = 0, 0, 0
	binary.BigEndian.PutUint16(p[10:], ^packet.Checksum(p[:20], 0))
}

// spoil puts nonsense where a stack with offloads leaves the work to others.
func spoil(p []byte, o gso.Options) {
	if p[0]>>4 == 4 {
		p[10], p[11] = 0xaa, 0xbb
	}
	sum := o.Transport + 16
	if o.Proto == ipproto.UDP {
		sum = o.Transport + 6
	}
	p[sum], p[sum+1] = 0xcc, 0xdd
}

func randomAddr(r *rand.Rand, v6 bool) netip.AddrPort {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	a := netip.AddrFrom16(b)
	if !v6 {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrPortFrom(a, uint16(r.Uint32()))
}

func TestSplitEqualsSegmentsBuiltSingly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	flagSets := []packet.TCPFlag{
		packet.TCPAck,
		packet.TCPAck | packet.TCPPsh | packet.TCPFin,
		packet.TCPAck | packet.TCPCWR | packet.TCPECNEcho,
	}
	for i := range 600 {
		v6, proto := i%2 == 0, ipproto.TCP
		if i%3 == 0 {
			proto = ipproto.UDP
		}
		size := 1 + r.IntN(3000)
		n := r.IntN(20_000)
		s := makeSuper(r, v6, proto, size, n, flagSets[i%len(flagSets)])
		var sp gso.Splitter
		if err := sp.Reset(s.pkt, s.opts); err != nil {
			t.Fatalf("%d: Reset: %v", i, err)
		}
		dst := make([]byte, 70_000)
		for j, want := range s.want {
			if got := sp.Size(); got != len(want) {
				t.Fatalf("%d: segment %d: Size = %d, want %d", i, j, got, len(want))
			}
			n, err := sp.Next(dst)
			if err != nil || !bytes.Equal(dst[:n], want) {
				t.Fatalf("%d: segment %d of %d (%v, v6 %v, size %d): %v\n got %x\nwant %x",
					i, j, len(s.want), proto, v6, size, err, dst[:min(n, 80)], want[:min(len(want), 80)])
			}
		}
		if sp.More() {
			t.Fatalf("%d: more than %d segments", i, len(s.want))
		}
		if n, err := sp.Next(dst); n != 0 || err != nil {
			t.Fatalf("%d: Next after the last = %d, %v", i, n, err)
		}
	}
}

func TestIPv6ExtensionHeadersAreRepeated(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := makeSuper(r, true, ipproto.TCP, 100, 250, packet.TCPAck)
	options := []byte{byte(ipproto.TCP), 0, 1, 4, 0, 0, 0, 0} // destination options: PadN
	pkt := append(append(append([]byte(nil), s.pkt[:40]...), options...), s.pkt[40:]...)
	pkt[6] = 60
	var sp gso.Splitter
	if err := sp.Reset(pkt, gso.Options{Proto: ipproto.TCP, Transport: 48, Size: 100}); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 2000)
	for j, want := range s.want {
		n, err := sp.Next(dst)
		if err != nil || n != len(want)+8 {
			t.Fatalf("segment %d: %d bytes, %v; want %d", j, n, err, len(want)+8)
		}
		if got := int(binary.BigEndian.Uint16(dst[4:])); got != n-40 {
			t.Errorf("segment %d: payload length %d, want %d", j, got, n-40)
		}
		if !bytes.Equal(dst[40:48], options) || !bytes.Equal(dst[48:n], want[40:]) {
			t.Errorf("segment %d differs from the one without extension headers", j)
		}
	}
}

func TestNextKeepsASegmentThatDoesNotFit(t *testing.T) {
	s := makeSuper(rand.New(rand.NewPCG(5, 6)), false, ipproto.TCP, 100, 300, packet.TCPAck)
	var sp gso.Splitter
	if err := sp.Reset(s.pkt, s.opts); err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Next(make([]byte, len(s.want[0])-1)); !errors.Is(err, gso.ErrShortBuffer) {
		t.Fatalf("Next into a short buffer: %v", err)
	}
	dst := make([]byte, len(s.want[0]))
	if n, err := sp.Next(dst); err != nil || !bytes.Equal(dst[:n], s.want[0]) {
		t.Fatalf("Next after a short buffer: %v", err)
	}
}

func TestResetRefuses(t *testing.T) {
	good := makeSuper(rand.New(rand.NewPCG(7, 8)), false, ipproto.TCP, 100, 300, packet.TCPAck)
	tests := []struct {
		name string
		pkt  []byte
		opts gso.Options
	}{
		{"empty", nil, good.opts},
		{"no size", good.pkt, gso.Options{Proto: ipproto.TCP, Transport: 20}},
		{"transport inside the IP header", good.pkt, gso.Options{Proto: ipproto.TCP, Transport: 12, Size: 100}},
		{"transport behind the packet", good.pkt, gso.Options{Proto: ipproto.TCP, Transport: 4000, Size: 100}},
		{"cut TCP header", good.pkt[:36], good.opts},
		{"other protocol", good.pkt, gso.Options{Proto: ipproto.ICMPv4, Transport: 20, Size: 100}},
		{"IPv4 header of 4 bytes", append([]byte{0x41}, good.pkt[1:]...), good.opts},
		{"IP version 7", append([]byte{0x75}, good.pkt[1:]...), good.opts},
		{"segments too long", make([]byte, 70_000), gso.Options{Proto: ipproto.UDP, Transport: 40, Size: 66_000}},
	}
	tests[len(tests)-1].pkt[0] = 0x60
	for _, tt := range tests {
		var sp gso.Splitter
		if err := sp.Reset(tt.pkt, tt.opts); err == nil || sp.More() {
			t.Errorf("%s: Reset = %v, More = %v; want an error and no segments", tt.name, err, sp.More())
		}
	}
}

func FuzzSplitter(f *testing.F) {
	s := makeSuper(rand.New(rand.NewPCG(9, 10)), true, ipproto.TCP, 100, 300, packet.TCPAck)
	f.Add(s.pkt, uint8(ipproto.TCP), 40, 100)
	f.Add([]byte{0x45}, uint8(ipproto.UDP), 20, 1)
	f.Fuzz(func(t *testing.T, pkt []byte, proto uint8, transport, size int) {
		var sp gso.Splitter
		if sp.Reset(pkt, gso.Options{Proto: ipproto.Proto(proto), Transport: transport, Size: size}) != nil {
			return
		}
		dst := make([]byte, 65535)
		for i := 0; sp.More(); i++ {
			want := sp.Size()
			if n, err := sp.Next(dst); err != nil || n != want || i > len(pkt) {
				t.Fatalf("segment %d: %d, %v; want %d bytes", i, n, err, want)
			}
		}
	})
}

func TestNextDoesNotAllocate(t *testing.T) {
	s := makeSuper(rand.New(rand.NewPCG(11, 12)), true, ipproto.TCP, 1200, 60_000, packet.TCPAck)
	dst := make([]byte, 1500)
	var sp gso.Splitter
	if n := testing.AllocsPerRun(100, func() {
		if err := sp.Reset(s.pkt, s.opts); err != nil {
			t.Fatal(err)
		}
		for sp.More() {
			if _, err := sp.Next(dst); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations per super-packet, want 0", n)
	}
}
