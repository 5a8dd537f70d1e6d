package tstun_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// extended puts n extension headers of a kind, each 8 bytes long, between
// the IPv6 header of pkt and the rest.
func extended(pkt []byte, kind byte, n int) []byte {
	out := bytes.Clone(pkt[:40])
	next := pkt[6]
	if n > 0 {
		out[6] = kind
	}
	for i := range n {
		h := [8]byte{kind, 0, 1, 4}
		if i == n-1 {
			h[0] = next
		}
		out = append(out, h[:]...)
	}
	out = append(out, pkt[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}

// TestLesson09ExtensionHeaderWalksEnd: a chain is walked to its end within a
// bound, and what lies behind the bound does not pass, not even where all is
// allowed.
func TestLesson09ExtensionHeaderWalksEnd(t *testing.T) {
	r := newRig(t, 1)
	r.allow(to(port(80)))
	allowed, denied := udp(peer6, 1, host6, 80, "x"), udp(peer6, 1, host6, 81, "x")
	wantPackets(t, "one header", r.fromPeer(extended(allowed, 60, 1)), extended(allowed, 60, 1))
	r.wantDrop(true, filter.ReasonNoRule, func() { r.fromPeer(extended(denied, 60, 1)) })
	r.w.SetFilter(filter.NewAllowAll(nil))
	for name, pkt := range map[string][]byte{
		"too many":          extended(allowed, 60, 30),
		"256":               extended(allowed, 60, 256),
		"hop-by-hop later":  extended(allowed, 0, 2),
		"leaves the packet": packet.Generate(packet.IPHeader{Src: peer6, Dst: host6, Proto: 60}, []byte{17, 255, 0, 0, 0, 0, 0, 0}),
		"ends in a header":  packet.Generate(packet.IPHeader{Src: peer6, Dst: host6, Proto: 60}, []byte{17}),
	} {
		t.Run(name, func(t *testing.T) {
			r.wantDrop(true, filter.ReasonExtensionHeaders, func() { wantPackets(t, "in", r.fromPeer(pkt)) })
			r.wantDrop(false, filter.ReasonExtensionHeaders, func() { wantPackets(t, "out", r.fromHost(pkt)) })
		})
	}
}

// TestLesson14MappedAddressesDodgeNoRule: an IPv4 address in an IPv6 packet is
// neither the IPv4 address nor a way around the rules for it.
func TestLesson14MappedAddressesDodgeNoRule(t *testing.T) {
	mapped := func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
	r := newRig(t, 1)
	r.w.SetFilter(filter.NewAllowAll(nil))
	for name, pkt := range map[string][]byte{
		"source":      udp(mapped(peer4), 1, host6, 80, "x"),
		"destination": udp(peer6, 1, mapped(host4), 80, "x"),
		"both":        udp(mapped(peer4), 1, mapped(host4), 80, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			r.wantDrop(true, filter.ReasonMappedAddr, func() { wantPackets(t, "in", r.fromPeer(pkt)) })
			r.wantDrop(false, filter.ReasonMappedAddr, func() { wantPackets(t, "out", r.fromHost(pkt)) })
		})
	}
}

// TestLesson14LengthsThatLie sets every length field of a good packet to every
// value of interest: nothing panics, and what passes is no longer than what
// came and says its own length.
func TestLesson14LengthsThatLie(t *testing.T) {
	r := newRig(t, 1)
	r.w.SetFilter(filter.NewAllowAll(nil))
	fields := []struct {
		pkt []byte
		at  int
	}{
		{udp(peer4, 0, host4, 0, "payload"), 0},                   // header length
		{udp(peer4, 0, host4, 0, "payload"), 3},                   // total length
		{udp(peer4, 0, host4, 0, "payload"), 25},                  // UDP length
		{tcp(peer4, 0, host4, 0, packet.TCPSyn, "payload"), 32},   // data offset
		{udp(peer6, 0, host6, 0, "payload"), 5},                   // payload length
		{extended(udp(peer6, 0, host6, 0, "payload"), 60, 1), 41}, // extension length
		{packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.SCTP}, make([]byte, 20)), 3},
	}
	for _, f := range fields {
		for v := range 256 {
			pkt := bytes.Clone(f.pkt)
			pkt[f.at] = byte(v)
			for _, got := range r.fromPeer(pkt) {
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
