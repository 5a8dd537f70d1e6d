package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// oneLine is a policy of n rules, all in one line.
func oneLine(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"local": "*", "accept": [`)
	for i := range n {
		fmt.Fprintf(&b, `{"proto": "tcp", "src": "10.1.%d.%d", "dst": "10.2.%[1]d.%d:80"}, /* ä */ `, i>>8, i&255)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// TestColumnsAreLinear counts the bytes that are looked at for the places of
// rules in one long line.
func TestColumnsAreLinear(t *testing.T) {
	const rules = 20000
	data := oneLine(rules)
	s := newSource("f", data)
	p := &Policy{names: newNames(), excepts: make(map[int]*exception)}
	r := reader{source: s, policy: p}
	v, ok := s.parse()
	if !ok {
		t.Fatal(s.err())
	}
	r.read(&v)
	if err := s.err(); err != nil || len(p.matches) != rules {
		t.Fatalf("%d rules, %v", len(p.matches), err)
	}
	// Each place is an offset and the beginning of its line.
	if most := 2 * rules * markEvery; s.counted > most {
		t.Errorf("%d bytes looked at, more than %d", s.counted, most)
	}
	last := p.places[rules-1]
	want := 1 + utf8.RuneCountInString(string(data[:strings.LastIndex(string(data), `{"proto"`)]))
	if last.Line != 1 || last.Column != want {
		t.Errorf("the last rule is at %v, want column %d", last, want)
	}
}

// TestPositions compares places with those that are counted from the beginning.
func TestPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var b strings.Builder
	for range 20000 {
		b.WriteString([]string{"a", "ö", "\n", "字", " ", strings.Repeat("x", 50)}[r.IntN(6)])
		if r.IntN(300) == 0 {
			b.WriteString(strings.Repeat("ü", 3000))
		}
	}
	text := b.String()
	s := newSource("f", []byte(text))
	for range 2000 {
		at := r.IntN(len(text))
		for !utf8.RuneStart(text[at]) {
			at--
		}
		begin := strings.LastIndex(text[:at], "\n") + 1
		want := Position{"f", 1 + strings.Count(text[:at], "\n"), 1 + utf8.RuneCountInString(text[begin:at])}
		if got := s.position(at); got != want {
			t.Fatalf("offset %d is at %v, want %v", at, got, want)
		}
	}
}

// TestNearest compares names that a search for a similar one finds, and wants
// it to allocate nothing: it is done for up to maxErrors names of a file.
func TestNearest(t *testing.T) {
	known := []string{"web", "Web", "wed", "db", "laptop", "lap-top", "ähre"}
	tests := []struct{ text, want string }{
		{"webs", "web"}, {"wbe", "web"}, {"we", "web"}, {"WEB", "Web"}, {"WED", "wed"}, {"latpop", "laptop"},
		{"dbdb", ""}, {"ÄHRE", "ähre"}, {"desktop", ""}, {"bd", "db"}, {"", ""},
	}
	for _, tt := range tests {
		if got := nearest(known, tt.text); got != tt.want {
			t.Errorf("nearest to %q is %q, want %q", tt.text, got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { nearest(known, "desktop") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSpans compares operations on spans with the same on the bits of two
// numbers.
func FuzzSpans(f *testing.F) {
	f.Add(uint32(0xff00), uint32(0x0ff0))
	f.Add(uint32(0), ^uint32(0))
	f.Fuzz(func(t *testing.T, a, b uint32) {
		x, y := spansOfBits(a), spansOfBits(b)
		for _, tt := range []struct {
			name string
			got  []span
			want uint32
		}{{"intersection", intersection(x, y), a & b}, {"difference", difference(x, y), a &^ b}} {
			if bitsOf(tt.got) != tt.want || len(tt.got) != len(spansOfBits(tt.want)) {
				t.Errorf("%s of %032b and %032b: %v", tt.name, a, b, tt.got)
			}
		}
		if subset(x, y) != (a&^b == 0) || overlap(x, y) != (a&b != 0) {
			t.Errorf("%032b and %032b: subset %v, overlap %v", a, b, subset(x, y), overlap(x, y))
		}
		w := maxWork
		classes, members, err := partition([][]span{x, y}, &w)
		if err != nil {
			t.Fatal(err)
		}
		all := uint32(0)
		for _, c := range classes {
			if bitsOf(c)&all != 0 {
				t.Errorf("classes overlap: %v", classes)
			}
			all |= bitsOf(c)
		}
		for i, want := range []uint32{a, b} {
			got := uint32(0)
			for _, c := range members[i] {
				got |= bitsOf(classes[c])
			}
			if got != want {
				t.Errorf("set %d is %032b, want %032b", i, got, want)
			}
		}
	})
}

// spansOfBits returns the bits that are set, moved to the end of the line.
func spansOfBits(bits uint32) (spans []span) {
	for i := range 32 {
		if bits>>i&1 == 1 {
			at := point{^uint64(0), ^uint64(31) + uint64(i)}
			spans = append(spans, span{at, at})
		}
	}
	return normal(spans)
}

func bitsOf(spans []span) (bits uint32) {
	for p := range points(spans) {
		bits |= 1 << (p.lo - ^uint64(31))
	}
	return bits
}
