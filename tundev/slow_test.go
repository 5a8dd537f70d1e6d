package tundev_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"tstun/tundev"
)

// slowICMPv6Sum is RFC 4443 §2.3 to the letter: a pseudo header laid out in
// memory, the checksum field zero, sixteen bits at a time, every carry at
// once.
func slowICMPv6Sum(packet []byte) uint16 {
	pseudo := bytes.Clone(packet[8:40])
	message := bytes.Clone(packet[40:])
	message[2], message[3] = 0, 0
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(message)))
	pseudo = append(pseudo, 0, 0, 0, 58)
	all := append(pseudo, message...)
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	sum := 0
	for i := 0; i < len(all); i += 2 {
		sum += int(all[i])<<8 + int(all[i+1])
		if sum > 0xffff {
			sum = sum&0xffff + 1
		}
	}
	return ^uint16(sum)
}

// slowReplies decides by decoded values what neighbourReply decides by bytes.
func slowReplies(f []byte) bool {
	if len(f) < 14 {
		return false
	}
	p := f[14:]
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0806:
		if len(p) < 28 || !bytes.Equal(p[:8], []byte{0, 1, 8, 0, 6, 4, 0, 1}) {
			return false
		}
		sender, target := netip.AddrFrom4([4]byte(p[14:18])), netip.AddrFrom4([4]byte(p[24:28]))
		return !sender.IsUnspecified() && sender != target
	case 0x86dd:
		if len(p) < 64 || p[0]>>4 != 6 || p[6] != 58 || p[40] != 135 || p[41] != 0 || p[7] != 255 {
			return false
		}
		size := int(p[4])<<8 + int(p[5])
		src, target := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[48:64]))
		if size < 24 || 40+size > len(p) || src == netip.IPv6Unspecified() || target.IsMulticast() && !target.Is4In6() {
			return false
		}
		sum := slowICMPv6Sum(p[:40+size])
		got := binary.BigEndian.Uint16(p[42:])
		// Zero has two forms in one's complement.
		return got == sum || got%0xffff == 0 && sum%0xffff == 0
	}
	return false
}

// FuzzTAPRead feeds a frame to the adaptor: it must not panic, must answer
// what the slow twin answers, and must pass on no question.
func FuzzTAPRead(f *testing.F) {
	f.Add(frame(tapMAC, hostMAC, "0800", ip4))
	f.Add(frame(tapMAC, hostMAC, "86dd", ip6))
	f.Add(arp("0001", "0a000001", "0a000002"))
	f.Add(arp("0001", "0a000001", "0a000001"))
	f.Add(solicit("fd00::1", "fd00::2", nil))
	f.Add(solicit("::", "fd00::2", nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 2048 {
			return
		}
		if len(in) >= 14 { // to us, from the host
			copy(in, bin(tapMAC, hostMAC))
		}
		dev := &script{batches: [][][]byte{{in}}}
		got := readAll(t, tundev.TAP(dev), 16)
		if answers := len(dev.written) == 1; answers != slowReplies(in) {
			t.Errorf("answered %v to %x", answers, in)
		}
		if len(got) > 1 || len(got) == 1 && !bytes.Equal(got[0], in[14:]) {
			t.Errorf("passed on %x of %x", got, in)
		}
		if len(got) == 1 && len(dev.written) == 1 {
			t.Errorf("answered and passed on %x", in)
		}
	})
}
