package tundev_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/tundev"
)

// script is a device that hands out frames, several at once, and keeps what
// is written, with the offset.
type script struct {
	tun.Device
	batches [][][]byte
	written [][]byte
	offset  int
	bufs    [][]byte // of the last Write, as given
	err     error
}

func (s *script) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if len(s.batches) == 0 {
		return 0, os.ErrClosed
	}
	batch := s.batches[0]
	s.batches = s.batches[1:]
	s.offset = offset
	for i, f := range batch {
		sizes[i] = copy(bufs[i][offset:], f)
	}
	return len(batch), nil
}

func (s *script) Write(bufs [][]byte, offset int) (int, error) {
	s.offset, s.bufs = offset, bufs
	for _, b := range bufs {
		s.written = append(s.written, bytes.Clone(b[offset:]))
	}
	return len(bufs), s.err
}

const (
	hostMAC  = "0a0000000001"
	tapMAC   = "02747374756e"
	otherMAC = "0a0000000002"
	allMAC   = "ffffffffffff"
)

// bin decodes hexadecimal with spaces.
func bin(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(p), []byte(" "), nil)))
		if err != nil {
			panic(err)
		}
		out = append(out, b...)
	}
	return out
}

func frame(dst, src, kind string, payload []byte) []byte {
	return append(bin(dst, src, kind), payload...)
}

var (
	ip4 = bin("4500 0014 0000 0000 4011 0000 0a000001 0a000002")
	ip6 = bin("6000 0000 0000 3b40 fd000000000000000000000000000001 fd000000000000000000000000000002")
)

// readAll reads with bufs of its own until the script is over, and returns
// the packets.
func readAll(t *testing.T, dev tun.Device, offset int) (packets [][]byte) {
	t.Helper()
	bufs, sizes := make([][]byte, 4), make([]int, 4)
	for {
		for i := range bufs {
			bufs[i] = make([]byte, offset+2048)
		}
		mine := slices.Clone(bufs)
		n, err := dev.Read(bufs, sizes, offset)
		if errors.Is(err, os.ErrClosed) {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if &bufs[i][0] != &mine[i][0] {
				t.Error("the caller's buffers were moved")
			}
			if sizes[i] > 0 {
				packets = append(packets, bufs[i][offset:][:sizes[i]])
			}
		}
	}
}

func TestTAPRead(t *testing.T) {
	good4, good6 := frame(tapMAC, hostMAC, "0800", ip4), frame(tapMAC, hostMAC, "86dd", ip6)
	tests := []struct {
		name    string
		batches [][][]byte
		want    [][]byte
	}{
		{"IPv4", [][][]byte{{good4}}, [][]byte{ip4}},
		{"IPv6", [][][]byte{{good6}}, [][]byte{ip6}},
		{"broadcast", [][][]byte{{frame(allMAC, hostMAC, "0800", ip4)}}, [][]byte{ip4}},
		{"multicast", [][][]byte{{frame("3333000000fb", hostMAC, "86dd", ip6)}}, [][]byte{ip6}},
		{"batch with others between", [][][]byte{{good4, frame(allMAC, hostMAC, "88cc", ip4), good6}}, [][]byte{ip4, ip6}},
		{"only others, then one", [][][]byte{{frame(allMAC, hostMAC, "88cc", ip4)}, {good6}}, [][]byte{ip6}},
		{"another station's", [][][]byte{{frame(otherMAC, hostMAC, "0800", ip4)}}, nil},
		{"our own", [][][]byte{{frame(allMAC, tapMAC, "0800", ip4)}}, nil},
		{"from a group", [][][]byte{{frame(tapMAC, allMAC, "0800", ip4)}}, nil},
		{"VLAN", [][][]byte{{frame(tapMAC, hostMAC, "8100", append(bin("0001 0800"), ip4...))}}, nil},
		{"type against version", [][][]byte{{frame(tapMAC, hostMAC, "0800", ip6), frame(tapMAC, hostMAC, "86dd", ip4)}}, nil},
		{"short", [][][]byte{{good4[:13], good4[:14], {}}}, nil},
		{"IEEE 802.3 length", [][][]byte{{frame(tapMAC, hostMAC, "0014", ip4)}}, nil},
	}
	for _, tt := range tests {
		for _, offset := range []int{0, 1, 13, 14, 16, 100} {
			t.Run(tt.name, func(t *testing.T) {
				got := readAll(t, tundev.TAP(&script{batches: tt.batches}), offset)
				if !slices.EqualFunc(got, tt.want, bytes.Equal) {
					t.Errorf("offset %d: read %x, want %x", offset, got, tt.want)
				}
			})
		}
	}
}

func arp(op, senderIP, targetIP string) []byte {
	return frame(allMAC, hostMAC, "0806", bin("0001 0800 06 04", op, hostMAC, senderIP, "000000000000", targetIP))
}

