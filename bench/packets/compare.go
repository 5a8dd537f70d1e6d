package packets

import (
	"context"
	"fmt"
	"time"

	"tstun/bench/report"
)

// Config says how to compare.
type Config struct {
	Cases  []Case        // nil: Matrix
	Rounds int           // of each case
	Sample time.Duration // how long about a candidate runs in each round
	Logf   func(format string, args ...any)
}

// Quantities of a case, per packet. What is above is less that of the bare
// device in the same round.
const (
	Above    = "above the device" // wall time
	CPUAbove = "processor time above"
	Wall     = "in all"
	CPU      = "processor time in all" // of all goroutines
	Allocs   = "allocations"
)

// Compare measures all cases and adds the figures to r. It returns the
// context's error if that ends first; what was measured until then is in r.
func Compare(ctx context.Context, cfg Config, r *report.Report) error {
	cases := cfg.Cases
	if cases == nil {
		cases = Matrix()
	}
	for i, c := range cases {
		cfg.Logf("packet %d/%d: %s", i+1, len(cases), c)
		if err := compareCase(ctx, cfg, c, r); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return nil
}

const noDirect = "\"" + Direct + "\" is not in the packet part: this Wrapper reads no device of a program's own directly"

// contestant is a subject that takes part in a case.
type contestant struct {
	kind string
	*run
}

// compareCase lets all candidates run in turn, round after round.
func compareCase(ctx context.Context, cfg Config, c Case, r *report.Report) error {
	field, err := assemble(c, r)
	defer func() {
		for _, f := range field {
			f.rig.Close()
		}
	}()
	if err != nil {
		return err
	}
	for round := range cfg.Rounds {
		samples := make([]sample, len(field))
		// Each round begins with another one.
		for i := range field {
			at := (i + round) % len(field)
			if err := ctx.Err(); err != nil {
				return err
			}
			if samples[at], err = field[at].measure(cfg.Sample); err != nil {
				return fmt.Errorf("%s: %w", field[at].kind, err)
			}
		}
		for i, s := range samples {
			add(r, c, field[i].kind, s, samples[0])
		}
	}
	return nil
}

// assemble sets up all candidates for the case, the bare device first.
func assemble(c Case, r *report.Report) ([]contestant, error) {
	var field []contestant
	bufs := buffers(c.Batch)
	outbound, inbound := traffic(c, false), traffic(c, true)
	for _, s := range subjects() {
		rig, err := s.make(c, outbound)
		if err != nil {
			return field, fmt.Errorf("%s: %w", s.kind, err)
		}
		if rig != nil {
			field = append(field, contestant{s.kind, newRun(rig, c, bufs, inbound)})
		} else if s.kind == Direct {
			r.Note(noDirect)
		}
	}
	return field, nil
}

// add puts one round's figures of one candidate into the report.
func add(r *report.Report, c Case, kind string, s, bare sample) {
	ns := func(quantity string, better report.Better, value float64) {
		r.Add(report.Series{
			Part: report.Packet, Measure: c.String(), Quantity: quantity, Kind: kind, Unit: "ns", Better: better,
		}, value)
	}
	if kind != Bare {
		ns(Above, report.Less, s.wall-bare.wall)
		if s.cpu > 0 {
			ns(CPUAbove, report.Less, s.cpu-bare.cpu)
		}
	}
	ns(Wall, report.Neither, s.wall)
	if s.cpu > 0 {
		ns(CPU, report.Neither, s.cpu)
	}
	r.Add(report.Series{
		Part: report.Packet, Measure: c.String(), Quantity: Allocs, Kind: kind, Unit: "per packet",
	}, s.allocs)
}
