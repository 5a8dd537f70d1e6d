package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tstun/bench/report"
	"tstun/bench/tunnel"
)

// options are what the flags say.
type options struct {
	packet, tunnel bool     // which parts
	measures       []string // of the tunnel part; empty: all
	rounds         int
	transfer       time.Duration // of each transfer through a tunnel
	sample         time.Duration // of each candidate in the packet part
	sizes, rates   []int
	pings, mtu     int
	from           string // file of an earlier run to show instead; empty: none
	kinds          []string
	json, svg      string // file names; empty: none
	settings       map[string]string
}

const usage = `usage: go -C bench run ./cmd/compare [flags]

Measures tstun, bare wireguard-go, Tailscale's wrapper and nebula's firewall by
turns, and prints medians. The tunnel part needs root, Linux and iperf3. File
names are relative to bench. Exit codes: 0; 1 on an error; 130 if interrupted.

`

// parse reads the command line. On request the help goes to stderr, and the
// error is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(io.Discard) // of the errors, which are returned too
	only := f.String("only", "packet,tunnel", "comma-separated: packet, tunnel, or measures of tunnel: "+strings.Join(tunnel.Measures(), ", "))
	seconds := f.Float64("seconds", 3, "length of a TCP transfer, rounded up; UDP takes a third of it")
	sample := f.Float64("sample", 50, "milliseconds per candidate, case and round of packet")
	kinds := f.String("kinds", strings.Join(tunnel.Kinds(), ","), "comma-separated: whose tunnels are compared, the first of them with all others")
	sizes := f.String("sizes", "64,200,1200", "bytes of UDP payload at full rate")
	rates := f.String("rates", "20000,40000,80000", "UDP packets per second offered")
	f.IntVar(&o.rounds, "rounds", 5, "rounds of everything")
	f.IntVar(&o.pings, "pings", 2000, "round trips per tunnel and round")
	f.IntVar(&o.mtu, "mtu", 1420, "MTU of the tunnel, in bytes")
	f.StringVar(&o.from, "from", "", "measure nothing: show what --json wrote into this file")
	f.StringVar(&o.json, "json", "", "write everything, with raw figures, to this file")
	f.StringVar(&o.svg, "svg", "", "draw a chart into this file")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stderr, usage)
		f.SetOutput(stderr)
		f.PrintDefaults()
		return o, err
	} else if err != nil {
		return o, fmt.Errorf("%w; --help tells what there is", err)
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q is not known; there are only flags", f.Arg(0))
	}
	o.settings = make(map[string]string)
	f.VisitAll(func(f *flag.Flag) {
		if f.Name != "from" && f.Name != "json" && f.Name != "svg" {
			o.settings[f.Name] = f.Value.String()
		}
	})
	o.transfer = time.Duration(*seconds * float64(time.Second))
	o.sample = time.Duration(*sample * float64(time.Millisecond))
	var err error
	if o.sizes, err = numbers("sizes", *sizes, 1, 1472); err != nil {
		return o, err
	}
	if o.rates, err = numbers("rates", *rates, 1, 10_000_000); err != nil {
		return o, err
	}
	for kind := range strings.SplitSeq(*kinds, ",") {
		if !slices.Contains(tunnel.Kinds(), kind) {
			return o, fmt.Errorf("--kinds %q: it is of %s", kind, strings.Join(tunnel.Kinds(), ", "))
		}
		o.kinds = append(o.kinds, kind)
	}
	if err := o.choose(*only); err != nil {
		return o, err
	}
	return o, o.check()
}

// choose takes the value of --only apart.
func (o *options) choose(only string) error {
	whole := false
	for name := range strings.SplitSeq(only, ",") {
		switch {
		case name == report.Packet:
			o.packet = true
		case name == report.Tunnel:
			o.tunnel, whole = true, true
		case slices.Contains(tunnel.Measures(), name):
			o.tunnel = true
			o.measures = append(o.measures, name)
		default:
			return fmt.Errorf("--only %q: it is packet, tunnel, or of %s", name, strings.Join(tunnel.Measures(), ", "))
		}
	}
	if whole {
		o.measures = nil
	}
	return nil
}

func (o *options) check() error {
	switch {
	case o.rounds < 1:
		return fmt.Errorf("--rounds %d: at least 1", o.rounds)
	case o.transfer < 100*time.Millisecond || o.transfer > time.Hour:
		return fmt.Errorf("--seconds %v: 0.1 to 3600", o.transfer.Seconds())
	case o.sample <= 0 || o.sample > time.Minute:
		return fmt.Errorf("--sample %v: above 0, up to a minute", o.sample)
	case o.pings < 1:
		return fmt.Errorf("--pings %d: at least 1", o.pings)
	case o.mtu < 576 || o.mtu > 1440:
		return fmt.Errorf("--mtu %d: 576 to 1440, which is what fits into Ethernet's 1500", o.mtu)
	}
	return nil
}

// numbers reads a comma-separated list of numbers from least to most.
func numbers(name, list string, least, most int) ([]int, error) {
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("--%s %q: numbers from %d to %d, with commas between", name, list, least, most)
		}
		out = append(out, n)
	}
	return out, nil
}