// solicit builds a neighbour solicitation with a right checksum, then applies
// change to the frame.
func solicit(src, target string, change func(f []byte)) []byte {
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(target).As16()
	icmp := append(bin("8700 0000 00000000"), d[:]...)
	icmp = append(icmp, bin("0101", hostMAC)...)
	ip := append(bin("60000000 0020 3a ff"), s[:]...)
	ip = append(ip, d[:]...) // unicast, as for a probe of reachability
	f := frame(tapMAC, hostMAC, "86dd", append(ip, icmp...))
	binary.BigEndian.PutUint16(f[56:], slowICMPv6Sum(f[14:]))
	if change != nil {
		change(f)
	}
	return f
}

func TestTAPAnswersNeighbours(t *testing.T) {
	advert := bin("6000 0000 0020 3aff",
		"fd000000000000000000000000000002", "fd000000000000000000000000000001",
		"8800 0000 4000 0000", "fd000000000000000000000000000002", "0201", tapMAC)
	binary.BigEndian.PutUint16(advert[42:], slowICMPv6Sum(advert))
	tests := []struct {
		name  string
		frame []byte
		want  []byte
	}{
		{"ARP", arp("0001", "0a000001", "0a000002"),
			frame(hostMAC, tapMAC, "0806", bin("0001 0800 06 04 0002", tapMAC, "0a000002", hostMAC, "0a000001"))},
		{"ARP probe", arp("0001", "00000000", "0a000002"), nil},
		{"gratuitous ARP", arp("0001", "0a000001", "0a000001"), nil},
		{"ARP reply", arp("0002", "0a000001", "0a000002"), nil},
		{"short ARP", arp("0001", "0a000001", "0a000002")[:41], nil},
		{"ARP for something else", frame(allMAC, hostMAC, "0806", bytes.Repeat([]byte{1}, 28)), nil},

		{"solicitation", solicit("fd00::1", "fd00::2", nil), frame(hostMAC, tapMAC, "86dd", advert)},
		{"duplicate detection", solicit("::", "fd00::2", nil), nil},
		{"for a group", solicit("fd00::1", "ff02::2", nil), nil},
		{"through a router", solicit("fd00::1", "fd00::2", func(f []byte) { f[21] = 254 }), nil},
		{"bad code", solicit("fd00::1", "fd00::2", func(f []byte) { f[55], f[57] = 1, f[57]-1 }), nil},
		{"bad checksum", solicit("fd00::1", "fd00::2", func(f []byte) { f[57]++ }), nil},
		{"too long", solicit("fd00::1", "fd00::2", func(f []byte) { f[19] = 33 }), nil},
		{"too short", solicit("fd00::1", "fd00::2", func(f []byte) { f[19] = 23 }), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev := &script{batches: [][][]byte{{tt.frame}}}
			if got := readAll(t, tundev.TAP(dev), 16); len(got) != 0 {
				t.Errorf("passed on: %x", got)
			}
			if tt.want == nil && len(dev.written) == 0 {
				return
			}
			if len(dev.written) != 1 || !bytes.Equal(dev.written[0], tt.want) {
				t.Errorf("answered %x, want %x", dev.written, tt.want)
			}
			if dev.offset < 10 {
				t.Errorf("only %d bytes in front of the answer", dev.offset)
			}
		})
	}
}

func TestTAPWriteDestination(t *testing.T) {
	to4 := func(dst string) []byte { return append(slices.Clone(ip4[:16]), bin(dst)...) }
	to6 := func(dst string) []byte { return append(slices.Clone(ip6[:24]), bin(dst)...) }
	seen := [][][]byte{{frame(tapMAC, hostMAC, "0800", ip4)}}
	tests := []struct {
		name    string
		batches [][][]byte
		packet  []byte
		want    string
	}{
		{"host not seen", nil, ip4, allMAC + tapMAC + "0800"},
		{"host seen", seen, ip4, hostMAC + tapMAC + "0800"},
		{"IPv6", seen, ip6, hostMAC + tapMAC + "86dd"},
		{"IPv4 multicast", seen, to4("ef81 02fb"), "01005e0102fb" + tapMAC + "0800"},
		{"IPv4 broadcast", seen, to4("ffffffff"), allMAC + tapMAC + "0800"},
		{"IPv6 multicast", seen, to6("ff02000000000000 00000001ff00abcd"), "3333ff00abcd" + tapMAC + "86dd"},
		{"one byte", seen, []byte{0x45}, hostMAC + tapMAC + "0800"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev := &script{batches: tt.batches}
			tap := tundev.TAP(dev)
			readAll(t, tap, 16)
			buf := append(make([]byte, 16), tt.packet...)
			if n, err := tap.Write([][]byte{buf}, 16); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if want := append(bin(tt.want), tt.packet...); !bytes.Equal(dev.written[0], want) {
				t.Errorf("wrote %x, want %x", dev.written[0], want)
			}
		})
	}
}

