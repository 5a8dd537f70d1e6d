package gso_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"tstun/internal/gso"
	"tstun/ipproto"
)

func TestVirtioBytes(t *testing.T) {
	want := gso.Virtio{Flags: 1, Type: 0x81, HeaderLen: 0x203, Size: 0x405, ChecksumStart: 0x607, ChecksumOffset: 0x809}
	var b [gso.VirtioLen]byte
	want.Encode(b[:])
	if b[0] != 1 || b[1] != 0x81 || binary.NativeEndian.Uint16(b[8:]) != 0x809 {
		t.Errorf("bytes %x", b)
	}
	var got gso.Virtio
	got.Decode(b[:])
	if got != want || !got.Super() {
		t.Errorf("%+v, want %+v", got, want)
	}
	if (gso.Virtio{Flags: 1}).Super() {
		t.Error("a packet without a type is a super-packet")
	}
}

// partial leaves the sum of the pseudo-header in the checksum field of p.
func partial(p []byte, s shape) {
	transport := 20 + len(s.ip)
	if s.v6 {
		transport += 20
	}
	field := p[transport+6:]
	if s.proto == ipproto.TCP {
		field = p[transport+16:]
	}
	binary.BigEndian.PutUint16(field, slowPseudo(s.v6, s.proto, s.src, s.dst, len(p)-transport))
}

func virtioOf(s shape, size int) gso.Virtio {
	v := gso.Virtio{Flags: 1, Type: 1, Size: uint16(size), ChecksumStart: uint16(20 + len(s.ip)), ChecksumOffset: 16}
	if s.v6 {
		v.Type, v.ChecksumStart = 4, v.ChecksumStart+20
	}
	if s.proto == ipproto.UDP {
		v.Type, v.ChecksumOffset = 5, 6
	}
	return v
}

func TestComplete(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for range 200 {
		s := newStream(r, r.IntN(2) == 0, []ipproto.Proto{ipproto.TCP, ipproto.UDP}[r.IntN(2)]).shape
		s.payload = make([]byte, r.IntN(1500))
		want := s.bytes()
		got := bytes.Clone(want)
		partial(got, s)
		v := virtioOf(s, 0)
		v.Type = 0
		if err := v.Complete(got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\n got %x\nwant %x", err, got, want)
		}
		for _, flags := range []uint8{0, 2, 4, 6} { // DATA_VALID, RSC_INFO
			v.Flags = flags
			before := bytes.Clone(got)
			if err := v.Complete(got); err != nil || !bytes.Equal(got, before) {
				t.Fatalf("flags %d: %v, or changed", flags, err)
			}
		}
	}
}

