package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func testPainter(unicode, colour, live bool) (*painter, *bytes.Buffer) {
	var b bytes.Buffer
	return &painter{w: &b, unicode: unicode, colour: colour, live: live}, &b
}

func TestEnvironment(t *testing.T) {
	tests := []struct {
		name            string
		terminal        bool
		vars            string
		colour, unicode bool
	}{
		{"pipe", false, "TERM=xterm LANG=C.UTF-8", false, true},
		{"terminal", true, "TERM=xterm LANG=de_DE.utf8", true, true},
		{"NO_COLOR", true, "TERM=xterm NO_COLOR=1", false, false},
		{"dumb", true, "TERM=dumb LANG=C", false, false},
		{"LC_ALL wins", true, "LC_ALL=C LC_CTYPE=C.UTF-8 LANG=C.UTF-8", true, false},
		{"LC_CTYPE before LANG", true, "LC_CTYPE=C.UTF-8 LANG=C", true, true},
	}
	for _, tt := range tests {
		vars := make(map[string]string)
		for v := range strings.FieldsSeq(tt.vars) {
			name, value, _ := strings.Cut(v, "=")
			vars[name] = value
		}
		e := environment{terminal: tt.terminal, getenv: func(n string) string { return vars[n] }}
		if e.colour() != tt.colour || e.unicode() != tt.unicode {
			t.Errorf("%s: colour %v, unicode %v", tt.name, e.colour(), e.unicode())
		}
	}
}

func TestTable(t *testing.T) {
	tab := &table{right: []bool{false, true, false}}
	tab.add("name", "n", "what")
	tab.add("a", "1,000", "é")
	tab.rule()
	tab.add("", "7", "")
	p, b := testPainter(false, false, false)
	p.draw(tab)
	want := "" +
		"   name      n  what\n" +
		"   a     1,000  é\n" +
		"   -----------------\n" +
		"             7\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b, want)
	}
	p, b = testPainter(true, true, false)
	p.draw(tab)
	if got := b.String(); !strings.Contains(got, "─") || !strings.Contains(got, "\x1b[2mname") {
		t.Errorf("got %q", got)
	}
}

func TestProgressBar(t *testing.T) {
	p, b := testPainter(false, false, true)
	start := time.Unix(0, 0)
	g := newProgress(p, 1000, start)
	steps := []struct {
		done byteSize
		at   time.Duration
		want string
	}{
		{0, 200 * time.Millisecond, "\r   " + strings.Repeat(".", 32) + "   0 %  0 B of 1000 B  0 Mbit/s\x1b[K"},
		{250, 250 * time.Millisecond, ""}, // too soon
		{500, 400 * time.Millisecond, "\r   " + strings.Repeat("#", 16) + strings.Repeat(".", 16) + "  50 %  500 B of 1000 B  0 Mbit/s\x1b[K"},
		{1000, 401 * time.Millisecond, "\r   " + strings.Repeat("#", 32) + " 100 %  1000 B of 1000 B  0 Mbit/s\x1b[K"},
	}
	for _, s := range steps {
		b.Reset()
		g.at(s.done, start.Add(s.at))
		if b.String() != s.want {
			t.Errorf("%d: got %q, want %q", s.done, b, s.want)
		}
	}
	b.Reset()
	g.end()
	g.end()
	if b.String() != "\r\x1b[K" {
		t.Errorf("end: %q", b)
	}
}

func TestPlainProgress(t *testing.T) {
	p, b := testPainter(true, false, false)
	start := time.Unix(0, 0)
	g := newProgress(p, 1<<30, start)
	for i := range byteSize(101) {
		g.at(1<<30*i/100, start.Add(time.Duration(i)*10*time.Millisecond))
	}
	g.end()
	want := "" +
		"    25 %  256 MiB of 1 GiB  8.59 Gbit/s\n" +
		"    50 %  512 MiB of 1 GiB  8.59 Gbit/s\n" +
		"    75 %  768 MiB of 1 GiB  8.59 Gbit/s\n" +
		"   100 %  1 GiB of 1 GiB  8.59 Gbit/s\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b, want)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{900 * time.Nanosecond: "0 us", 1500 * time.Microsecond: "1.5 ms", 2 * time.Second: "2.00 s"} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q", d, got)
		}
	}
}

func TestFinish(t *testing.T) {
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"fine", nil, exitOK, ""},
		{"usage", errors.New("what?"), exitUsage, "error: what?\n"},
		{"failure", failf("do that", "no %s", "way"), exitFailed, "error: no way\nhint: do that\n"},
		{"no hint", failf("", "no"), exitFailed, "error: no\n"},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		if code := finish(&b, tt.err); code != tt.code || !strings.HasPrefix(b.String(), tt.want) {
			t.Errorf("%s: %d, %q", tt.name, code, b.String())
		}
	}
}

// A write that fails is noted once and does not stop what is being shown.
func TestPainterNotesErrors(t *testing.T) {
	p := &painter{w: brokenPipe{}}
	p.printf("a")
	p.printf("b")
	if !errors.Is(p.err, errBroken) {
		t.Errorf("err = %v", p.err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }
