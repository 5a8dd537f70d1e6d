package e2e_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"tstun/internal/netns"
	"tstun/internal/rig"
	"tstun/ipproto"
	"tstun/packet"
)

// TestClampMSSAsNftables: a kernel that forwards with nftables' "tcp option maxseg
// size set" makes the same of the same segments, whole and with their checksums.
func TestClampMSSAsNftables(t *testing.T) {
	router := &rig.Host{NS: netns.New(t)}
	var tuns [2]*os.File
	for i, name := range []string{"in0", "out0"} {
		err := router.NS.Do(func() (err error) {
			tuns[i], err = rig.OpenTUN(name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer tuns[i].Close()
	}
	(&rig.Host{NS: router.NS, Name: "in0"}).Configure(t, netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd01::1"))
	(&rig.Host{NS: router.NS, Name: "out0"}).Configure(t, netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("fd02::1"))
	router.Run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	router.Run(t, "nft", "add table inet t; add chain inet t c { type filter hook forward priority 0; }; add rule inet t c tcp flags syn tcp option maxseg size set 1000")
	for _, options := range [][]byte{
		nil,
		{2, 4, 0x05, 0xb4},
		{2, 4, 0x01, 0x00},
		{2, 4, 0x03, 0xe8},
		{2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7},
		{1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 2, 4, 0xff, 0xff},
		{2, 3, 9, 1},
		{254, 4, 9, 9, 2, 4, 9, 9},
	} {
		for _, ends := range [][2]string{{"10.1.0.2", "10.2.0.2"}, {"fd01::2", "fd02::2"}} {
			syn := synWith(netip.MustParseAddr(ends[0]), netip.MustParseAddr(ends[1]), options)
			if _, err := tuns[0].Write(syn); err != nil {
				t.Fatal(err)
			}
			theirs := nextTCP(t, tuns[1])
			var p packet.Parsed
			p.Decode(syn)
			p.ClampMSS(1000)
			if !bytes.Equal(p.Transport(), theirs) {
				t.Errorf("%x to %s:\n ours %x\ntheirs %x", options, ends[1], p.Transport(), theirs)
			}
		}
	}
}

// synWith returns a SYN with options, whose length is a multiple of 4.
func synWith(src, dst netip.Addr, options []byte) []byte {
	t := append(make([]byte, 20), options...)
	binary.BigEndian.PutUint16(t, 4000)
	binary.BigEndian.PutUint16(t[2:], 80)
	t[12], t[13] = byte(len(t)/4<<4), byte(packet.TCPSyn)
	sum := uint64(packet.PseudoHeaderSum(ipproto.TCP, src, dst, len(t))) + uint64(packet.Checksum(t, 0))
	binary.BigEndian.PutUint16(t[16:], ^packet.Fold(sum))
	return packet.Generate(packet.IPHeader{Src: src, Dst: dst, Proto: ipproto.TCP, TTL: 64}, t)
}

// nextTCP returns the next TCP segment that a TUN hands out.
func nextTCP(t *testing.T, f *os.File) []byte {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		b := make([]byte, 2000)
		n, err := f.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		var p packet.Parsed
		if p.Decode(b[:n]); p.IPProto == ipproto.TCP {
			return p.Transport()
		}
	}
}
