// Command tunnel measures the command tstun: what it carries in kernel mode,
// beside a tunnel wired by hand, what it downloads by SOCKS5, beside
// wireguard-go's network stack and io.Copy, how soon it is up and how large.
// See the README beside bench's go.mod.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tstun/bench/report"
	"tstun/bench/tunnel"
)

// agentArgument makes the command an agent of another.
const agentArgument = "agent"

func main() {
	var err error
	if len(os.Args) == 2 && os.Args[1] == agentArgument {
		signal.Ignore(syscall.SIGINT) // Ctrl-C goes to all; agents end in order
		err = tunnel.Agent(os.Stdin, os.Stdout)
	} else {
		err = run(os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	rounds  int
	seconds float64
	program string
	only    string
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("tunnel", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 7, "rounds of everything")
	f.Float64Var(&o.seconds, "seconds", 3, "length of a transfer, of TCP rounded up; UDP takes a third of it")
	f.StringVar(&o.program, "program", "", "file name of tstun; empty: it is built from this tree")
	f.StringVar(&o.only, "only", "", "kernel: only what kernel mode carries; programs: only what begins with the start of a program")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.seconds < 0.1 {
		return o, errors.New("there are only flags; --rounds is at least 1, --seconds at least 0.1")
	}
	if o.only != "" && o.only != "kernel" && o.only != "programs" {
		return o, errors.New("--only takes kernel or programs")
	}
	return o, nil
}

// run measures and prints.
func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if o.program == "" {
		dir, err := os.MkdirTemp("", "tstun-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if o.program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	r := report.New()
	err = o.measure(ctx, r, stderr)
	r.Complete, r.Time = err == nil, time.Now().UTC().Truncate(time.Second)
	if len(r.Series) == 0 {
		return err
	}
	return errors.Join(err, r.WriteText(stdout, []report.Layout{
		{Part: report.Tunnel, Base: tunnel.Tstun}, {Part: report.Command, Base: tunnel.Copying},
	}))
}

func (o options) measure(ctx context.Context, r *report.Report, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := tunnel.Config{
		Rounds: o.rounds, Time: time.Duration(o.seconds * float64(time.Second)), Sizes: []int{200, 1200}, MTU: 1420,
		Self: []string{self, agentArgument}, Program: o.program,
		Logf: func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
	}
	if o.only != "programs" {
		if err := tunnel.CompareUp(ctx, cfg, r); err != nil {
			return err
		}
	}
	if o.only != "kernel" {
		return tunnel.ComparePrograms(ctx, cfg, r)
	}
	return nil
}

// build makes the command of the module that this one is beside.
func build(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "tstun").Output()
	if err != nil {
		return "", fmt.Errorf("find the module tstun: run it by go -C bench run ./cmd/tunnel: %w", err)
	}
	program := filepath.Join(dir, "tstun")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/tstun")
	cmd.Dir, cmd.Stderr = string(out[:len(out)-1]), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build tstun: %w", err)
	}
	return program, nil
}
