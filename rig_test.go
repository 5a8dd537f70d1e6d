package tstun_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/testdev"
	"tstun/ipproto"
	"tstun/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The addresses that most tests use.
var (
	host4 = netip.MustParseAddr("100.64.0.1")
	host6 = netip.MustParseAddr("fd7a::1")
	peer4 = netip.MustParseAddr("100.64.0.2")
	peer6 = netip.MustParseAddr("fd7a::2")
)

// offset is where packets begin in the buffers of a test.
const offset = tstun.PacketStartOffset

// rig is a Wrapper on a test device.
type rig struct {
	t     testing.TB
	dev   *testdev.Device
	w     *tstun.Wrapper
	bufs  [][]byte
	sizes []int
}

func newRig(t testing.TB, batch int) *rig {
	dev := testdev.New(batch)
	r := rigOn(t, dev, batch)
	r.dev = dev
	return r
}

func rigOn(t testing.TB, dev tun.Device, batch int) *rig {
	r := &rig{t: t, w: tstun.Wrap(t.Logf, dev), bufs: makeBufs(batch), sizes: make([]int, batch)}
	t.Cleanup(func() { r.w.Close() })
	return r
}

func makeBufs(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, offset+65535)
	}
	return bufs
}

// allow sets a filter with the given rules, for which both hosts' addresses
// are local.
func (r *rig) allow(matches ...filter.Match) *filter.Filter {
	r.t.Helper()
	f, err := filter.New(filter.Config{Matches: matches, Local: local()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.w.SetFilter(f)
	return f
}

// local returns the addresses, or else both hosts', as prefixes.
func local(addrs ...netip.Addr) []netip.Prefix {
	if len(addrs) == 0 {
		addrs = []netip.Addr{host4, host6}
	}
	var prefixes []netip.Prefix
	for _, a := range addrs {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return prefixes
}

// everything is a rule that lets all peers reach TCP, UDP and ICMP.
func everything() filter.Match { return to(filter.AllPorts) }

func to(ports filter.PortRange, protos ...ipproto.Proto) filter.Match {
	any4, any6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	return filter.Match{
		IPProto: protos,
		Srcs:    []netip.Prefix{any4, any6},
		Dsts:    []filter.NetPortRange{{Net: any4, Ports: ports}, {Net: any6, Ports: ports}},
	}
}

func port(p uint16) filter.PortRange { return filter.PortRange{First: p, Last: p} }

// read reads until n packets came, those dropped included, and returns those
// that passed.
func (r *rig) read(n int) [][]byte {
	r.t.Helper()
	var passed [][]byte
	for got := 0; got < n; {
		k, err := r.w.Read(r.bufs, r.sizes, offset)
		if err != nil {
			r.t.Fatalf("Read: %v", err)
		}
		for i := range k {
			if r.sizes[i] > 0 {
				passed = append(passed, bytes.Clone(r.bufs[i][offset:offset+r.sizes[i]]))
			}
		}
		got += k
	}
	return passed
}

// fromHost sends packets from the host and returns those that reach
// WireGuard.
func (r *rig) fromHost(pkts ...[]byte) [][]byte {
	r.t.Helper()
	r.dev.Send(pkts...)
	return r.read(len(pkts))
}

// fromPeer sends packets out of WireGuard and returns those that reach the
// host.
func (r *rig) fromPeer(pkts ...[]byte) [][]byte {
	r.t.Helper()
	bufs := make([][]byte, len(pkts))
	for i, p := range pkts {
		bufs[i] = append(make([]byte, offset), p...)
	}
	if n, err := r.w.Write(bufs, offset); err != nil || n != len(bufs) {
		r.t.Fatalf("Write = %d, %v; want %d", n, err, len(bufs))
	}
	return r.dev.Written()
}

// wantDrop runs f and checks that in the meantime exactly one packet was
// dropped, for the reason given.
func (r *rig) wantDrop(inbound bool, want filter.Reason, f func()) {
	r.t.Helper()
	before := r.w.Counters()
	f()
	after := r.w.Counters()
	a, b := before.Out, after.Out
	if inbound {
		a, b = before.In, after.In
	}
	for _, reason := range filter.Reasons() {
		wantN := uint64(0)
		if reason == want {
			wantN = 1
		}
		if got := b.Drops[reason] - a.Drops[reason]; got != wantN {
			r.t.Errorf("%d drops as %v, want %d", got, reason, wantN)
		}
	}
	if b.Packets != a.Packets {
		r.t.Errorf("%d packets counted as passed, want none", b.Packets-a.Packets)
	}
}

func udp(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, payload string) []byte {
	return packet.Generate(packet.UDPHeader{Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport)}, []byte(payload))
}

func tcp(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, flags packet.TCPFlag, payload string) []byte {
	return packet.Generate(packet.TCPHeader{
		Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport), Flags: flags, Seq: 1000, Window: 500,
	}, []byte(payload))
}

func echo(src, dst netip.Addr, id uint16, reply bool) []byte {
	typ := uint8(8)
	if src.Is6() {
		typ = 128
	}
	if reply {
		typ++
		if src.Is4() {
			typ = 0
		}
	}
	h := packet.ICMPHeader{Src: src, Dst: dst, Type: typ}
	binary.BigEndian.PutUint16(h.Rest[:], id)
	return packet.Generate(h, []byte("ping"))
}

func parse(t testing.TB, b []byte) *packet.Parsed {
	t.Helper()
	p := new(packet.Parsed)
	p.Decode(b)
	if p.Problem() != packet.ProblemNone {
		t.Fatalf("packet %x: %v", b, p.Problem())
	}
	return p
}

func wantPackets(t testing.TB, what string, got [][]byte, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d packets, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: packet %d:\n got %x\nwant %x", what, i, got[i], want[i])
		}
	}
}

// families runs a test for IPv4 and for IPv6.
func families(t *testing.T, f func(t *testing.T, host, peer netip.Addr)) {
	t.Run("IPv4", func(t *testing.T) { f(t, host4, peer4) })
	t.Run("IPv6", func(t *testing.T) { f(t, host6, peer6) })
}

// fragment returns n bytes of pkt's IP payload from at on as a fragment.
func fragment(pkt []byte, at, n int, more bool) []byte {
	m := uint16(0)
	if more {
		m = 1
	}
	if pkt[0]>>4 == 4 {
		f := append(bytes.Clone(pkt[:20]), pkt[20+at:20+at+n]...)
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		binary.BigEndian.PutUint16(f[4:], 77)
		binary.BigEndian.PutUint16(f[6:], m<<13|uint16(at/8))
		f[10], f[11] = 0, 0
		binary.BigEndian.PutUint16(f[10:], ^packet.Checksum(f[:20], 0))
		return f
	}
	f := append(bytes.Clone(pkt[:40]), pkt[6], 0, 0, 0, 0, 0, 0, 77)
	binary.BigEndian.PutUint16(f[42:], uint16(at)|m)
	f = append(f, pkt[40+at:40+at+n]...)
	f[6] = 44 // fragment header
	binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
	return f
}
