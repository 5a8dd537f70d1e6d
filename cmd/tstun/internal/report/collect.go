package report

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// Tunnel is a tunnel that runs. *control.Client is one.
type Tunnel interface {
	Status(context.Context) (control.Status, error)
	Traffic(ctx context.Context, since time.Time) (tunnel.Traffic, error)
	Flows(ctx context.Context, q control.FlowsQuery, line func([]byte) error) (tunnel.FlowTotal, error)
	Policy(context.Context) (tunnel.PolicyText, error)
	PolicyHistory(context.Context) (tunnel.PolicyHistory, error)
	Events(ctx context.Context, follow bool, line func([]byte) error) error
}

// Options are what Collect is told.
type Options struct {
	Since     time.Time // before the tunnel's start, it is that
	Now       time.Time // or the zero value: when all was asked
	Version   string    // of the tool
	Anonymize bool      // replace addresses, names, paths and public keys
}

// Collect asks a tunnel for all parts, one after the other, each for 30 s at most. A part
// that fails is missing; without the status, or when ctx ends, there is an error. Keys
// that are not public and passwords are hidden.
func Collect(ctx context.Context, t Tunnel, o Options) (*Report, error) {
	r := &Report{Version: o.Version, Findings: []Finding{}, Flows: []tunnel.Flow{}, Refused: []tunnel.Flow{}, Events: []tunnel.Event{}}
	status, err := ask(ctx, t.Status)
	if err != nil {
		return nil, err
	}
	r.Status, r.Tunnel, r.Since = &status, status.Name, o.Since
	if r.Since.Before(status.Started) {
		r.Since = status.Started
	}
	part := func(name string, get func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, partTime)
		defer cancel()
		if err := get(ctx); err != nil {
			r.miss(name, err)
		}
	}
	part("traffic over time", func(ctx context.Context) (err error) { r.Traffic, err = t.Traffic(ctx, r.Since); return err })
	part("flows", func(ctx context.Context) error { return r.flows(ctx, t) })
	part("policy", func(ctx context.Context) (err error) { r.Policy, err = t.Policy(ctx); return err })
	part("history of the policy", func(ctx context.Context) (err error) { r.History, err = t.PolicyHistory(ctx); return err })
	part("events", func(ctx context.Context) error { return r.events(ctx, t) })
	if r.Created = o.Now; r.Created.IsZero() {
		r.Created = time.Now()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r, err = r.cleaned(o.Anonymize); err != nil {
		return nil, err
	}
	r.matrix()
	r.summarize()
	return r, nil
}

func ask[T any](ctx context.Context, get func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	return get(ctx)
}

// flows asks for flows.
func (r *Report) flows(ctx context.Context, t Tunnel) (err error) {
	r.Total, err = t.Flows(ctx, control.FlowsQuery{Since: r.Since, Limit: maxFlows}, func(line []byte) error {
		var f tunnel.Flow
		if err := json.Unmarshal(line, &f); err != nil {
			return err
		}
		if f.IsRefused() {
			r.Refused = append(r.Refused, f)
		} else {
			r.Flows = append(r.Flows, f)
		}
		return nil
	})
	slices.SortStableFunc(r.Refused, func(a, b tunnel.Flow) int { return cmp.Compare(packetsOf(&b), packetsOf(&a)) })
	return err
}

func packetsOf(f *tunnel.Flow) uint64 { return f.In.Packets + f.Out.Packets }

// events asks for what happened, but for what the refused flows and the history say.
func (r *Report) events(ctx context.Context, t Tunnel) error {
	return t.Events(ctx, false, func(line []byte) error {
		var e tunnel.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		switch e.Kind {
		case tunnel.FlowFirstRefused, tunnel.PolicyLoaded, tunnel.PolicyRefused, tunnel.PolicyConfirmed, tunnel.PolicyRolledBack:
			return nil
		}
		if !e.Time.Before(r.Since) {
			r.Events = append(r.Events, e)
		}
		return nil
	})
}