func TestCompleteWhereTheHeaderSays(t *testing.T) {
	for _, tt := range []struct {
		start, offset uint16
		ok            bool
		want          uint16 // at start+offset
	}{
		{0, 0, true, 0xffff - 6 - 2},
		{2, 1, true, 0},
		{2, 2, true, 0xffff - 2},
		{2, 3, false, 0},
		{6, 0, false, 0},
		{0xffff, 0xffff, false, 0},
		{0xffff, 2, false, 0},
	} {
		pkt := []byte{0, 6, 0, 0, 0, 2}
		err := gso.Virtio{Flags: 1, ChecksumStart: tt.start, ChecksumOffset: tt.offset}.Complete(pkt)
		if (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
		if at := int(tt.start) + int(tt.offset); tt.ok && tt.want != 0 && binary.BigEndian.Uint16(pkt[at:]) != tt.want {
			t.Errorf("%+v: %x", tt, pkt)
		}
		if !tt.ok && !bytes.Equal(pkt, []byte{0, 6, 0, 0, 0, 2}) {
			t.Errorf("%+v: changed to %x", tt, pkt)
		}
	}
	zero := []byte{0xff, 0xff, 0, 0}
	if (gso.Virtio{Flags: 1, ChecksumOffset: 2}).Complete(zero); zero[2] != 0xff || zero[3] != 0xff {
		t.Errorf("a sum of 0 is written as %x", zero[2:])
	}
}

// Super-packets of all kinds, checksum partial or complete, with and without
// the ECN bit.
func TestOptions(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	for i := range 400 {
		s := newStream(r, i%2 == 0, []ipproto.Proto{ipproto.TCP, ipproto.UDP}[i/2%2]).shape
		s.flags = []byte{0x10, 0x19, 0xd0}[i%3]
		switch {
		case i%5 > 0:
		case s.v6:
			s.ip = []byte{byte(s.proto), 0, 1, 4, 0, 0, 0, 0}
		default:
			s.ip = []byte{1, 1, 1, 0}
		}
		s.payload = make([]byte, 1+r.IntN(9000))
		size := 1 + r.IntN(2000)
		super := s.bytes()
		v := virtioOf(s, size)
		if i%7 > 2 {
			partial(super, s)
		} else {
			v.Flags, v.ChecksumStart, v.ChecksumOffset = 0, 0, 0
		}
		if s.proto == ipproto.TCP && i%3 == 2 {
			v.Type |= 0x80
		}
		want := slowSplit(s, size)
		got := split(t, v, super)
		if len(got) != len(want) {
			t.Fatalf("%d segments, want %d", len(got), len(want))
		}
		for k := range got {
			if !bytes.Equal(got[k], want[k]) {
				t.Fatalf("segment %d of %+v\n got %x\nwant %x", k, v, got[k], want[k])
			}
		}
	}
}

// With a routing header the pseudo-header has an address that is not the
// header's: what the stack left in the checksum field counts.
func TestPartialSumIsTrusted(t *testing.T) {
	s := newStream(rand.New(rand.NewPCG(45, 46)), true, ipproto.TCP).shape
	s.payload = make([]byte, 250)
	super, v := s.bytes(), virtioOf(s, 100)
	partial(super, s)
	want := slowSplit(s, 100)
	copy(super[24:40], bytes.Repeat([]byte{9}, 16)) // the next hop
	for k, seg := range split(t, v, super) {
		if !bytes.Equal(seg[40:], want[k][40:]) {
			t.Errorf("segment %d: transport differs", k)
		}
	}
}

func TestImpossibleHeaders(t *testing.T) {
	r := rand.New(rand.NewPCG(47, 48))
	tcp := newStream(r, false, ipproto.TCP).shape
	tcp.payload = make([]byte, 100)
	six := newStream(r, true, ipproto.UDP).shape
	six.payload = make([]byte, 100)
	chain := six
	chain.ip = bytes.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 9)
	four, sixth := virtioOf(tcp, 50), virtioOf(six, 50)
	with := func(v gso.Virtio, f func(*gso.Virtio)) gso.Virtio { f(&v); return v }
	tests := []struct {
		name string
		v    gso.Virtio
		pkt  []byte
	}{
		{"unknown type", with(four, func(v *gso.Virtio) { v.Type = 2 }), tcp.bytes()},
		{"UFO", with(sixth, func(v *gso.Virtio) { v.Type = 3 }), six.bytes()},
		{"ECN alone", with(four, func(v *gso.Virtio) { v.Type = 0x80 }), tcp.bytes()},
		{"ECN with UDP", with(sixth, func(v *gso.Virtio) { v.Type |= 0x80 }), six.bytes()},
		{"IPv6 type on IPv4", with(four, func(v *gso.Virtio) { v.Type = 4 }), tcp.bytes()},
		{"IPv4 type on IPv6", with(sixth, func(v *gso.Virtio) { v.Type = 1 }), six.bytes()},
		{"UDP type on TCP", with(four, func(v *gso.Virtio) { v.Type, v.ChecksumOffset = 5, 6 }), tcp.bytes()},
		{"size 0", with(four, func(v *gso.Virtio) { v.Size = 0 }), tcp.bytes()},
		{"empty", four, nil},
		{"short", four, tcp.bytes()[:19]},
		{"header only", four, tcp.bytes()[:39]},
		{"checksum start", with(four, func(v *gso.Virtio) { v.ChecksumStart = 24 }), tcp.bytes()},
		{"checksum start inside IPv6", with(sixth, func(v *gso.Virtio) { v.ChecksumStart = 38 }), six.bytes()},
		{"checksum start behind the end", with(sixth, func(v *gso.Virtio) { v.ChecksumStart = 60_000 }), six.bytes()},
		{"checksum offset", with(four, func(v *gso.Virtio) { v.ChecksumOffset = 6 }), tcp.bytes()},
		{"another protocol, complete", with(four, func(v *gso.Virtio) { v.Flags, v.Type = 0, 5 }), tcp.bytes()},
		{"too many extension headers, complete", with(sixth, func(v *gso.Virtio) { v.Flags = 0 }), chain.bytes()},
	}
	for _, tt := range tests {
		opts, err := tt.v.Options(tt.pkt)
		if err == nil {
			var s gso.Splitter
			err = s.Reset(tt.pkt, opts)
		}
		if err == nil {
			t.Errorf("%s: accepted as %+v", tt.name, opts)
		}
	}
}

// Any header on any bytes: an error, or segments that are all inside what
// they may be.
func FuzzVirtio(f *testing.F) {
	r := rand.New(rand.NewPCG(49, 50))
	for i := range 4 {
		s := newStream(r, i%2 == 0, []ipproto.Proto{ipproto.TCP, ipproto.UDP}[i/2]).shape
		s.payload = make([]byte, 100)
		v := virtioOf(s, 30)
		f.Add(v.Flags, v.Type, v.HeaderLen, v.Size, v.ChecksumStart, v.ChecksumOffset, s.bytes(), uint16(0))
	}
	f.Fuzz(func(t *testing.T, flags, typ uint8, header, size, start, offset uint16, pkt []byte, more uint16) {
		pkt = append(pkt, make([]byte, more)...)
		v := gso.Virtio{Flags: flags, Type: typ, HeaderLen: header, Size: size, ChecksumStart: start, ChecksumOffset: offset}
		v.Complete(bytes.Clone(pkt))
		opts, err := v.Options(pkt)
		if err != nil {
			return
		}
		var s gso.Splitter
		if s.Reset(pkt, opts) != nil {
			return
		}
		n := s.Remaining()
		if n > 1000 {
			return // more of the same
		}
		dst := make([]byte, 65535)
		for i := 0; s.More(); i++ {
			if got := s.Remaining(); got != n-i {
				t.Fatalf("segment %d: %d remain, want %d", i, got, n-i)
			}
			if i%3 == 2 {
				s.Skip()
				continue
			}
			want := s.Size()
			if got, err := s.Next(dst); err != nil || got != want || got > 65535 {
				t.Fatalf("segment %d: %d bytes, %v, want %d", i, got, err, want)
			}
		}
	})
}
