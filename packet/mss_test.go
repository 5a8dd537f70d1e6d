package packet_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tstun/packet"
)

// withTCPOptions returns a segment of Generate's with options, whose length is a
// multiple of 4, and a right checksum.
func withTCPOptions(b []byte, options ...byte) []byte {
	ip := len(b) - len(slowLayout(b).transport)
	out := append(bytes.Clone(b[:ip+20]), options...)
	out = append(out, b[ip+20:]...)
	out[ip+12] = byte(20+len(options)) / 4 << 4
	out = cut(out, len(out))
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(out[10:], 0)
		binary.BigEndian.PutUint16(out[10:], ^slowSum(out[:20]))
	}
	binary.BigEndian.PutUint16(out[ip+16:], 0)
	binary.BigEndian.PutUint16(out[ip+16:], ^slowTransportSum(out, slowLayout(out)))
	return out
}

func TestClampMSS(t *testing.T) {
	synAck4 := packet.Generate(packet.TCPHeader{Src: src4, Dst: dst4, Flags: packet.TCPSynAck}, nil)
	ack4 := packet.Generate(packet.TCPHeader{Src: src4, Dst: dst4, Flags: packet.TCPAck}, nil)
	synRst4 := packet.Generate(packet.TCPHeader{Src: src4, Dst: dst4, Flags: packet.TCPSyn | packet.TCPRst}, nil)
	mss := func(value uint16) []byte { return binary.BigEndian.AppendUint16([]byte{2, 4}, value) }
	tests := []struct {
		name     string
		segment  []byte
		in, want []byte // the options; nil want: as in
	}{
		{"IPv4", tcp4(0), mss(1460), mss(1200)},
		{"IPv4 with data", tcp4(7), mss(1460), mss(1200)},
		{"IPv6", tcp6(0), mss(1440), mss(1200)},
		{"SYN and ACK", synAck4, mss(65535), mss(1200)},
		{"equal", tcp4(0), mss(1200), nil},
		{"never raised", tcp4(0), mss(536), nil},
		{"zero", tcp4(0), mss(0), nil},
		{"none", tcp4(0), nil, nil},
		{"behind others", tcp4(0), append([]byte{1, 1, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, mss(9000)...), append([]byte{1, 1, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, mss(1200)...)},
		{"at an odd place", tcp4(0), []byte{1, 2, 4, 0x23, 0x28, 3, 3, 7}, []byte{1, 2, 4, 0x04, 0xb0, 3, 3, 7}},
		{"twice", tcp6(0), append(mss(9000), mss(8000)...), append(mss(1200), mss(1200)...)},
		{"behind the end", tcp4(0), append([]byte{0, 0, 0, 0}, mss(9000)...), nil},
		{"wrong length", tcp4(0), []byte{2, 3, 0xff, 1}, nil},
		{"cut", tcp4(0), []byte{1, 1, 2, 4}, nil},
		{"length 0", tcp4(0), []byte{3, 0, 2, 4, 0x23, 0x28, 1, 1}, nil},
		{"length 1", tcp4(0), []byte{3, 1, 2, 4, 0x23, 0x28, 1, 1}, nil},
		{"kind alone", tcp4(0), []byte{1, 1, 1, 2}, nil},
		{"no handshake", ack4, mss(1460), nil},
		{"reset", synRst4, mss(1460), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, want := withTCPOptions(tt.segment, tt.in...), withTCPOptions(tt.segment, tt.in...)
			if tt.want != nil {
				want = withTCPOptions(tt.segment, tt.want...)
			}
			var p packet.Parsed
			p.Decode(in)
			if changed := p.ClampMSS(1200); changed != (tt.want != nil) || !bytes.Equal(in, want) {
				t.Errorf("changed %v\n got %x\nwant %x", changed, in, want)
			}
		})
	}
}

func TestClampMSSBehindExtensionHeaders(t *testing.T) {
	in := withExtensions(withTCPOptions(tcp6(0), 2, 4, 0x23, 0x28), ext(0, 1), ext(60, 2))
	want := withExtensions(withTCPOptions(tcp6(0), 2, 4, 0x04, 0xb0), ext(0, 1), ext(60, 2))
	var p packet.Parsed
	p.Decode(in)
	if !p.ClampMSS(1200) || !bytes.Equal(in, want) {
		t.Errorf(" got %x\nwant %x", in, want)
	}
}

func TestClampMSSLeavesFragments(t *testing.T) {
	syn := withTCPOptions(tcp4(8), 2, 4, 0x23, 0x28)
	for _, in := range [][]byte{fragment4(syn, 0, true), withExtensions(withTCPOptions(tcp6(8), 2, 4, 0x23, 0x28), frag(0, true))} {
		before := bytes.Clone(in)
		var p packet.Parsed
		if p.Decode(in); !p.IsFragment() {
			t.Fatalf("no fragment: %v", p.String())
		}
		if p.ClampMSS(1200) || !bytes.Equal(in, before) {
			t.Errorf("a fragment was changed: %x", in)
		}
	}
}

func TestClampMSSAllocatesNothing(t *testing.T) {
	in := withTCPOptions(tcp4(0), 1, 2, 4, 0x23, 0x28, 3, 3, 7)
	var p packet.Parsed
	p.Decode(in)
	limit := uint16(9000)
	if n := testing.AllocsPerRun(20, func() { limit--; p.ClampMSS(limit) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzClampMSS: nothing panics, nothing but MSS and checksum changes, no MSS is
// raised, none above the limit is left, and the sum of the segment stays the same.
func FuzzClampMSS(f *testing.F) {
	f.Add(withTCPOptions(tcp4(3), 2, 4, 0x05, 0xb4), uint16(1200))
	f.Add(withTCPOptions(tcp6(0), 1, 2, 4, 0x05, 0xb4, 3, 3, 7), uint16(1))
	f.Add(withExtensions(withTCPOptions(tcp6(0), 2, 4, 0x23, 0x28), ext(60, 1)), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		before := bytes.Clone(b)
		var p packet.Parsed
		p.Decode(b)
		changed := p.ClampMSS(limit)
		if changed == bytes.Equal(b, before) {
			t.Fatalf("changed %v: %x, was %x", changed, b, before)
		}
		if !p.IsTCPHandshake() || p.IsFragment() || p.Problem() != packet.ProblemNone {
			if changed {
				t.Fatalf("%v was changed", p.String())
			}
			return
		}
		was, is := slowMSS(before), slowMSS(p.Buffer())
		if len(was) != len(is) {
			t.Fatalf("MSS %v, was %v", is, was)
		}
		for i := range was {
			if is[i] != min(was[i], limit) {
				t.Fatalf("MSS %v, was %v, limit %d", is, was, limit)
			}
		}
		compareChecksums(t, before, p.Buffer())
	})
}

// slowMSS returns all that a segment says of its MSS, up to where its options
// cannot be read.
func slowMSS(b []byte) (all []uint16) {
	segment := slowLayout(b).transport
	options := segment[20 : int(segment[12]>>4)*4]
	for len(options) > 0 && options[0] != 0 {
		switch {
		case options[0] == 1:
			options = options[1:]
			continue
		case len(options) == 1 || options[1] < 2 || int(options[1]) > len(options):
			return all
		case options[0] == 2 && options[1] == 4:
			all = append(all, binary.BigEndian.Uint16(options[2:]))
		}
		options = options[options[1]:]
	}
	return all
}
