package tundev_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/ipproto"
	"tstun/packet"
	"tstun/tundev"
)

// segment is an Ethernet with several stations, whose frames a test hands in one
// by one.
type segment struct {
	script
	dev tun.Device
}

func newSegment() *segment {
	s := new(segment)
	s.dev = tundev.SharedTAP(&s.script)
	return s
}

// hear lets the TAP read a frame, and returns what it then wrote.
func (s *segment) hear(t *testing.T, f []byte) [][]byte {
	t.Helper()
	s.batches, s.written = [][][]byte{{f}}, nil
	readAll(t, s.dev, 16)
	return s.written
}

// send lets the TAP write a packet, and returns the frames.
func (s *segment) send(t *testing.T, p []byte) [][]byte {
	t.Helper()
	s.written = nil
	if n, err := s.dev.Write([][]byte{append(make([]byte, 16), p...)}, 16); n != 1 || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	return s.written
}

func ipPacket(src, dst string) []byte {
	return packet.Generate(packet.IPHeader{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: ipproto.UDP}, make([]byte, 8))
}

func arpFrom(mac, op, sender, target string) []byte {
	return frame(allMAC, mac, "0806", bin("0001 0800 06 04", op, mac, sender, "000000000000", target))
}

// advertFrom is a neighbour advertisement that says that mac has a.
func advertFrom(mac, a string) []byte {
	target := netip.MustParseAddr(a).As16()
	ip := append(bin("60000000 0020 3a ff"), target[:]...)
	ip = append(ip, bin("fe80 0000 0000 0000 0074 73ff fe74 756e", "8800 0000 6000 0000")...)
	ip = append(append(ip, target[:]...), bin("0201", mac)...)
	binary.BigEndian.PutUint16(ip[42:], slowICMPv6Sum(ip))
	return frame(tapMAC, mac, "86dd", ip)
}

func wantFrames(t *testing.T, what string, got [][]byte, want ...[]byte) {
	t.Helper()
	if !bytes.Equal(bytes.Join(got, []byte("|")), bytes.Join(want, []byte("|"))) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

// A station that asks again was answered by nobody; one that asks once may have
// been answered by another station, which the TAP does not hear.
func TestStationsAreAnsweredTheSecondTime(t *testing.T) {
	asks := map[string]func(target byte) []byte{
		"ARP": func(n byte) []byte {
			return arpFrom(hostMAC, "0001", "0a000001", "0a0000"+string("0123456789"[n/16])+string("0123456789"[n%16]))
		},
		"solicitation": func(n byte) []byte {
			return solicit("fd00::1", "fd00::"+string("0123456789"[n]), func(f []byte) { copy(f, bin("3333ff000002")) })
		},
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSegment()
				for _, step := range []struct {
					after    time.Duration
					target   byte
					answered bool
				}{{0, 2, false}, {100 * time.Millisecond, 2, false}, {time.Second, 2, true}, {0, 2, true}, {0, 3, false}, {time.Minute, 3, false}, {time.Second, 3, true}} {
					time.Sleep(step.after)
					if got := s.hear(t, ask(step.target)); (len(got) == 1) != step.answered {
						t.Errorf("%+v: wrote %x", step, got)
					}
				}
			})
		})
	}
}

// An address that packets come from is answered for at once, one of a station
// never, also where the packets say that they come from it.
func TestStationsAndWhoIsBeyond(t *testing.T) {
	s := newSegment()
	s.hear(t, arpFrom(otherMAC, "0001", "0a000002", "0a000002"))
	s.send(t, ipPacket("10.0.0.9", "10.0.0.2"))
	s.send(t, ipPacket("10.0.0.2", "10.0.0.2"))
	if got := s.hear(t, arpFrom(hostMAC, "0001", "0a000001", "0a000009")); len(got) != 1 {
		t.Errorf("beyond: wrote %x", got)
	}
	unicast := arpFrom(hostMAC, "0001", "0a000001", "0a000002")
	copy(unicast, bin(tapMAC))
	for _, q := range [][]byte{arpFrom(hostMAC, "0001", "0a000001", "0a000002"), unicast} {
		if got := s.hear(t, q); len(got) != 0 {
			t.Errorf("a station's: wrote %x", got)
		}
	}
	s.hear(t, arpFrom(otherMAC, "0001", "0a000009", "0a000009")) // which has moved here
	if got := s.hear(t, arpFrom(hostMAC, "0001", "0a000001", "0a000009")); len(got) != 0 {
		t.Errorf("moved: wrote %x", got)
	}
}

