package ui_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

// variables returns a Getenv that knows such variables: "TERM=xterm LANG=C".
func variables(all string) func(string) string {
	vars := make(map[string]string)
	for v := range strings.FieldsSeq(all) {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	return func(name string) string { return vars[name] }
}

// The outputs for which tests paint.
const (
	pipe           = ""
	unicodePipe    = "LANG=C.UTF-8"
	plainTerminal  = "TERM=xterm NO_COLOR=1"
	colourTerminal = "TERM=xterm LANG=C.UTF-8"
)

// newPainter returns a Painter for an output with such variables, and what it
// paints.
func newPainter(vars string) (*ui.Painter, *bytes.Buffer) {
	var b bytes.Buffer
	return ui.NewPainter(ui.Environment{Stdout: &b, Getenv: variables(vars), Terminal: strings.Contains(vars, "TERM=")}), &b
}

func TestEnvironment(t *testing.T) {
	tests := []struct {
		name            string
		terminal        bool
		vars            string
		colour, unicode bool
		live            bool
	}{
		{"pipe", false, "TERM=xterm LANG=C.UTF-8", false, true, false},
		{"terminal", true, "TERM=xterm LANG=de_DE.utf8", true, true, true},
		{"NO_COLOR", true, "TERM=xterm NO_COLOR=1", false, false, true},
		{"dumb", true, "TERM=dumb LANG=C", false, false, false},
		{"LC_ALL wins", true, "LC_ALL=C LC_CTYPE=C.UTF-8 LANG=C.UTF-8", true, false, true},
		{"LC_CTYPE before LANG", true, "LC_CTYPE=C.UTF-8 LANG=C", true, true, true},
	}
	for _, tt := range tests {
		e := ui.Environment{Terminal: tt.terminal, Getenv: variables(tt.vars)}
		if e.Colour() != tt.colour || e.Unicode() != tt.unicode || e.Live() != tt.live {
			t.Errorf("%s: colour %v, unicode %v, live %v", tt.name, e.Colour(), e.Unicode(), e.Live())
		}
	}
}

func TestWrap(t *testing.T) {
	indent := strings.Repeat(" ", 32) // leaves 8 of 40 columns
	for _, tt := range []struct {
		in   string
		want string
	}{
		{"", ""}, {"a b", "a b"}, {"aaa bbb ccc", "aaa bbb|ccc"}, {"aaaaaaaaaaaa b", "aaaaaaaaaaaa|b"}, {"  a   b ", "a b"},
		{"a\nb", "a|b"},
	} {
		var b bytes.Buffer
		ui.NewPainter(ui.Environment{Stdout: &b, Getenv: variables(""), Columns: 40}).Paragraph(indent, tt.in)
		want := indent + strings.ReplaceAll(tt.want, "|", "\n"+indent) + "\n"
		if b.String() != want {
			t.Errorf("%q: got %q, want %q", tt.in, b.String(), want)
		}
	}
	for columns, want := range map[int]int{0: 80, 20: 40, 60: 60, 200: 80} {
		var b bytes.Buffer
		ui.NewPainter(ui.Environment{Stdout: &b, Getenv: variables(""), Columns: columns}).Paragraph("", "bb"+strings.Repeat(" a", 200))
		first, _, _ := strings.Cut(b.String(), "\n")
		if got := ui.Width(first); got != want {
			t.Errorf("%d columns: a line of %d, want %d", columns, got, want)
		}
	}
}

// A Painter reports the first write that failed, and goes on after it.
func TestPainterNotesErrors(t *testing.T) {
	w := &brokenPipe{}
	p := ui.NewPainter(ui.Environment{Stdout: w, Getenv: variables("")})
	if err := p.Err(); err != nil {
		t.Errorf("before a write: %v", err)
	}
	p.Printf("a")
	p.Printf("b")
	if err := p.Err(); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "write 1") || w.writes != 2 {
		t.Errorf("err = %v, %d writes", err, w.writes)
	}
}

var errBroken = errors.New("broken pipe")

// brokenPipe fails each write, and says which it was.
type brokenPipe struct{ writes int }

func (w *brokenPipe) Write([]byte) (int, error) {
	w.writes++
	return 0, errors.Join(errBroken, errors.New("write "+ui.Number(uint64(w.writes))))
}
