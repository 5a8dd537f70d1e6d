package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

// demo is one run.
type demo struct {
	options demoOptions
	p       *ui.Painter // nil with --json
	result  demoResult

	client, server *node
}

// step is one thing that the demo shows. do returns what it saw, as lines for
// people and as data, or the reason why it did not see it.
type step struct {
	name  string
	title string
	do    func(context.Context) (lines []string, data any, err error)
}

func (d *demo) steps() []step {
	return []step{
		{"handshake", "WireGuard handshake over loopback UDP", d.handshake},
		{"ping", "ping", d.ping},
		{"http", "HTTP request that a rule allows", d.http},
		{"refused", "TCP connection that no rule allows", d.refused},
		{"udp", "UDP exchange: replies only", d.udp},
		{"tsmp", "TSMP ping, answered by the Wrapper itself", d.tsmp},
		{"transfer", fmt.Sprintf("transfer of %v over TCP", d.options.size), d.transfer},
		{"accounts", "what went through, and what did not", d.accounts},
	}
}

// run does all steps and takes everything down again.
func (d *demo) run(ctx context.Context) (err error) {
	began := time.Now()
	d.client, d.server = newNodes()
	defer func() {
		if stopErr := d.stop(); stopErr != nil && err == nil {
			err = ui.Failf("", "clean up: %w", stopErr)
		}
		d.result.Seconds = time.Since(began).Seconds()
		if err == nil {
			d.bye()
		}
	}()
	if err := d.start(); err != nil {
		return d.because(ctx, "start", err)
	}
	d.hello()
	for _, s := range d.steps() {
		if err := d.show(ctx, s); err != nil {
			d.evidence()
			return err
		}
	}
	return nil
}

// show does one step and prints it.
func (d *demo) show(ctx context.Context, s step) error {
	began := time.Now()
	lines, data, err := s.do(ctx)
	took := time.Since(began)
	d.result.Steps = append(d.result.Steps, stepResult{Name: s.name, OK: err == nil, Seconds: took.Seconds(), Data: data})
	d.printStep(s, lines, took, err)
	if err != nil {
		return d.because(ctx, s.name, err)
	}
	return nil
}

// because makes a failure of err, with the deeper cause if the demo was ended
// from outside.
func (d *demo) because(ctx context.Context, what string, err error) error {
	var f *ui.Failure
	switch {
	case context.Cause(ctx) == errDemoTimeout:
		return ui.Failf("give it more time with --timeout, or less to do with --size", "%s: not done within %v", what, d.options.timeout)
	case ctx.Err() != nil:
		return ui.Failf("nothing is left to clean up", "%s: interrupted", what)
	case errors.As(err, &f):
		return &ui.Failure{Err: fmt.Errorf("%s: %w", what, f.Err), Hint: f.Hint, Misuse: f.Misuse}
	default:
		return ui.Failf("run it again; if it fails again, report it with the output of tstun version and tstun demo --json", "%s: %w", what, err)
	}
}

// start brings both nodes up.
func (d *demo) start() error {
	newHosts := d.newUserspaceHosts
	if d.options.tun {
		newHosts = d.newKernelHosts
	}
	if err := newHosts(); err != nil {
		return err
	}
	for _, n := range []*node{d.client, d.server} {
		if err := n.startWireGuard(n.wrapper); err != nil {
			return fmt.Errorf("%s: WireGuard: %w", n.name, err)
		}
	}
	d.result.Nodes = []nodeInfo{d.client.info(), d.server.info()}
	return nil
}

func (d *demo) newUserspaceHosts() error {
	for _, n := range []*node{d.client, d.server} {
		if err := newUserspaceHost(n); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

func (d *demo) stop() error { return errors.Join(d.client.stop(), d.server.stop()) }

// eventually asks until the answer is yes. The things that it waits for take
// milliseconds.
func eventually(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
