// Command regress holds the benchmarks of the working tree against those of a
// revision: see the README beside bench's go.mod.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted")
		os.Exit(130)
	default:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		if errors.Is(err, errNoise) {
			fmt.Fprintln(os.Stderr, "hint: close what else runs, or ask for more --rounds or --time")
		}
		os.Exit(1)
	}
}

type options struct {
	old    string // revision
	pkg    string // directory below the module's root
	bench  string // regular expression
	rounds int
	time   time.Duration // of one benchmark
	limit  float64       // of new by old
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("regress", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.old, "old", "HEAD", "`revision` to compare the working tree with")
	fs.StringVar(&o.pkg, "pkg", ".", "`directory` of the package, from the root of the module")
	fs.StringVar(&o.bench, "bench", "Write$|Read$", "`expression` that names the benchmarks")
	fs.IntVar(&o.rounds, "rounds", 20, "in each, all three have a turn")
	fs.DurationVar(&o.time, "time", 50*time.Millisecond, "of each benchmark in a turn")
	fs.Float64Var(&o.limit, "limit", 1.03, "greatest new/old that passes")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("--rounds %d: want at least 1", o.rounds)
	case o.time <= 0:
		return o, fmt.Errorf("--time %v: want more than 0", o.time)
	case o.limit < 1:
		return o, fmt.Errorf("--limit %v: want at least 1", o.limit)
	}
	return o, nil
}

// run is the command without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "regress")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := o.build(ctx, dir)
	if err != nil {
		return err
	}
	var r results
	for round := range o.rounds {
		fmt.Fprintf(stderr, "round %d of %d\n", round+1, o.rounds)
		for i := range programs {
			which := (i + round) % len(programs) // each round begins with another one
			out, err := o.measure(ctx, programs[which])
			if err != nil {
				return err
			}
			if err := r.add(which, out); err != nil {
				return err
			}
		}
	}
	rows := r.rows()
	if err := write(stdout, rows, o.limit); err != nil {
		return err
	}
	return judge(rows, o.limit)
}
