package tunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"tstun/bench/report"
)

// ErrNeedsRoot and ErrNeedsIperf say what is missing on this machine.
var (
	ErrNeedsRoot  = errors.New("tunnels need root, for namespaces and TUNs")
	ErrNeedsIperf = errors.New("iperf3 is not installed")
)

// Compare measures every kind in turn, round after round, and adds the figures
// to r. It returns the context's error if that ends first; what was measured
// until then is in r. Nothing that it made is left behind.
func Compare(ctx context.Context, cfg Config, r *report.Report) (err error) {
	if os.Geteuid() != 0 {
		return ErrNeedsRoot
	}
	if _, err := exec.LookPath("iperf3"); err != nil && (cfg.wants(TCP) || cfg.wants(TCP64)) {
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
	if ctx.Err() != nil { // and whatever came of it
		return ctx.Err()
	}
	return err
}

// compare makes the rounds.
func (l *lab) compare(ctx context.Context, cfg Config, r *report.Report) error {
	kinds := Kinds()
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
	if err := l.up(ctx, kind); err != nil {
		return errors.Join(err, l.down())
	}
	t := &trial{lab: l, ctx: ctx, kind: kind, report: r}
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
