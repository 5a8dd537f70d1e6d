package attack_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"tstun/filter"
)

// attacks are scripts for scapy with what must come of them: the reason of
// every packet that is dropped, and how many packets reach the victim that
// hold the word PASS. No packet that holds the word DENY may.
var attacks = []struct {
	name, script string
	drops        map[filter.Reason]uint64
	pass         int
}{
	{
		// The port of the first fragment is open; what follows tries to
		// write another port or other data over it.
		name: "overlapping fragments",
		script: `
ok = bytes(UDP(sport=1000, dport=53, len=48) / b"PASS" / (b"a" * 36))
no = bytes(UDP(sport=1000, dport=5353, len=48) / b"DENY" / (b"b" * 36))
def four(id, at, data, more): return IP(src=A4, dst=V4, proto=17, id=id, flags="MF" if more else 0, frag=at // 8) / data
def six(id, at, data, more): return IPv6(src=A6, dst=V6) / IPv6ExtHdrFragment(nh=17, id=id, offset=at // 8, m=more) / data
for f in four, six:
    put(f(1, 0, ok[:24], 1), f(1, 8, no[:24], 1), f(1, 16, no[:16], 0))  # inside and across
    put(f(2, 0, ok[:24], 1), f(2, 0, ok[:32], 1), f(2, 0, no[:16], 1))   # first ones of other lengths
    put(f(3, 0, ok[:24], 1), f(3, 0, no[:24], 1), f(3, 24, no[24:], 0))  # a denied one in place of the first
    put(f(4, 24, no[24:], 0), f(4, 0, no[:24], 1), f(4, 24, b"DENY" * 6, 0))
`,
		drops: map[filter.Reason]uint64{
			filter.ReasonFragmentOverlap: 8,
			filter.ReasonNoRule:          6, // two that were held for a denied first
			filter.ReasonFragmentDenied:  4,
		},
		pass: 6,
	},
	{
		name: "tiny fragments",
		script: `
t = bytes(TCP(sport=1000, dport=22, flags="S", options=[("NOP", None)] * 12) / b"DENY")
def four(at, data, more): return IP(src=A4, dst=V4, proto=6, id=at + 100, flags="MF" if more else 0, frag=at // 8) / data
def six(at, data, more): return IPv6(src=A6, dst=V6) / IPv6ExtHdrFragment(nh=6, id=at + 100, offset=at // 8, m=more) / data
for f in four, six:
    put(f(0, t[:8], 1), f(0, t[:16], 1), f(0, t[:24], 1))   # a part of the header (RFC 1858)
    put(f(8, t[8:32], 0), f(16, t[16:32], 0))               # the flags (RFC 3128)
put(IPv6(src=A6, dst=V6) / IPv6ExtHdrFragment(nh=60, id=9, m=1) / bytes(IPv6ExtHdrDestOpt(nh=6, len=3, options=[PadN(optdata=b"\0" * 28)]))[:16])
`,
		drops: map[filter.Reason]uint64{filter.ReasonFragmentTiny: 11},
	},
	{
		name: "flood of orphans",
		script: `
four = bytearray(bytes(IP(src=A4, dst=V4, proto=17, frag=100) / (b"DENY" * 10)))
six = bytearray(bytes(IPv6(src=A6, dst=V6) / IPv6ExtHdrFragment(nh=17, offset=100) / (b"DENY" * 10)))
for i in range(3000):
    four[4:6], six[44:48] = (1000 + i).to_bytes(2, "big"), (1000 + i).to_bytes(4, "big")
    put(four, six)
`,
		drops: map[filter.Reason]uint64{filter.ReasonFragmentOrphan: 6000},
	},
	{
		// More than the filter remembers. The first fragments of services
		// must find room all the same.
		name: "flood of denied first fragments",
		script: `
four = bytearray(bytes(IP(src=A4, dst=V4, proto=17, flags="MF") / UDP(dport=5353, len=500) / (b"DENY" * 10)))
for i in range(6000):
    four[4:6] = (5000 + i).to_bytes(2, "big")
    put(four)
`,
		drops: map[filter.Reason]uint64{filter.ReasonNoRule: 6000},
	},
	{
		name: "extension header chains",
		script: `
def six(): return IPv6(src=A6, dst=V6)
def chain(n):
    p = six()
    for i in range(n): p = p / IPv6ExtHdrDestOpt()
    return p
ping = UDP(sport=1001, dport=53) / b"DENY"
put(chain(9) / ping, chain(100) / ping)
put(six() / IPv6ExtHdrHopByHop() / IPv6ExtHdrHopByHop() / ping, six() / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / ping)
put(six() / IPv6ExtHdrRouting(type=0, segleft=0, addresses=[V6]) / ping)        # RFC 5095
put(six() / IPv6ExtHdrRouting(type=0, segleft=1, addresses=["fd09::3"]) / ping)
put(six() / IPv6ExtHdrSegmentRouting(segleft=1, lastentry=1, addresses=["fd09::3", V6]) / ping)
put(six() / IPv6ExtHdrFragment(m=1) / IPv6ExtHdrFragment() / ping)
put(IPv6(src=A6, dst=V6, nh=60) / bytes([17, 200, 1, 4, 0, 0, 0, 0]) / b"DENY")  # longer than the packet
put(IPv6(src=A6, dst=V6, nh=60) / b"")
no = UDP(sport=1001, dport=5353) / b"DENY"
put(chain(1) / no, chain(8) / no, six() / IPv6ExtHdrFragment() / no)             # found behind the chain
put(IPv6(src=A6, dst=V6, nh=59) / b"DENY")
yes = UDP(sport=1001, dport=53) / b"PASS"
put(six() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / yes, chain(8) / yes, six() / IPv6ExtHdrFragment() / yes)
`,
		drops: map[filter.Reason]uint64{filter.ReasonExtensionHeaders: 9, filter.ReasonMalformed: 1, filter.ReasonNoRule: 4},
		pass:  3,
	},
	{
		name: "IPv4-mapped addresses",
		script: `
for port in 53, 5353:
    put(IPv6(src="::ffff:10.9.0.2", dst=V6) / UDP(dport=port) / b"DENY")
    put(IPv6(src="::ffff:10.9.0.1", dst=V6) / UDP(dport=port) / b"DENY")
    put(IPv6(src=A6, dst="::ffff:10.9.0.1") / UDP(dport=port) / b"DENY")
    put(IPv6(src="::ffff:10.9.0.2", dst="::ffff:10.9.0.1") / UDP(dport=port) / b"DENY")
    put(IPv6(src="::ffff:127.0.0.1", dst=V6) / UDP(dport=port) / b"DENY")
`,
		drops: map[filter.Reason]uint64{filter.ReasonMappedAddr: 10},
	},
	{
		name: "addresses that cannot be",
		script: `
for src in "127.0.0.1", "0.0.0.0", "255.255.255.255", "240.0.0.1", "224.0.0.1":
    put(IP(src=src, dst=V4) / UDP(dport=53) / b"DENY")
put(IP(src=A4, dst="127.0.0.1") / UDP(dport=53) / b"DENY")
for src in "::1", "::", "ff02::1":
    put(IPv6(src=src, dst=V6) / UDP(dport=53) / b"DENY")
put(IPv6(src=A6, dst="::1") / UDP(dport=53) / b"DENY")
put(IP(src=A4, dst="10.9.0.77") / UDP(dport=53) / b"DENY", IPv6(src=A6, dst="fd09::77") / UDP(dport=53) / b"DENY")
`,
		drops: map[filter.Reason]uint64{filter.ReasonMartian: 10, filter.ReasonNotLocal: 2},
	},
	{
		name: "spoofed ICMP errors",
		script: `
for sport, dport in (22, 7777), (3306, 7777), (40000, 443):
    q4 = IP(src=V4, dst=A4) / TCP(sport=sport, dport=dport) / b"DENY"
    q6 = IPv6(src=V6, dst=A6) / TCP(sport=sport, dport=dport) / b"DENY"
    put(*[IP(src="10.9.0.9", dst=V4) / ICMP(type=t, code=c) / q4 for t, c in ((3, 1), (3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0))])
    for e in ICMPv6DestUnreach(), ICMPv6PacketTooBig(mtu=1280), ICMPv6TimeExceeded(), ICMPv6ParamProblem():
        put(IPv6(src="fd09::9", dst=V6) / e / q6)
put(IP(src=A4, dst=V4) / ICMP(type=0, id=77) / b"DENY", IPv6(src=A6, dst=V6) / ICMPv6EchoReply(id=77, data=b"DENY"))
`,
		drops: map[filter.Reason]uint64{filter.ReasonNoFlow: 35},
	},
	{
		name: "source routes and broken options",
		script: `
def with_options(o): return IP(src=A4, dst=V4, options=IPOption(o)) / UDP(sport=1002, dport=53) / b"DENY"
put(with_options(b"\x83\x07\x04\x0a\x09\x00\x09"), with_options(b"\x89\x07\x04\x0a\x09\x00\x09"))  # loose, strict
put(with_options(b"\x01\x01\x83\x0b\x08\x0a\x09\x00\x09\x0a\x09\x00\x08"))
put(with_options(b"\x83\x02"), with_options(b"\x83\x03\x00"), with_options(b"\x07\x00"), with_options(b"\x44\xff\x05\x00"))
put(IP(src=A4, dst=V4, flags="MF", options=IPOption(b"\x83\x07\x04\x0a\x09\x00\x09")) / UDP(dport=53, len=99) / b"DENYDENY")
`,
		drops: map[filter.Reason]uint64{filter.ReasonIPOptions: 8},
	},
	{
		name: "headers that lie",
		script: `
put(IP(src=A4, dst=V4, len=19) / UDP(dport=53) / b"DENY", IP(src=A4, dst=V4, len=2000) / UDP(dport=53) / b"DENY")
put(IP(src=A4, dst=V4, ihl=4) / UDP(dport=53) / b"DENY", IPv6(src=A6, dst=V6, plen=2000) / UDP(dport=53) / b"DENY")
put(IP(src=A4, dst=V4) / UDP(dport=53, len=7) / b"DENY", IP(src=A4, dst=V4) / UDP(dport=53, len=500) / b"DENY")
put(IP(src=A4, dst=V4) / TCP(dport=22, dataofs=4) / b"DENY", IPv6(src=A6, dst=V6) / TCP(dport=22, dataofs=15) / b"DENY")
put(IP(src=A4, dst=V4, proto=6) / bytes(TCP(dport=22))[:12], IP(src=A4, dst=V4, proto=255) / b"DENY")
put(IP(src=A4, dst=V4, proto=47) / b"DENY", IPv6(src=A6, dst=V6, nh=132) / (b"DENY" * 4), IP(src=A4, dst=V4, proto=4) / IP(src=A4, dst=V4) / UDP(dport=53) / b"DENY")
put(IP(src=A4, dst=V4, proto=17, frag=8191) / (b"DENY" * 10))  # the ping of death
`,
		drops: map[filter.Reason]uint64{filter.ReasonMalformed: 6, filter.ReasonTruncated: 5, filter.ReasonNoRule: 3},
	},
	{
		name: "segments without a connection",
		script: `
for f in "A", "F", "FA", "SA", "R", "RA", "FPU", "", "SF", "SR", "FSRPAUEC":
    put(IP(src=A4, dst=V4) / TCP(sport=1003, dport=3306, flags=f) / b"DENY")
    put(IPv6(src=A6, dst=V6) / TCP(sport=1003, dport=3306, flags=f) / b"DENY")
put(IP(src=A4, dst=V4) / UDP(sport=53, dport=5353) / b"DENY")  # as if it were the answer of a name server
`,
		drops: map[filter.Reason]uint64{filter.ReasonNoRule: 23},
	},
}

