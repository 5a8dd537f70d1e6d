package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// Tunnel is a tunnel that runs. *control.Client is one.
type Tunnel interface {
	Status(context.Context) (control.Status, error)
	Diagnose(context.Context) (control.Diagnosis, error)
	Events(ctx context.Context, follow bool, line func([]byte) error) error
	Flows(ctx context.Context, q control.FlowsQuery, line func([]byte) error) (tunnel.FlowTotal, error)
	Goroutines(context.Context) ([]byte, error)
}

// Bounds of what is collected.
const (
	maxFlows = 1000 // of each kind
	flowsAge = time.Hour
	partTime = 30 * time.Second
)

// Version is what is known of the programs: tstun, and Go.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

// Collect asks for all parts, one after the other, each for 30 s at most. It ends early
// with ctx, and what is missing then has ctx's error.
func Collect(ctx context.Context, t Tunnel, v Version) []Part {
	c := collector{ctx: ctx, tunnel: t}
	c.document("version.json", "the program that made this", func(context.Context) (any, error) { return v, nil })
	c.document("status.json", "the tunnel, its peers and counters, at the beginning", c.status)
	c.add(PolicyPath, "the policy file", c.policy)
	c.add("events.jsonl", "the latest events, as docs/api.md has them", c.events)
	c.add("flows.jsonl", "connections of the last hour, those with the most bytes", c.flows(control.FlowsQuery{Filter: "accepted"}))
	c.add("refused.jsonl", "refused flows of the last hour, the latest", c.flows(control.FlowsQuery{Dropped: true}))
	c.document("diagnose.json", "what is wrong, as far as the tunnel can see", func(ctx context.Context) (any, error) { return t.Diagnose(ctx) })
	c.document("host.json", "interfaces, routes and rules of the host", func(context.Context) (any, error) { return readHost() })
	c.add("goroutines.txt", "what the tunnel's process does", t.Goroutines)
	c.document("status-after.json", "the same as status.json, at the end", c.status)
	HideSecrets(c.parts)
	return c.parts
}

type collector struct {
	ctx    context.Context
	tunnel Tunnel
	last   *control.Status // or nil
	note   string          // of the part that is being made
	parts  []Part
}

// add makes a part.
func (c *collector) add(path, what string, ask func(context.Context) ([]byte, error)) {
	ctx, cancel := context.WithTimeout(c.ctx, partTime)
	defer cancel()
	p := Part{Path: path, What: what}
	if p.Err = ctx.Err(); p.Err == nil {
		p.Data, p.Err = ask(ctx)
	}
	if p.Err != nil {
		p.Data = nil
	}
	p.Note, c.note = c.note, ""
	c.parts = append(c.parts, p)
}

// document makes a part of a value's JSON.
func (c *collector) document(path, what string, ask func(context.Context) (any, error)) {
	c.add(path, what, func(ctx context.Context) ([]byte, error) {
		v, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		out := json.NewEncoder(&b)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		err = out.Encode(v)
		return b.Bytes(), err
	})
}

func (c *collector) status(ctx context.Context) (any, error) {
	s, err := c.tunnel.Status(ctx)
	if err != nil {
		return nil, err
	}
	c.last = &s
	return s, nil
}

func (c *collector) events(ctx context.Context) ([]byte, error) {
	var all [][]byte
	err := c.tunnel.Events(ctx, false, func(line []byte) error {
		all = append(all, bytes.Clone(line))
		return nil
	})
	return lines(all), err
}

// flows returns what asks for flows. The last line is the total.
func (c *collector) flows(q control.FlowsQuery) func(context.Context) ([]byte, error) {
	q.Since, q.Limit = time.Now().Add(-flowsAge), maxFlows
	return func(ctx context.Context) ([]byte, error) {
		var all [][]byte
		total, err := c.tunnel.Flows(ctx, q, func(line []byte) error {
			all = append(all, bytes.Clone(line))
			return nil
		})
		if err != nil {
			return nil, err
		}
		end, err := json.Marshal(control.FlowsEnd{Total: total})
		return lines(append(all, end)), err
	}
}