// The latest packet for an address waits until a station says that it has it; then
// packets go there, and elsewhere once another station says so.
func TestStationsAreAskedFor(t *testing.T) {
	s := newSegment()
	first, second := ipPacket("10.9.0.1", "10.0.0.2"), ipPacket("10.9.0.2", "10.0.0.2")
	wantFrames(t, "ARP", s.send(t, first), frame(allMAC, tapMAC, "0806", bin("0001 0800 06 04 0001", tapMAC, "0a090001 000000000000 0a000002")))
	wantFrames(t, "asked already", s.send(t, second))
	wantFrames(t, "found", s.hear(t, arpFrom(otherMAC, "0002", "0a000002", "0a090001")), frame(otherMAC, tapMAC, "0800", second))
	wantFrames(t, "known", s.send(t, first), frame(otherMAC, tapMAC, "0800", first))
	s.hear(t, arpFrom(hostMAC, "0001", "0a000002", "0a000002"))
	wantFrames(t, "moved", s.send(t, first), frame(hostMAC, tapMAC, "0800", first))

	six := ipPacket("fd09::1", "fd00::2")
	got := s.send(t, six)
	if len(got) != 1 || !bytes.HasPrefix(got[0], bin("3333ff000002", tapMAC, "86dd 6000 0000 0020 3aff fe80 0000 0000 0000 0074 73ff fe74 756e")) ||
		slowICMPv6Sum(got[0][14:]) != binary.BigEndian.Uint16(got[0][56:]) || !bytes.HasSuffix(got[0], bin("0101", tapMAC)) {
		t.Errorf("solicitation: %x", got)
	}
	wantFrames(t, "IPv6, found", s.hear(t, advertFrom(otherMAC, "fd00::2")), frame(otherMAC, tapMAC, "86dd", six))
}

// What a station sends IP packets from is known to be there, but a packet takes no
// address away from who has claimed it.
func TestStationsAreLearnedFromPackets(t *testing.T) {
	s := newSegment()
	s.hear(t, frame(tapMAC, hostMAC, "0800", ipPacket("10.0.0.7", "10.9.0.1")))
	to := ipPacket("10.9.0.1", "10.0.0.7")
	wantFrames(t, "learned", s.send(t, to), frame(hostMAC, tapMAC, "0800", to))
	s.hear(t, frame(tapMAC, otherMAC, "0800", ipPacket("10.0.0.7", "10.9.0.1")))
	wantFrames(t, "kept", s.send(t, to), frame(hostMAC, tapMAC, "0800", to))
	group := ipPacket("10.9.0.1", "224.0.0.251")
	wantFrames(t, "group", s.send(t, group), frame("01005e0000fb", tapMAC, "0800", group))
}

// Whatever many addresses do, memory is bounded.
func TestStationsAreBounded(t *testing.T) {
	s := newSegment()
	for i := range 3 * tundev.MaxStations {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		s.send(t, packet.Generate(packet.IPHeader{Src: a, Dst: a, Proto: ipproto.UDP}, nil))
		q := arpFrom(hostMAC, "0001", "0a000001", "0b000000")
		binary.BigEndian.PutUint16(q[40:], uint16(i))
		s.hear(t, q)
	}
	known, asked, held := tundev.Remembered(s.dev)
	if known != tundev.MaxStations || asked > 256 || held > 64 {
		t.Errorf("%d addresses, %d questions, %d packets", known, asked, held)
	}
}

// Nothing that a station sends panics.
func FuzzStations(f *testing.F) {
	f.Add(arpFrom(hostMAC, "0001", "0a000001", "0a000002"))
	f.Add(advertFrom(otherMAC, "fd00::2"))
	f.Add(solicit("fd00::1", "fd00::2", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSegment()
		s.hear(t, b[:min(len(b), 2000)])
		s.hear(t, b[:min(len(b), 2000)])
	})
}
