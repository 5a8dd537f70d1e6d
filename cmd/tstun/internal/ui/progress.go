package ui

import (
	"fmt"
	"strings"
	"time"
)

const (
	barColumns  = 32
	barInterval = 100 * time.Millisecond // the least time between two drawings of the bar
	plainLines  = 4                      // lines in all on an output without a bar
)

// Progress shows the progress of a transfer: on a terminal a bar, elsewhere
// four lines at most. One goroutine at a time uses it. Make one with
// NewProgress.
type Progress struct {
	p        *Painter
	total    Size
	start    time.Time
	drawn    time.Time // when the bar was drawn last
	shown    int       // plain lines so far
	barShown bool      // the bar is on the screen
}

// NewProgress returns the Progress of a transfer of total bytes, at least 1,
// that starts now. It shows nothing yet.
func NewProgress(p *Painter, total Size, now time.Time) *Progress {
	return &Progress{p: p, total: total, start: now}
}

// At shows that done bytes are transferred by now. It shows nothing if too
// little has changed since the last call.
func (g *Progress) At(done Size, now time.Time) {
	if !g.p.live {
		if step := int(int64(done) * plainLines / int64(g.total)); step > g.shown {
			g.shown = step
			g.p.Printf("   %s\n", g.text(done, now))
		}
		return
	}
	if done < g.total && now.Sub(g.drawn) < barInterval {
		return
	}
	g.drawn, g.barShown = now, true
	g.p.Printf("\r   %s %s\x1b[K", g.bar(done), g.text(done, now))
}

// End removes the bar from the screen. A second End does nothing.
func (g *Progress) End() {
	if g.barShown {
		g.p.Printf("\r\x1b[K")
		g.barShown = false
	}
}

func (g *Progress) bar(done Size) string {
	full := int(int64(done) * barColumns / int64(g.total))
	return g.p.Paint(Cyan, strings.Repeat(g.p.Pick("█", "#"), full)) +
		g.p.Paint(Dim, strings.Repeat(g.p.Pick("░", "."), barColumns-full))
}

func (g *Progress) text(done Size, now time.Time) string {
	return fmt.Sprintf("%3d %%  %s of %s  %s", int64(done)*100/int64(g.total), done, g.total,
		rate(done, now.Sub(g.start)))
}
