package tunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"tstun/bench/report"
)

// Compare measures every kind in turn, round after round, and adds the figures
// to r. It returns the context's error if that ends first; what was measured
// until then is in r. Nothing that it made is left behind.
func Compare(ctx context.Context, cfg Config, r *report.Report) (err error) {
	if os.Geteuid() != 0 {
		return ErrNeedsRoot
	}
	if _, err := exec.LookPath("iperf3"); err != nil && slices.ContainsFunc([]string{TCP, TCP64, VXLAN, IperfU}, cfg.wants) {
		return ErrNeedsIperf
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l, err := newLab(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := l.close(); err == nil {
			err = closeErr
		}
	}()
	err = l.compare(ctx, cfg, r)
	noteOthers(r)
	if ctx.Err() != nil { // and whatever came of it
		return ctx.Err()
	}
	return err
}

// compare makes the rounds.
func (l *lab) compare(ctx context.Context, cfg Config, r *report.Report) error {
	kinds := cfg.kinds()
	for round := range cfg.Rounds {
		for i := range kinds {
			// Each round begins with another one.
			kind := kinds[(i+round)%len(kinds)]
			cfg.Logf("tunnel, round %d/%d: %s", round+1, cfg.Rounds, kind)
			if err := l.try(ctx, kind, r); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return nil
}

// try brings a tunnel up, makes all measures, and takes it down.
func (l *lab) try(ctx context.Context, kind string, r *report.Report) error {
	if err := l.up(ctx, kind, kind); err != nil {
		return errors.Join(err, l.down())
	}
	t := &trial{lab: l, ctx: ctx, part: report.Tunnel, kind: kind, report: r}
	for _, name := range Measures() {
		if !l.cfg.wants(name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := measures[name](t); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err), l.down())
		}
	}
	return l.down()
}

// quiet is how much of a core everything else may take, in percent, before the
// reader is warned.
const quiet = 25

// noteOthers warns if other programs had the processors that the tunnels
// wanted.
func noteOthers(r *report.Report) {
	var busy []float64
	for _, s := range r.Series {
		if s.Part == report.Tunnel && s.Quantity == othersBusy {
			busy = append(busy, s.Rounds...)
		}
	}
	if m := report.Summarize(busy); m.Median > quiet {
		r.Note(fmt.Sprintf("the machine was not quiet: everything else took %s %% of a core (median; up to %s) while tunnels were measured",
			report.Figure(m.Median), report.Figure(m.Max)))
	}
}
