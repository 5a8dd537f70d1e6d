// Command compare measures tstun beside its peers and prints a table: see the
// README beside bench's go.mod.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tstun/bench/packets"
	"tstun/bench/report"
	"tstun/bench/tunnel"
)

// agentArgument makes the command an agent of another compare.
const agentArgument = "agent"

func main() {
	if len(os.Args) == 2 && os.Args[1] == agentArgument {
		// Ctrl-C goes to all; the comparison ends its agents in order.
		signal.Ignore(syscall.SIGINT)
		exit(tunnel.Agent(os.Stdin, os.Stdout))
	}
	exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// exit ends the process: 0 on success, 130 when interrupted, else 1.
func exit(err error) {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "interrupted")
		os.Exit(130)
	}
	fmt.Fprintf(os.Stderr, "error: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(os.Stderr, "hint: %s\n", h)
	}
	os.Exit(1)
}

// hint returns the next step after err, if one is known.
func hint(err error) string {
	switch {
	case errors.Is(err, tunnel.ErrNeedsRoot), errors.Is(err, errors.ErrUnsupported):
		return "--only packet compares what needs no rights; for the rest, run it as root on Linux"
	case errors.Is(err, tunnel.ErrNeedsIperf):
		return "install it (Debian: apt-get install iperf3), or choose other measures with --only"
	}
	return ""
}

// run is the command without the process around it.
func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.from != "" {
		r, err := report.ReadJSON(o.from)
		if err != nil {
			return err
		}
		return o.write(r, stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	r := report.New()
	r.Settings = o.settings
	err = o.compare(ctx, r, stderr)
	r.Complete, r.Time = err == nil, time.Now().UTC().Truncate(time.Second)
	if len(r.Series) == 0 {
		return err
	}
	return errors.Join(err, o.write(r, stdout))
}

// compare makes the parts that are asked for.
func (o options) compare(ctx context.Context, r *report.Report, stderr io.Writer) error {
	logf := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	if o.tunnel {
		if err := o.compareTunnels(ctx, r, logf); err != nil {
			return err
		}
	}
	if !o.packet {
		return nil
	}
	cfg := packets.Config{Rounds: o.rounds, Sample: o.sample, Logf: logf}
	return packets.Compare(ctx, cfg, r)
}

func (o options) compareTunnels(ctx context.Context, r *report.Report, logf func(string, ...any)) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return tunnel.Compare(ctx, tunnel.Config{
		Rounds: o.rounds, Time: o.transfer, Only: o.measures,
		Sizes: o.sizes, Rates: o.rates, Pings: o.pings, MTU: o.mtu, Kinds: o.kinds,
		Self: []string{self, agentArgument}, Logf: logf,
	}, r)
}

// write prints the table and writes the files that are asked for.
func (o options) write(r *report.Report, stdout io.Writer) error {
	base := tunnel.Bare // also of what was measured before
	if len(o.kinds) > 0 {
		base = o.kinds[0]
	}
	err := r.WriteText(stdout, []report.Layout{
		{Part: report.Tunnel, Base: base},
		{Part: report.Packet, Base: packets.Tstun, Across: true},
	})
	if o.json != "" {
		err = errors.Join(err, toFile(o.json, r.WriteJSON))
	}
	if o.svg != "" {
		err = errors.Join(err, toFile(o.svg, picture(r).WriteSVG))
	}
	return err
}

// toFile writes a file whole, or leaves the one that was there.
func toFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