// TestAttacks checks that nothing gets to the victim that the rules do not
// allow, that every packet is dropped for the right reason, and that what is
// allowed still works afterwards.
func TestAttacks(t *testing.T) {
	r := newLab(t)
	r.wantService(t)
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			got := r.scapy(t, tt.script)
			if !maps.Equal(got.drops, tt.drops) {
				t.Errorf("dropped %v, want %v", got.drops, tt.drops)
			}
			got.wantPassed(t, tt.pass)
			r.wantOnlyAllowed(t)
			r.wantService(t)
		})
	}
}

// wantPassed checks which of the attack's packets the victim got.
func (a *attack) wantPassed(t *testing.T, want int) {
	t.Helper()
	passed := 0
	for _, b := range a.seen {
		if bytes.Contains(b, []byte("DENY")) {
			t.Errorf("the victim got %x", b)
		}
		if bytes.Contains(b, []byte("PASS")) {
			passed++
		}
	}
	if passed != want {
		t.Errorf("%d packets passed, want %d", passed, want)
	}
}

// TestErrorsOfLiveConnection checks that an ICMP error gets through if it
// quotes a connection that is open, and only then.
func TestErrorsOfLiveConnection(t *testing.T) {
	r := newLab(t)
	for _, victim := range []netip.Addr{victim4, victim6} {
		c, err := r.dial("tcp", netip.AddrPortFrom(victim, openTCP), 100)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		port := netip.MustParseAddrPort(c.LocalAddr().String()).Port()
		script := fmt.Sprintf(`
for port, word in (%d, b"PASS"), (%d, b"DENY"):
    put(IP(src="10.9.0.9", dst=V4) / ICMP(type=3, code=4, nexthopmtu=1200) / IP(src=V4, dst="10.9.0.2") / TCP(sport=22, dport=port) / word)
`, port, port^1)
		if victim.Is6() {
			script = fmt.Sprintf(`
for port, word in (%d, b"PASS"), (%d, b"DENY"):
    put(IPv6(src="fd09::9", dst=V6) / ICMPv6PacketTooBig(mtu=1280) / IPv6(src=V6, dst="fd09::2") / TCP(sport=22, dport=port) / word)
`, port, port^1)
		}
		a := r.scapy(t, script)
		a.wantPassed(t, 1)
		if a.drops[filter.ReasonNoFlow] != 1 {
			t.Errorf("dropped %v, want one error without a flow", a.drops)
		}
	}
	r.wantService(t)
}
