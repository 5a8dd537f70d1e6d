package flowexpr_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"tstun/filter"
	"tstun/flowexpr"
	"tstun/packet"
)

// tcpdump returns which of the packets tcpdump writes that match the expression. -O
// switches libpcap's optimizer off, whose programs can say something else than the
// expression: findings/tcpdump-optimizer.sh.
func tcpdump(t *testing.T, program, expr string, packets [][]byte) (matches []bool) {
	t.Helper()
	out := run(t, program, pcapFile(packets), "-O", "-r", "-", "-w", "-", expr)
	matches = make([]bool, len(packets))
	for out = out[24:]; len(out) > 0; out = out[16+binary.LittleEndian.Uint32(out[8:]):] {
		matches[binary.LittleEndian.Uint32(out)] = true
	}
	return matches
}

// run returns what a program writes that reads stdin.
func run(t *testing.T, program string, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tcpdump %q: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// findTcpdump returns where tcpdump is, or skips the test.
func findTcpdump(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skipf("no tcpdump: %v", err)
	}
	return program
}

// pcapFile returns a capture of raw IP packets. The time of each is its number in seconds.
func pcapFile(packets [][]byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint32(b, 4<<16|2) // version 2.4
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, packet.MaxLen)
	b = le.AppendUint32(b, 101) // LINKTYPE_RAW
	for i, p := range packets {
		b = le.AppendUint32(b, uint32(i))
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, uint32(len(p)))
		b = le.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// difference is a kind of packet of which a test may say something else than libpcap's.
type difference struct {
	name string
	on   func(l *leaf, b libpcap, p *packet.Parsed) bool
}

// differences are those that docs/expressions.md tells of. There is no other.
var differences = []difference{
	{"malformed packet", func(l *leaf, _ libpcap, p *packet.Parsed) bool {
		return l.looksAt != "length" && p.IPVersion == 0
	}},
	{"past the end", func(l *leaf, b libpcap, _ *packet.Parsed) bool { return l.libpcap(b) == stopped }},
	{"first IPv6 fragment", func(l *leaf, b libpcap, p *packet.Parsed) bool {
		f, ok := p.Fragment()
		return l.looksAt == "port" && p.IPVersion == 6 && ok && f.Offset == 0 && b[6] == 44 && p.IPProto == p.Proto() && l.libpcap(b) == no
	}},
	{"IPv6 extension headers", func(l *leaf, b libpcap, p *packet.Parsed) bool {
		behind := uint8(p.Proto()) != b[6]
		return p.IPVersion == 6 && behind && (l.looksAt == "port" || l.looksAt == "proto" && (b[6] != 44 || uint8(p.Proto()) != b[40]))
	}},
	{"transport header is not whole", func(l *leaf, _ libpcap, p *packet.Parsed) bool {
		return l.looksAt == "port" && p.IPVersion != 0 && p.Transport() == nil && p.Problem() != packet.ProblemNone
	}},
	{"bytes behind the packet", func(l *leaf, b libpcap, p *packet.Parsed) bool {
		return l.looksAt == "length" && len(p.Buffer()) < len(b)
	}},
}

// TestOracle compares random expressions on random packets with tcpdump. Each answer of
// tcpdump's must be that of the model of libpcap, and each of Match's that of the slow
// twin. Where model and twin do not agree on a test, one of differences must be the cause.
func TestOracle(t *testing.T) {
	program := findTcpdump(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	packets := [][]byte{{}, {0x45}, {0x60}}
	for len(packets) < 1500 {
		packets = append(packets, randomPacket(r))
	}
	counts := make(map[string]int)
	for range 120 {
		e := randomExpression(r, 3)
		said := tcpdump(t, program, e.text, packets)
		compiled, err := flowexpr.Compile(e.text, flowexpr.Options{})
		if err != nil {
			t.Fatalf("%q: %v", e.text, err)
		}
		for i, b := range packets {
			compare(t, e, compiled, b, said[i], counts)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%v", counts)
	for _, d := range differences {
		if counts[d.name] == 0 {
			t.Errorf("no packet shows the difference %q", d.name)
		}
	}
	if counts["both true"] < 10_000 || counts["both false"] < 10_000 {
		t.Errorf("too few verdicts of a kind to compare: %v", counts)
	}
}

// compare compares what an expression says of one packet, and counts.
func compare(t *testing.T, e *expression, compiled *flowexpr.Expr, b []byte, tcpdumpSaid bool, counts map[string]int) {
	var p packet.Parsed
	p.Decode(b)
	s := flowexpr.Packet(&p, filter.Inbound, filter.Verdict{Response: filter.Accept})
	model := e.value(func(l *leaf) verdict { return l.libpcap(b) })
	slow := e.value(func(l *leaf) verdict { return verdictOf(l.slow(&p)) })
	if tcpdumpSaid != (model == yes) {
		t.Errorf("%q of %x: tcpdump says %v, and its model %v", e.text, b, tcpdumpSaid, model)
	}
	matches := compiled.Match(&s)
	if matches != (slow == yes) {
		t.Errorf("%q, compiled %q, of %x (%v): %v, want %v", e.text, compiled, b, &p, matches, slow == yes)
	}
	explained := true
	for _, l := range e.leaves {
		if l.libpcap(b) == verdictOf(l.slow(&p)) {
			continue
		}
		explained = false
		cause := slices.IndexFunc(differences, func(d difference) bool { return d.on(l, b, &p) })
		if cause < 0 {
			t.Errorf("%q of %x (%v): libpcap says %v, and this package %v, for no known cause", l.head+l.id, b, &p, l.libpcap(b), l.slow(&p))
			return
		}
		counts[differences[cause].name]++
	}
	if !explained {
		return
	}
	switch {
	case matches != tcpdumpSaid:
		t.Errorf("%q of %x (%v): %v, and tcpdump says %v", e.text, b, &p, matches, tcpdumpSaid)
	case matches:
		counts["both true"]++
	default:
		counts["both false"]++
	}
}

// TestServices: a service's name is the same program to tcpdump as what this package makes
// of it.
func TestServices(t *testing.T) {
	program := findTcpdump(t)
	if _, err := os.Stat("/etc/services"); err != nil {
		t.Skipf("tcpdump knows no services: %v", err)
	}
	compiled := func(expr string) string {
		return string(run(t, program, pcapFile(nil), "-O", "-d", "-r", "-", expr))
	}
	for _, name := range flowexpr.ServiceNames() {
		e, err := flowexpr.Compile("src port "+name, flowexpr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if ours, its := compiled(e.String()), compiled("src port "+name); ours != its {
			t.Errorf("%s: %q, but tcpdump compiles\n%s", name, e, its)
		}
	}
}
