// Package demo runs two WireGuard nodes on this machine, each on a tstun
// Wrapper, sends traffic between them, and shows what each Wrapper did with it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

// Options say what the demo does.
type Options struct {
	Size    ui.Size       // of the bulk transfer, at least 1
	TUN     bool          // nodes have kernel interfaces, not stacks of their own
	Timeout time.Duration // of the whole demo, more than 0
}

// errTimeout is the cause with which Options.Timeout ends the context.
var errTimeout = errors.New("time is up")

// Run runs the demo and prints it to p as it goes. It takes down all that it
// has started before it returns, also when ctx ends. The Result is never nil:
// after an error it has what was seen until then. The error is a Failure.
func Run(ctx context.Context, p *ui.Painter, o Options) (*Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	d := newDemo(p, o)
	err := d.run(ctx)
	if err == nil {
		err = p.Err()
	}
	return d.result, err
}

// demo is one run of the demo.
type demo struct {
	options        Options
	p              *ui.Painter
	result         *Result
	client, server *node
}

func newDemo(p *ui.Painter, o Options) *demo {
	d := &demo{options: o, p: p, result: newResult(o)}
	d.client, d.server = newNodes()
	return d
}

// nodes returns both nodes, the client first.
func (d *demo) nodes() [2]*node { return [2]*node{d.client, d.server} }

// run starts the nodes, does all steps and stops the nodes.
func (d *demo) run(ctx context.Context) (err error) {
	began := time.Now()
	defer func() {
		if stopErr := d.stop(); stopErr != nil && err == nil {
			err = ui.Failf("", "clean up: %w", stopErr)
		}
		d.result.Seconds = time.Since(began).Seconds()
		if err == nil {
			d.outro()
		}
	}()
	if err := d.start(ctx); err != nil {
		return d.failure(ctx, "start", err)
	}
	d.intro()
	for _, s := range d.steps() {
		if err := d.show(ctx, s); err != nil {
			d.diagnostics()
			return err
		}
	}
	return nil
}

// show does one step, prints it and records it.
func (d *demo) show(ctx context.Context, s step) error {
	began := time.Now()
	lines, data, err := s.do(ctx)
	took := time.Since(began)
	d.result.Steps = append(d.result.Steps, StepResult{Name: s.name, OK: err == nil, Seconds: took.Seconds(), Data: data})
	d.printStep(s, lines, took, err)
	if err != nil {
		return d.failure(ctx, s.name, err)
	}
	return nil
}

// failure returns the Failure of a step. If the step failed because ctx has
// ended, the Failure says that, and not how the step noticed.
func (d *demo) failure(ctx context.Context, step string, err error) error {
	var f *ui.Failure
	switch {
	case context.Cause(ctx) == errTimeout:
		return ui.Failf("give it more time with --timeout, or less to do with --size", "%s: not done within %v", step, d.options.Timeout)
	case ctx.Err() != nil:
		return ui.Failf("nothing is left to clean up", "%s: interrupted", step)
	case errors.As(err, &f):
		return &ui.Failure{Err: fmt.Errorf("%s: %w", step, f.Err), Hint: f.Hint, Misuse: f.Misuse}
	default:
		return ui.Failf("run it again; if it fails again, report it with the output of tstun version and tstun demo --json", "%s: %w", step, err)
	}
}

// start gives each node a host and starts its tunnel, the server's first: the
// client finds the server.
func (d *demo) start(ctx context.Context) error {
	newHosts := d.newUserspaceHosts
	if d.options.TUN {
		newHosts = d.newKernelHosts
	}
	if err := newHosts(); err != nil {
		return err
	}
	if err := d.server.start(ctx, d.client, netip.AddrPort{}); err != nil {
		return fmt.Errorf("%s: %w", d.server.name, err)
	}
	if err := d.client.start(ctx, d.server, d.server.endpoint()); err != nil {
		return fmt.Errorf("%s: %w", d.client.name, err)
	}
	d.result.Nodes = []NodeInfo{d.client.info(), d.server.info()}
	return nil
}

// stop stops both nodes. The nodes need not have started.
func (d *demo) stop() error { return errors.Join(d.client.stop(), d.server.stop()) }
