package ui_test

import (
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

func TestProgressBar(t *testing.T) {
	p, b := newPainter(plainTerminal)
	start := time.Unix(0, 0)
	g := ui.NewProgress(p, 1000, start)
	steps := []struct {
		done ui.Size
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
		g.At(s.done, start.Add(s.at))
		if b.String() != s.want {
			t.Errorf("%d: got %q, want %q", s.done, b, s.want)
		}
	}
	b.Reset()
	g.End()
	g.End()
	if b.String() != "\r\x1b[K" {
		t.Errorf("end: %q", b)
	}
}

func TestPlainProgress(t *testing.T) {
	p, b := newPainter(unicodePipe)
	start := time.Unix(0, 0)
	g := ui.NewProgress(p, 1<<30, start)
	for i := range ui.Size(101) {
		g.At(1<<30*i/100, start.Add(time.Duration(i)*10*time.Millisecond))
	}
	g.End()
	want := "" +
		"    25 %  256 MiB of 1 GiB  8.59 Gbit/s\n" +
		"    50 %  512 MiB of 1 GiB  8.59 Gbit/s\n" +
		"    75 %  768 MiB of 1 GiB  8.59 Gbit/s\n" +
		"   100 %  1 GiB of 1 GiB  8.59 Gbit/s\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b, want)
	}
}