// With 14 bytes or more in front the packet is written where it is, and only
// those 14 change; with less nothing of the caller's does.
func TestTAPWriteKeepsTheCallersBytes(t *testing.T) {
	for _, offset := range []int{0, 1, 13, 14, 16, 17, 18, 40} {
		buf := append(bytes.Repeat([]byte{0xcc}, offset), ip4...)
		before, dev := bytes.Clone(buf), &script{}
		if _, err := tundev.TAP(dev).Write([][]byte{buf}, offset); err != nil {
			t.Fatal(err)
		}
		inPlace := &dev.bufs[0][0] == &buf[0]
		if inPlace != (offset >= 14+4) || dev.offset < 4 {
			t.Errorf("offset %d: in place %v, inner offset %d", offset, inPlace, dev.offset)
		}
		kept := max(0, offset-14)
		if !inPlace {
			kept = len(buf)
		}
		if !bytes.Equal(buf[:kept], before[:kept]) || !bytes.Equal(buf[offset:], before[offset:]) {
			t.Errorf("offset %d: %x became %x", offset, before, buf)
		}
	}
}

// Devices of the BSDs and macOS panic on an offset below 4; those of this
// package say what they need, and the common offset of 16 then costs no copy.
func TestTAPHeadroom(t *testing.T) {
	for _, tt := range []struct {
		room, offset, want int
	}{{0, 16, 2}, {0, 14, 0}, {0, 3, 0}, {4, 18, 4}, {4, 16, 4}, {4, 0, 4}} {
		dev := &script{Device: newFrail(0), batches: [][][]byte{{frame(tapMAC, hostMAC, "0800", ip4)}}}
		guarded := tundev.NewCloseGuard(dev, tt.room)
		bufs := [][]byte{make([]byte, 64)}
		n, err := tundev.TAP(guarded).Read(bufs, []int{0}, tt.offset)
		if n != 1 || err != nil || dev.offset != tt.want || !bytes.Equal(bufs[0][tt.offset:][:len(ip4)], ip4) {
			t.Errorf("%+v: %d, %v, inner offset %d, %x", tt, n, err, dev.offset, bufs[0])
		}
		if err := guarded.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A list of lost packets whose indices are those of a part is not passed on.
func TestTAPWritesPartsWithoutList(t *testing.T) {
	dev := &script{err: &tundev.WriteError{Lost: []int{0}, Err: syscall.ENOBUFS}}
	good := append(make([]byte, 16), ipPacket("10.0.0.1", "10.0.0.2")...)
	bad := make([]byte, 20)
	_, err := tundev.TAP(dev).Write([][]byte{bad, good}, 16)
	if partial := new(tundev.WriteError); errors.As(err, &partial) || !errors.Is(err, syscall.ENOBUFS) {
		t.Errorf("error %v", err)
	}
	if _, err = tundev.TAP(dev).Write([][]byte{good}, 16); !errors.As(err, new(*tundev.WriteError)) {
		t.Errorf("error of all packets: %v", err)
	}
}

func TestTAPWriteBadPackets(t *testing.T) {
	dev := &script{}
	in := func(p []byte) []byte { return append(make([]byte, 16), p...) }
	n, err := tundev.TAP(dev).Write([][]byte{in(ip4), in(nil), in(ip6), in(bin("0011")), in(ip4)}, 16)
	if n != 3 || !errors.Is(err, syscall.EAFNOSUPPORT) || len(dev.written) != 3 {
		t.Errorf("%d, %v, wrote %d", n, err, len(dev.written))
	}
	if _, err := tundev.TAP(dev).Write([][]byte{in(ip4)}, -1); err == nil {
		t.Error("negative offset")
	}
	if _, err := tundev.TAP(dev).Read([][]byte{make([]byte, 64)}, []int{0}, -1); err == nil {
		t.Error("negative offset")
	}
	dev.err = os.ErrClosed
	if _, err := tundev.TAP(dev).Write([][]byte{in(ip4), in(nil), in(ip4)}, 16); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// loop hands out the same frame for ever.
type loop struct {
	tun.Device
	frame []byte
}

func (l *loop) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	sizes[0] = copy(bufs[0][offset:], l.frame)
	return 1, nil
}

func (l *loop) Write(bufs [][]byte, offset int) (int, error) { return len(bufs), nil }

func TestTAPAllocatesNothing(t *testing.T) {
	tap := tundev.TAP(&loop{frame: frame(tapMAC, hostMAC, "0800", ip4)})
	bufs, sizes := [][]byte{make([]byte, 2048)}, []int{0}
	out := [][]byte{append(make([]byte, 18), ip4...)}
	for name, f := range map[string]func(){
		"Read":         func() { tap.Read(bufs, sizes, 16) },
		"Read, moving": func() { tap.Read(bufs, sizes, 4) },
		"Write":        func() { tap.Write(out, 18) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
