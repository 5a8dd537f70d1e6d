package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"tstun/ipproto"
	"tstun/policy"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// parses reads a file and drops what it says.
func parses(text string) func() { return func() { _, _ = policy.Parse("f", []byte(text)) } }

// TestParsingIsLinear compares what files and files twice as long allocate.
func TestParsingIsLinear(t *testing.T) {
	tests := []struct {
		name string
		file func(n int) string
	}{
		{"rules in one line", func(n int) string { return `{"local": "*", "accept": [` + manyRules(n) + "]}" }},
		{"hosts, and names that none has", func(n int) string {
			var b strings.Builder
			b.WriteString(`{"local": "*", "hosts": {`)
			for i := range n {
				fmt.Fprintf(&b, `"host-%d": "10.0.0.1",`, i)
			}
			b.WriteString(`}, "accept": [`)
			for i := range n / 50 {
				fmt.Fprintf(&b, `{"src": "hots-%d", "dst": "host-1:1"},`, i)
			}
			return b.String() + "]}"
		}},
		{"machine's rules", func(n int) string {
			return "[" + strings.Repeat(`{"SrcIPs": ["10.0.0.1", "cap:x"], "DstPorts": [{"IP": "10.0.0.2", "Ports": {"First": 1, "Last": 2}}]},`, n) + "]"
		}},
		{"errors", func(n int) string { return `{"local": [` + strings.Repeat("7,", n) + "]}" }},
	}
	for _, tt := range tests {
		const n = 4000
		once, twice := allocated(parses(tt.file(n))), allocated(parses(tt.file(2*n)))
		if twice > once*5/2 {
			t.Errorf("%s: %d bytes, and %d for twice as many", tt.name, once, twice)
		}
	}
}

// TestLargeRules compares policies that differ in a rule of 2,000 sources and
// 2,000 destinations.
func TestLargeRules(t *testing.T) {
	addresses := func(item func(host string, i int) string) string {
		var b strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&b, "%q,", item(fmt.Sprintf("%d.%d", i>>7, 2*(i&127)), i))
		}
		return "[" + b.String() + "]"
	}
	policyOf := func(src, dst string) string {
		return `{"local": "*", "accept": [{"proto": "tcp", "src": ` + src + `, "dst": ` + dst + `}]}`
	}
	srcs := addresses(func(host string, _ int) string { return "10.1." + host })
	dsts := addresses(func(host string, _ int) string { return "10.2." + host + ":80" })
	ports := addresses(func(host string, i int) string { return fmt.Sprintf("10.2.%s:%d", host, i+1) })
	tests := []struct {
		name, old, new string
		changes        int
	}{
		{"one port", `{"local": "*"}`, policyOf(srcs, dsts), 1},
		{"a port for each", `{"local": "*"}`, policyOf(srcs, ports), 2000},
		{"one source less", policyOf(srcs, ports), policyOf(strings.Replace(srcs, `"10.1.3.4",`, "", 1), ports), 2000},
	}
	for _, tt := range tests {
		changes, err := policy.Diff(mustParse(t, tt.old), mustParse(t, tt.new))
		if err != nil || len(changes) != tt.changes {
			t.Errorf("%s: %d changes, want %d; %v", tt.name, len(changes), tt.changes, err)
		}
	}
}

// TestTooLargeIsBounded counts the bytes that are allocated until a comparison
// is given up: the bound of work counts them.
func TestTooLargeIsBounded(t *testing.T) {
	nested := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i>>8, i&255, i+1)
		}
		return `{"local": "*", "accept": [` + b.String() + `]}`
	}
	tests := []struct{ name, file string }{
		{"sources", nested(4000, `{"src": "10.%d.%d.0-10.255.255.255", "dst": "*:%d"},`)},
		{"ports", nested(20000, `{"src": ["10.%d.%d.1", "192.0.2.0/24"], "dst": "10.0.0.1:%d-60000"},`)},
	}
	const most = 1 << 24 * 100 // bytes: policy.maxWork steps of 100 bytes
	for _, tt := range tests {
		old, next := mustParse(t, `{"local": "*"}`), mustParse(t, tt.file)
		n := allocated(func() {
			if _, err := policy.Diff(old, next); !errors.Is(err, policy.ErrTooLarge) {
				t.Errorf("%s: err = %v, want ErrTooLarge", tt.name, err)
			}
		})
		t.Logf("%s: %d MB", tt.name, n>>20)
		if n > most {
			t.Errorf("%s: %d MB allocated before it is given up", tt.name, n>>20)
		}
		if notes := next.Notes(); len(notes) == 0 || !strings.Contains(notes[0].Message, "too many rules overlap") {
			t.Errorf("%s: notes %.200v", tt.name, notes)
		}
	}
}

func BenchmarkParseOneLine(b *testing.B) {
	text := []byte(`{"local": "*", "accept": [` + manyRules(20000) + "]}")
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := policy.Parse("f", text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseUnknownNames(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"local": "*", "hosts": {`)
	for i := range 100000 {
		fmt.Fprintf(&text, `"host-%d": "10.0.0.1",`, i)
	}
	text.WriteString(`}, "accept": [`)
	for i := range 100 {
		fmt.Fprintf(&text, `{"src": "hots-%d", "dst": "host-1:1"},`, i)
	}
	text.WriteString("]}")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse("f", []byte(text.String())); err == nil {
			b.Fatal("no error")
		}
	}
}

func BenchmarkTestEverywhere(b *testing.B) {
	p, err := policy.Parse("f", []byte(`{"local": "*", "accept": [`+manyRules(2000)+`], "tests": [{"src": "*", "deny": "10.2.0.0/16:1000-2000"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if failures, err := p.Test(); err != nil || len(failures) > 0 {
			b.Fatal(failures, err)
		}
	}
}

func BenchmarkNotes(b *testing.B) {
	p, err := policy.Parse("f", []byte(`{"local": "*", "accept": [`+manyRules(20000)+"]}"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := p.Notes(); len(n) > 0 {
			b.Fatal(n[0])
		}
	}
}

// TestSuggestIsLinear compares what Suggest allocates for flows and for twice as many.
func TestSuggestIsLinear(t *testing.T) {
	const file = `{"local": "10.0.0.0/16", "accept": [], "tests": [{"src": "10.9.0.1", "deny": "10.0.0.1:1-9"}]}`
	suggests := func(n int) func() {
		var flows []policy.Flow
		for i := range n {
			flows = append(flows, policy.Flow{
				Proto: ipproto.TCP, Src: netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), Dst: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 7)}), uint16(1+i%1000)),
			})
		}
		return func() {
			if s, err := policy.Suggest("f", []byte(file), "", flows); err != nil || len(s.Rules) == 0 {
				t.Errorf("%v, %v", s, err)
			}
		}
	}
	const n = 4000
	once, twice := allocated(suggests(n)), allocated(suggests(2*n))
	if twice > once*5/2 {
		t.Errorf("%d bytes, and %d for twice as many", once, twice)
	}
}
