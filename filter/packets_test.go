package filter_test

import (
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/rig/craft"
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

func (e pair) sctpIn() event  { return in(craft.SCTP(e.peer, e.host)) }
func (e pair) sctpOut() event { return out(craft.SCTP(e.host, e.peer)) }

func plain(proto ipproto.Proto, src, dst netip.AddrPort) []byte {
	return packet.Generate(packet.IPHeader{Src: src.Addr(), Dst: dst.Addr(), Proto: proto}, make([]byte, 16))
}

func (e pair) plainIn(proto ipproto.Proto) event  { return in(plain(proto, e.peer, e.host)) }
func (e pair) plainOut(proto ipproto.Proto) event { return out(plain(proto, e.host, e.peer)) }

func echoRest(id uint16) [4]byte { return [4]byte{byte(id >> 8), byte(id), 0, 1} }

func (e pair) pingIn(id uint16) event {
	return in(craft.ICMP(e.peer.Addr(), e.host.Addr(), 8, 128, 0, echoRest(id), []byte("ping")))
}

func (e pair) pingOut(id uint16) event {
	return out(craft.ICMP(e.host.Addr(), e.peer.Addr(), 8, 128, 0, echoRest(id), []byte("ping")))
}

func (e pair) pongIn(id uint16) event {
	return in(craft.ICMP(e.peer.Addr(), e.host.Addr(), 0, 129, 0, echoRest(id), []byte("ping")))
}

func (e pair) pongOut(id uint16) event {
	return out(craft.ICMP(e.host.Addr(), e.peer.Addr(), 0, 129, 0, echoRest(id), []byte("ping")))
}

// errorIn is an ICMP error from router to the host about the packet quoted:
// "destination unreachable".
func errorIn(router string, dst netip.Addr, quoted event) event {
	return in(craft.ICMP(addr(router), dst, 3, 1, 3, [4]byte{}, quoted.b))
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
		f.RecordRun(&p, &id, int64(at), flags, nil, nil)
	}
	return v
}

const (
	syn    = packet.TCPSyn
	synAck = packet.TCPSynAck
	ack    = packet.TCPAck
	finAck = packet.TCPFin | packet.TCPAck
	rst    = packet.TCPRst
	none   = filter.ReasonNone
)
