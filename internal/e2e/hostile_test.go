package e2e_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"tstun"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// TestLesson09ExtensionHeaderWalksEnd: the parser walks a chain of extension headers
// up to a bound. A packet with a longer chain does not pass, even if all is allowed.
func TestLesson09ExtensionHeaderWalksEnd(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	allowed, denied := craft.UDP(peer6, 1, host6, 80, "x"), craft.UDP(peer6, 1, host6, 81, "x")
	rig.WantPackets(t, "one header", r.FromPeer(craft.Extended(allowed, 60, 1)), craft.Extended(allowed, 60, 1))
	r.WantDrop(true, filter.ReasonNoRule, func() { r.FromPeer(craft.Extended(denied, 60, 1)) })
	r.W.SetFilter(filter.NewAllowAll(nil))
	for name, pkt := range map[string][]byte{
		"too many":          craft.Extended(allowed, 60, 30),
		"256":               craft.Extended(allowed, 60, 256),
		"hop-by-hop later":  craft.Extended(allowed, 0, 2),
		"leaves the packet": packet.Generate(packet.IPHeader{Src: peer6, Dst: host6, Proto: 60}, []byte{17, 255, 0, 0, 0, 0, 0, 0}),
		"ends in a header":  packet.Generate(packet.IPHeader{Src: peer6, Dst: host6, Proto: 60}, []byte{17}),
	} {
		t.Run(name, func(t *testing.T) {
			r.WantDrop(true, filter.ReasonExtensionHeaders, func() { rig.WantPackets(t, "in", r.FromPeer(pkt)) })
			r.WantDrop(false, filter.ReasonExtensionHeaders, func() { rig.WantPackets(t, "out", r.FromHost(pkt)) })
		})
	}
}

// TestLesson14MappedAddressesDodgeNoRule: an IPv4 address in an IPv6 packet is
// neither the IPv4 address nor a way around the rules for it.
func TestLesson14MappedAddressesDodgeNoRule(t *testing.T) {
	mapped := func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	for name, pkt := range map[string][]byte{
		"source":      craft.UDP(mapped(peer4), 1, host6, 80, "x"),
		"destination": craft.UDP(peer6, 1, mapped(host4), 80, "x"),
		"both":        craft.UDP(mapped(peer4), 1, mapped(host4), 80, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			r.WantDrop(true, filter.ReasonMappedAddr, func() { rig.WantPackets(t, "in", r.FromPeer(pkt)) })
			r.WantDrop(false, filter.ReasonMappedAddr, func() { rig.WantPackets(t, "out", r.FromHost(pkt)) })
		})
	}
}

// TestLesson14LengthsThatLie sets every length field of a good packet to every
// value of interest: nothing panics, and what passes is no longer than what
// came and says its own length.
func TestLesson14LengthsThatLie(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	fields := []struct {
		pkt []byte
		at  int
	}{
		{craft.UDP(peer4, 0, host4, 0, "payload"), 0},                         // header length
		{craft.UDP(peer4, 0, host4, 0, "payload"), 3},                         // total length
		{craft.UDP(peer4, 0, host4, 0, "payload"), 25},                        // UDP length
		{craft.TCP(peer4, 0, host4, 0, packet.TCPSyn, "payload"), 32},         // data offset
		{craft.UDP(peer6, 0, host6, 0, "payload"), 5},                         // payload length
		{craft.Extended(craft.UDP(peer6, 0, host6, 0, "payload"), 60, 1), 41}, // extension length
		{packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.SCTP}, make([]byte, 20)), 3},
	}
	for _, f := range fields {
		for v := range 256 {
			pkt := bytes.Clone(f.pkt)
			pkt[f.at] = byte(v)
			for _, got := range r.FromPeer(pkt) {
				length := int(binary.BigEndian.Uint16(got[2:]))
				if got[0]>>4 == 6 {
					length = 40 + int(binary.BigEndian.Uint16(got[4:]))
				}
				if len(got) > len(pkt) || length != len(got) {
					t.Errorf("byte %d = %d: a packet of %d bytes that says %d came of one of %d", f.at, v, len(got), length, len(pkt))
				}
			}
		}
	}
}

// TestStatisticsOfManyPeers: hostile peers come one after the other, and the honest
// one's connection still has an entry of its own.
func TestStatisticsOfManyPeers(t *testing.T) {
	r := rig.New(t, 8)
	r.W.SetStatisticsEnabled(true)
	r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) { return len(bufs), nil })
	r.Allow(rig.Everything())
	for p := range 18 {
		src := netip.AddrFrom4([4]byte{100, 65, 0, byte(p)})
		for i := range 400 {
			var batch [][]byte
			for j := range 128 {
				n := i*128 + j
				batch = append(batch, craft.TSMPPing(src, netip.AddrFrom4([4]byte{100, 70, byte(n >> 8), byte(n)})))
			}
			r.W.Write(rig.Wire(batch...), offset)
		}
	}
	honest := craft.UDP(peer4, 1, host4, 80, "hello")
	r.FromPeer(honest)
	s := r.W.ExtractStatistics()
	c := rig.Connection(ipproto.UDP, host4, 80, peer4, 1)
	if _, ok := s[c]; !ok {
		t.Errorf("no entry for %v among %d", c, len(s))
	}
}

func TestCases(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.To(rig.Port(80), ipproto.TCP))
	r.W.SetReject(tstun.RejectReset)
	r.FromPeer(craft.TCP(peer4, 22, host4, 50000, packet.TCPPsh|packet.TCPAck, "x")) // 1
	if q := r.Queued(); len(q) != 0 {
		t.Errorf("case 1: %d answers", len(q))
	}
	q := packet.Generate(packet.ICMPHeader{Src: host4, Dst: peer4, Type: 13, Rest: [4]byte{0, 9}}, make([]byte, 12))
	a := packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 14, Rest: [4]byte{0, 9}}, make([]byte, 12))
	r.FromHost(q)
	rig.WantPackets(t, "case 5", r.FromPeer(a), a)
	r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(craft.TCP(host4, 80, host4, 80, packet.TCPSyn, "")) })
	r.FromHost(craft.UDP(host4, 1, peer4, 2, "x"))
	quote := craft.UDP(host4, 1, peer4, 2, "1234567890")
	binary.BigEndian.PutUint16(quote[2:], 0)
	e := packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 3, Code: 4, Rest: [4]byte{0, 0, 5, 0}}, quote)
	rig.WantPackets(t, "case 8", r.FromPeer(e), e)
}

// TestPacketToItselfUnderNAT: source and destination are equal on the wire, and not
// behind the NAT.
func TestPacketToItselfUnderNAT(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.Everything())
	as := netip.MustParseAddr("100.99.0.1")
	if err := r.W.SetPeers([]tstun.Peer{{ID: 1, Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, NAT: []tstun.NAT{{Host: host4, As: as}}}}); err != nil {
		t.Fatal(err)
	}
	r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(craft.UDP(as, 80, as, 80, "x")) })
	r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(craft.UDP(host4, 80, as, 80, "x")) })
}
