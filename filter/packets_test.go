package filter_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// The addresses of most tests. The host listens on port 80 if anywhere.
const (
	host4, peer4 = "100.64.0.1", "100.64.0.2"
	host6, peer6 = "fd7a::1", "fd7a::2"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrPort(s string, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr(s), port) }

func nets(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// to returns the destinations of a rule.
func to(ports filter.PortRange, list ...string) (ds []filter.NetPortRange) {
	for _, p := range nets(list...) {
		ds = append(ds, filter.NetPortRange{Net: p, Ports: ports})
	}
	return ds
}

func port(n uint16) filter.PortRange { return filter.PortRange{First: n, Last: n} }

var (
	local    = nets(host4+"/32", host6+"/128")
	anywhere = nets("0.0.0.0/0", "::/0")
)

// rule allows protocols from anywhere to ports of the host.
func rule(ports filter.PortRange, protos ...ipproto.Proto) filter.Match {
	return filter.Match{IPProto: protos, Srcs: anywhere, Dsts: to(ports, host4+"/32", host6+"/128")}
}

// newFilter makes a filter for the host; c.Local is filled in if it is empty.
func newFilter(t testing.TB, c filter.Config) *filter.Filter {
	t.Helper()
	if c.Local == nil {
		c.Local = local
	}
	f, err := filter.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pair is two endpoints, the host's and the peer's.
type pair struct{ host, peer netip.AddrPort }

func ends4(hostPort, peerPort uint16) pair {
	return pair{addrPort(host4, hostPort), addrPort(peer4, peerPort)}
}

func ends6(hostPort, peerPort uint16) pair {
	return pair{addrPort(host6, hostPort), addrPort(peer6, peerPort)}
}

// event is a packet in one direction.
type event struct {
	out bool
	b   []byte
}

func in(b []byte) event  { return event{b: b} }
func out(b []byte) event { return event{out: true, b: b} }

func (e pair) udpIn() event {
	return in(packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, []byte("from the peer")))
}

func (e pair) udpOut() event {
	return out(packet.Generate(packet.UDPHeader{Src: e.host, Dst: e.peer}, []byte("from the host")))
}

func (e pair) tcpIn(flags packet.TCPFlag) event {
	return in(packet.Generate(packet.TCPHeader{Src: e.peer, Dst: e.host, Flags: flags}, nil))
}

func (e pair) tcpOut(flags packet.TCPFlag) event {
	return out(packet.Generate(packet.TCPHeader{Src: e.host, Dst: e.peer, Flags: flags}, nil))
}

// sctp returns a bare SCTP common header (RFC 9260 §3.1).
func sctp(src, dst netip.AddrPort) []byte {
	h := make([]byte, 12)
	binary.BigEndian.PutUint16(h, src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	return packet.Generate(packet.IPHeader{Src: src.Addr(), Dst: dst.Addr(), Proto: ipproto.SCTP}, h)
}

func (e pair) sctpIn() event  { return in(sctp(e.peer, e.host)) }
func (e pair) sctpOut() event { return out(sctp(e.host, e.peer)) }

func plain(proto ipproto.Proto, src, dst netip.AddrPort) []byte {
	return packet.Generate(packet.IPHeader{Src: src.Addr(), Dst: dst.Addr(), Proto: proto}, make([]byte, 16))
}

func (e pair) plainIn(proto ipproto.Proto) event  { return in(plain(proto, e.peer, e.host)) }
func (e pair) plainOut(proto ipproto.Proto) event { return out(plain(proto, e.host, e.peer)) }

func icmp(src, dst netip.Addr, typ4, typ6, code uint8, rest [4]byte, payload []byte) []byte {
	h := packet.ICMPHeader{Src: src, Dst: dst, Type: typ4, Code: code, Rest: rest}
	if src.Is6() {
		h.Type = typ6
	}
	return packet.Generate(h, payload)
}

func echoRest(id uint16) [4]byte { return [4]byte{byte(id >> 8), byte(id), 0, 1} }

func (e pair) pingIn(id uint16) event {
	return in(icmp(e.peer.Addr(), e.host.Addr(), 8, 128, 0, echoRest(id), []byte("ping")))
}

func (e pair) pingOut(id uint16) event {
	return out(icmp(e.host.Addr(), e.peer.Addr(), 8, 128, 0, echoRest(id), []byte("ping")))
}

func (e pair) pongIn(id uint16) event {
	return in(icmp(e.peer.Addr(), e.host.Addr(), 0, 129, 0, echoRest(id), []byte("ping")))
}

func (e pair) pongOut(id uint16) event {
	return out(icmp(e.host.Addr(), e.peer.Addr(), 0, 129, 0, echoRest(id), []byte("ping")))
}

// errorIn is an ICMP error from router to the host about the packet quoted:
// "destination unreachable".
func errorIn(router string, dst netip.Addr, quoted event) event {
	return in(icmp(addr(router), dst, 3, 1, 3, [4]byte{}, quoted.b))
}

// expect judges an event at a time and compares the reason.
func expect(t *testing.T, f *filter.Filter, at time.Duration, e event, want filter.Reason) {
	t.Helper()
	expectFlags(t, f, at, e, 0, want)
}

func expectFlags(t *testing.T, f *filter.Filter, at time.Duration, e event, flags filter.RunFlags, want filter.Reason) {
	t.Helper()
	if v := judge(f, at, e, flags); v.Reason != want || v.Response.IsDrop() != (want != filter.ReasonNone) {
		var p packet.Parsed
		p.Decode(e.b)
		t.Errorf("at %v, %v (out: %v): %v, %v; want reason %v", at, &p, e.out, v.Response, v.Reason, want)
	}
}

// judge does with an event what the Wrapper does.
func judge(f *filter.Filter, at time.Duration, e event, flags filter.RunFlags) filter.Verdict {
	var p packet.Parsed
	p.Decode(e.b)
	if !e.out {
		return f.In(&p, int64(at), flags)
	}
	v := f.Out(&p, int64(at), flags)
	if v.Response == filter.Accept {
		var id flow.ID
		id.SetOut(&p)
		f.RecordRun(&p, &id, int64(at), flags, nil)
	}
	return v
}

// fragment4 cuts from an IPv4 packet without options the data from offset to
// end as a fragment of its own.
func fragment4(b []byte, id uint16, offset, end int) []byte {
	data := b[20:]
	f := append(append([]byte{}, b[:20]...), data[offset:min(end, len(data))]...)
	binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
	binary.BigEndian.PutUint16(f[4:], id)
	field := uint16(offset / 8)
	if end < len(data) {
		field |= 0x2000
	}
	binary.BigEndian.PutUint16(f[6:], field)
	f[10], f[11] = 0, 0
	binary.BigEndian.PutUint16(f[10:], ^packet.Checksum(f[:20], 0))
	return f
}

// fragment6 is fragment4 for an IPv6 packet without extension headers.
func fragment6(b []byte, id uint32, offset, end int) []byte {
	data := b[40:]
	h := []byte{b[6], 0, 0, 0, 0, 0, 0, 0}
	field := uint16(offset)
	if end < len(data) {
		field |= 1
	}
	binary.BigEndian.PutUint16(h[2:], field)
	binary.BigEndian.PutUint32(h[4:], id)
	f := append(append([]byte{}, b[:40]...), h...)
	f = append(f, data[offset:min(end, len(data))]...)
	f[6] = 44 // RFC 8200 §4.5
	binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
	return f
}

const (
	syn    = packet.TCPSyn
	synAck = packet.TCPSynAck
	ack    = packet.TCPAck
	finAck = packet.TCPFin | packet.TCPAck
	rst    = packet.TCPRst
	none   = filter.ReasonNone
)
