package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	barColumns    = 32
	barInterval   = 100 * time.Millisecond // between two drawings
	plainFraction = 4                      // lines in all where the bar cannot be redrawn
)

// progress shows how far a transfer is: as a bar that is drawn over on a
// terminal, as some lines elsewhere. One goroutine at a time calls it.
type progress struct {
	p      *painter
	total  byteSize
	start  time.Time
	drawn  time.Time // last drawing of the bar
	shown  int       // plain lines so far
	active bool      // a bar is on the screen
}

func newProgress(p *painter, total byteSize, now time.Time) *progress {
	return &progress{p: p, total: total, start: now}
}

// at shows that done bytes are through by now.
func (g *progress) at(done byteSize, now time.Time) {
	if !g.p.live {
		if step := int(int64(done) * plainFraction / int64(g.total)); step > g.shown {
			g.shown = step
			g.p.printf("   %s\n", g.text(done, now))
		}
		return
	}
	if done < g.total && now.Sub(g.drawn) < barInterval {
		return
	}
	g.drawn, g.active = now, true
	g.p.printf("\r   %s %s\x1b[K", g.bar(done), g.text(done, now))
}

// end takes the bar off the screen.
func (g *progress) end() {
	if g.active {
		g.p.printf("\r\x1b[K")
		g.active = false
	}
}

func (g *progress) bar(done byteSize) string {
	full := int(int64(done) * barColumns / int64(g.total))
	return g.p.paint(cyan, strings.Repeat(g.p.pick("█", "#"), full)) +
		g.p.paint(dim, strings.Repeat(g.p.pick("░", "."), barColumns-full))
}

func (g *progress) text(done byteSize, now time.Time) string {
	return fmt.Sprintf("%3d %%  %s of %s  %s", int64(done)*100/int64(g.total), done, g.total,
		rate(done, now.Sub(g.start)))
}

// gbits returns the rate in Gbit/s.
func gbits(n byteSize, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) * 8 / took.Seconds() / 1e9
}

func rate(n byteSize, took time.Duration) string {
	g := gbits(n, took)
	if g < 1 {
		return fmt.Sprintf("%.0f Mbit/s", g*1000)
	}
	return fmt.Sprintf("%.2f Gbit/s", g)
}
