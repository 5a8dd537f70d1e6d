package tstun_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"tstun"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// segment returns one of a handshake that says an MSS, with a right checksum.
func segment(src, dst netip.Addr, flags packet.TCPFlag, mss uint16) []byte {
	t := make([]byte, 24)
	binary.BigEndian.PutUint16(t, 7)
	binary.BigEndian.PutUint16(t[2:], 7)
	t[12], t[13] = 6<<4, byte(flags)
	copy(t[20:], []byte{2, 4, byte(mss >> 8), byte(mss)})
	sum := uint64(packet.PseudoHeaderSum(ipproto.TCP, src, dst, len(t))) + uint64(packet.Checksum(t, 0))
	binary.BigEndian.PutUint16(t[16:], ^packet.Fold(sum))
	return packet.Generate(packet.IPHeader{Src: src, Dst: dst, Proto: ipproto.TCP}, t)
}

func TestClampToMTU(t *testing.T) {
	for mtu, want := range map[int]tstun.MSSClamp{
		1280: {IPv4: 1240, IPv6: 1220}, 1420: {IPv4: 1380, IPv6: 1360}, 65535: {IPv4: 65495, IPv6: 65475},
		0: {IPv4: 1, IPv6: 1}, -9: {IPv4: 1, IPv6: 1}, 1 << 20: {IPv4: 65535, IPv6: 65535},
	} {
		if got := tstun.ClampToMTU(mtu); got != want {
			t.Errorf("MTU %d: %+v, want %+v", mtu, got, want)
		}
	}
}

// TestMSSClamp: SYN and SYN-ACK, both ways, both versions of IP, with and without
// a bound of the peer's own. What is injected for a peer is clamped too, what is
// injected for the host is not.
func TestMSSClamp(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		all := tstun.MSSClamp{IPv4: 1300, IPv6: 1300}
		tests := []struct {
			name      string
			all, peer tstun.MSSClamp
			want      uint16
		}{
			{"off", tstun.MSSClamp{}, tstun.MSSClamp{}, 1460},
			{"all", all, tstun.MSSClamp{}, 1300},
			{"peer", tstun.MSSClamp{}, tstun.MSSClamp{IPv4: 1100, IPv6: 1100}, 1100},
			{"peer's lower", all, tstun.MSSClamp{IPv4: 1100, IPv6: 1100}, 1100},
			{"peer's higher", all, tstun.MSSClamp{IPv4: 1400, IPv6: 1400}, 1300},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := rig.New(t, 1)
				r.Allow(rig.Everything())
				r.W.SetMSSClamp(tt.all)
				if err := r.W.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, MSSClamp: tt.peer}}); err != nil {
					t.Fatal(err)
				}
				rig.WantPackets(t, "SYN out", r.FromHost(segment(host, peer, packet.TCPSyn, 1460)), segment(host, peer, packet.TCPSyn, tt.want))
				rig.WantPackets(t, "SYN-ACK in", r.FromPeer(segment(peer, host, packet.TCPSynAck, 1460)), segment(peer, host, packet.TCPSynAck, tt.want))
				rig.WantPackets(t, "SYN in", r.FromPeer(segment(peer, host, packet.TCPSyn, 1460)), segment(peer, host, packet.TCPSyn, tt.want))
				rig.WantPackets(t, "ACK out", r.FromHost(segment(host, peer, packet.TCPAck, 1460)), segment(host, peer, packet.TCPAck, 1460))
				if err := r.W.InjectOutbound(segment(host, peer, packet.TCPSyn, 1460)); err != nil {
					t.Fatal(err)
				}
				rig.WantPackets(t, "injected out", r.Read(1), segment(host, peer, packet.TCPSyn, tt.want))
				in := segment(peer, host, packet.TCPSyn, 1460)
				buf := append(make([]byte, rig.Offset), in...)
				if err := r.W.InjectInboundDirect(buf, rig.Offset); err != nil || !bytes.Equal(buf[rig.Offset:], in) {
					t.Errorf("injected in: %v, %x, want %x", err, buf[rig.Offset:], in)
				}
			})
		}
	})
}

// TestMSSClampBehindKnownFlow: the verdict cache has a flow's last packet, and the
// next SYN of its addresses and ports is clamped all the same.
func TestMSSClampBehindKnownFlow(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.Everything())
	r.W.SetMSSClamp(tstun.ClampToMTU(1280))
	r.FromHost(segment(craft.Host4, craft.Peer4, packet.TCPSyn, 1460))
	for range 4 {
		r.FromHost(segment(craft.Host4, craft.Peer4, packet.TCPAck, 1460))
	}
	rig.WantPackets(t, "again", r.FromHost(segment(craft.Host4, craft.Peer4, packet.TCPSyn, 1460)), segment(craft.Host4, craft.Peer4, packet.TCPSyn, 1240))
}

// What is injected after a change is under it, also if a batch of injected packets is
// under way.
func TestChangeIsForWhatIsInjectedLater(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 8)
		syn := segment(host, peer, packet.TCPSyn, 1460)
		first := true
		r.W.SetCapture(func(*tstun.Observation) {
			if first {
				first = false
				r.W.SetMSSClamp(tstun.MSSClamp{IPv4: 800, IPv6: 800})
				if err := r.W.InjectOutbound(bytes.Clone(syn)); err != nil {
					t.Error(err)
				}
			}
		})
		if err := r.W.InjectOutbound(bytes.Clone(syn)); err != nil {
			t.Fatal(err)
		}
		var got []uint16
		for len(got) < 2 {
			for _, pkt := range r.Read(1) {
				p := rig.Parse(t, pkt)
				got = append(got, binary.BigEndian.Uint16(p.Transport()[22:]))
			}
		}
		if got[0] != 1460 || got[1] != 800 {
			t.Errorf("MSS %d before the change and %d after it, want 1460 and 800", got[0], got[1])
		}
	})
}
