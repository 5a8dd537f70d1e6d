package packet_test

import (
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

// decodeWant is what TestDecode compares of a Parsed.
type decodeWant struct {
	version       uint8
	ipProto       ipproto.Proto
	proto         ipproto.Proto
	problem       packet.Problem
	ports         bool // Src and Dst have the ports of src4, dst4, src6, dst6
	transport     int  // length of Transport, -1: nil
	payload       int  // length of Payload, -1: nil
	buffer        int  // length of Buffer, 0: that of the input
	fragment      bool
	fragmentValue packet.Fragment
}

func TestDecode(t *testing.T) {
	var tests []decodeCase
	tests = append(tests, ip4Cases()...)
	tests = append(tests, option4Cases()...)
	tests = append(tests, fragment4Cases()...)
	tests = append(tests, transportCases()...)
	tests = append(tests, ip6Cases()...)
	tests = append(tests, extensionCases()...)
	tests = append(tests, fragment6Cases()...)
	p := new(packet.Parsed)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.Decode(tt.in)
			checkDecoded(t, p, tt.in, tt.want)
		})
	}
}

// checkDecoded compares all that is visible of p.
func checkDecoded(t *testing.T, p *packet.Parsed, in []byte, want decodeWant) {
	t.Helper()
	length := func(b []byte) int {
		if b == nil {
			return -1
		}
		return len(b)
	}
	f, ok := p.Fragment()
	got := decodeWant{
		version: p.IPVersion, ipProto: p.IPProto, proto: p.Proto(), problem: p.Problem(), ports: p.Src.Port() != 0 || p.Dst.Port() != 0,
		transport: length(p.Transport()), payload: length(p.Payload()), buffer: len(p.Buffer()), fragment: ok, fragmentValue: f,
	}
	if want.buffer == 0 {
		want.buffer = len(in)
	}
	if got != want {
		t.Errorf("Decode:\n got %+v\nwant %+v", got, want)
	}
	wantSrc, wantDst := netip.AddrPort{}, netip.AddrPort{}
	switch want.version {
	case 4:
		wantSrc, wantDst = src4, dst4
	case 6:
		wantSrc, wantDst = src6, dst6
	}
	if !want.ports {
		wantSrc, wantDst = netip.AddrPortFrom(wantSrc.Addr(), 0), netip.AddrPortFrom(wantDst.Addr(), 0)
	}
	if p.Src != wantSrc || p.Dst != wantDst {
		t.Errorf("Decode: %v > %v, want %v > %v", p.Src, p.Dst, wantSrc, wantDst)
	}
	if p.IPProto != ipproto.TCP && p.TCPFlags != 0 {
		t.Errorf("TCPFlags of a packet that is %v: %v", p.IPProto, p.TCPFlags)
	}
}

// TestDecodeMapped is row 14 of docs/lessons.md: an IPv4 address in an IPv6 header is
// not an IPv4 address.
func TestDecodeMapped(t *testing.T) {
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:53")
	var p packet.Parsed
	p.Decode(packet.Generate(packet.UDPHeader{Src: mapped, Dst: dst6}, nil))
	if p.IPVersion != 6 || p.Src != mapped || !p.Src.Addr().Is4In6() {
		t.Errorf("Decode: version %d, source %v; want 6, %v", p.IPVersion, p.Src, mapped)
	}
}

// TestDecodeResets decodes every pair of the table one after the other.
func TestDecodeResets(t *testing.T) {
	var all []decodeCase
	for _, cases := range [][]decodeCase{ip4Cases(), option4Cases(), transportCases(), fragment4Cases(), ip6Cases(), extensionCases(), fragment6Cases()} {
		all = append(all, cases...)
	}
	for _, before := range all {
		for _, tt := range all {
			var fresh, used packet.Parsed
			fresh.Decode(tt.in)
			used.Decode(before.in)
			used.Decode(tt.in)
			if describe(&fresh) != describe(&used) {
				t.Fatalf("%s after %s: %+v, want %+v", tt.name, before.name, describe(&used), describe(&fresh))
			}
		}
	}
}

// description is all that a Parsed shows, comparable.
type description struct {
	version                    uint8
	ipProto, proto             ipproto.Proto
	src, dst                   netip.AddrPort
	flags                      packet.TCPFlag
	problem                    packet.Problem
	fragment                   packet.Fragment
	isFragment                 bool
	buffer, transport, payload string
	typ, code                  uint8
	echoID                     uint16
}

func describe(p *packet.Parsed) description {
	d := description{
		version: p.IPVersion, ipProto: p.IPProto, proto: p.Proto(), src: p.Src, dst: p.Dst, flags: p.TCPFlags, problem: p.Problem(),
		buffer: string(p.Buffer()), transport: string(p.Transport()), payload: string(p.Payload()), echoID: p.EchoID(),
	}
	d.fragment, d.isFragment = p.Fragment()
	d.typ, d.code = p.ICMP()
	return d
}

func TestParsedZero(t *testing.T) {
	var p packet.Parsed
	if d := describe(&p); d != (description{}) {
		t.Errorf("zero Parsed: %+v", d)
	}
	if p.IsTCPSyn() || p.IsError() || p.IsEchoRequest() || p.SetSrcAddr(src4.Addr()) || p.Quoted(new(packet.Parsed)) {
		t.Error("a zero Parsed is something")
	}
}
