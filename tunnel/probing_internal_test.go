package tunnel

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
	"tstun/policy"
)

// What passes tells of the flow that is tried alone, whatever else a peer sends.
func TestSighting(t *testing.T) {
	t.Parallel()
	here, there, router := craft.Host4, craft.Peer4, netip.MustParseAddr("100.64.0.99")
	src, dst := netip.AddrPortFrom(here, 5000), netip.AddrPortFrom(there, 80)
	tried := func(proto ipproto.Proto) *probing {
		f := policy.Flow{Proto: proto, Src: here, Dst: dst}
		p := newProbing(f, src, "peer")
		p.seq = 1000
		return p
	}
	tcp, udp, ping := tried(ipproto.TCP), tried(ipproto.UDP), tried(ipproto.ICMPv4)
	segment := func(from netip.AddrPort, ack uint32, flags packet.TCPFlag) []byte {
		return packet.Generate(packet.TCPHeader{Src: from, Dst: src, Ack: ack, Flags: flags}, nil)
	}
	sent := func(p *probing) []byte { return packet.Generate(p.first(), nil) }
	about := func(quoted []byte, typ, code uint8) []byte {
		return craft.ICMP(router, here, typ, 0, code, [4]byte{}, quoted)
	}
	rejected := func(p *probing, from netip.AddrPort, port uint16) []byte {
		return packet.Generate(packet.TSMPRejected{Src: netip.AddrPortFrom(here, port), Dst: from, Proto: p.Proto, Reason: packet.RejectedShieldsUp}, nil)
	}
	pong := func(data [8]byte, from netip.Addr) []byte {
		return packet.Generate(packet.TSMPPongReply{IPHeader: packet.IPHeader{Src: from, Dst: here}, Data: data}, nil)
	}
	other := sent(tried(ipproto.TCP))
	binary.BigEndian.PutUint16(other[20:], 5001)
	for _, tt := range []struct {
		name string
		p    *probing
		pkt  []byte
		drop filter.Reason
		want string // outcome and code, or presence, or nothing
	}{
		{"SYN-ACK", tcp, segment(dst, 1001, packet.TCPSynAck), 0, "answered"},
		{"SYN-ACK of another SYN", tcp, segment(dst, 1000, packet.TCPSynAck), 0, ""},
		{"SYN-ACK of another port", tcp, segment(netip.AddrPortFrom(there, 81), 1001, packet.TCPSynAck), 0, ""},
		{"SYN-ACK of another host", tcp, segment(netip.AddrPortFrom(router, 80), 1001, packet.TCPSynAck), 0, ""},
		{"SYN-ACK that is dropped", tcp, segment(dst, 1001, packet.TCPSynAck), filter.ReasonRevoked, "answer-refused revoked"},
		{"ACK, as of an open connection", tcp, segment(dst, 1001, packet.TCPAck), 0, ""},
		{"reset", tcp, segment(dst, 1001, packet.TCPRst|packet.TCPAck), 0, "closed"},
		{"reset of another SYN", tcp, segment(dst, 1002, packet.TCPRst|packet.TCPAck), 0, ""},
		{"datagram", udp, craft.UDP(there, 80, here, 5000, "x"), 0, "answered"},
		{"datagram to another port", udp, craft.UDP(there, 80, here, 5001, "x"), 0, ""},
		{"segment of another protocol", udp, segment(dst, 1001, packet.TCPSynAck), 0, ""},
		{"echo", ping, craft.Echo(there, here, 5000, true), 0, "answered"},
		{"echo of another ping", ping, craft.Echo(there, here, 5001, true), 0, ""},
		{"port unreachable, of UDP", udp, about(sent(udp), 3, 3), 0, "closed"},
		{"port unreachable, of TCP", tcp, about(sent(tcp), 3, 3), 0, "rejected port-unreachable"},
		{"prohibited", tcp, about(sent(tcp), 3, 13), 0, "rejected admin-prohibited"},
		{"host unreachable", ping, about(sent(ping), 3, 1), 0, "unreachable host-unreachable"},
		{"time exceeded", udp, about(sent(udp), 11, 0), 0, "unreachable time-exceeded"},
		{"an error without a name", udp, about(sent(udp), 12, 7), 0, "unreachable icmp-12-7"},
		{"an error about another flow", tcp, about(other, 3, 1), 0, ""},
		{"an error that is dropped, as from another peer", tcp, about(sent(tcp), 3, 1), filter.ReasonNoFlow, ""},
		{"rejection", tcp, rejected(tcp, dst, 5000), 0, "rejected shields-up"},
		{"rejection of a ping", ping, rejected(ping, dst, 5000), 0, "rejected shields-up"},
		{"rejection of another flow", tcp, rejected(tcp, dst, 5001), 0, ""},
		{"rejection of another protocol", tcp, rejected(udp, dst, 5000), 0, ""},
		{"pong", tcp, pong(tcp.ping, there), 0, "pong"},
		{"pong of another ping", tcp, pong([8]byte{1}, there), 0, ""},
		{"pong of another host", tcp, pong(tcp.ping, router), 0, ""},
		{"a host without TSMP", tcp, craft.ICMP(there, here, 3, 0, 2, [4]byte{}, craft.TSMPPing(here, there)), 0, "no-tsmp"},
		{"a router without TSMP", tcp, about(craft.TSMPPing(here, there), 3, 2), 0, ""},
	} {
		o := tstun.Observation{Packet: tt.pkt, Inbound: true, Verdict: filter.Verdict{Response: filter.Accept}}
		if tt.drop != 0 {
			o.Verdict = filter.Verdict{Response: filter.Drop, Reason: tt.drop}
		}
		s, ok := tt.p.sighting(&o)
		got := ""
		switch {
		case !ok:
		case s.outcome == "":
			got = string(s.presence)
		case s.code == "":
			got = string(s.outcome)
		default:
			got = string(s.outcome) + " " + s.code
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
