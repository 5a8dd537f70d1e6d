package cli

import (
	"context"
	"fmt"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/tunnel"
)

// flowVerdict is how far a flow comes.
type flowVerdict string

const (
	flowReached       flowVerdict = "reached"
	flowRefusedHere   flowVerdict = "refused-here"
	flowRefusedThere  flowVerdict = "refused-there"
	flowClosed        flowVerdict = "closed"
	flowUnreachable   flowVerdict = "unreachable"
	flowAnswerRefused flowVerdict = "answer-refused"
	flowSilent        flowVerdict = "silent"
)

// tracedFlow is a flow that was tried, with what the other end was heard to say.
type tracedFlow struct {
	Verdict flowVerdict `json:"verdict"`
	tunnel.Trace
	There *otherEnd `json:"there,omitempty"`
}

// otherEnd is what the peer's tunnel says of the flow: the step at which it does not pass,
// and why, but none of its rules.
type otherEnd struct {
	Tunnel string      `json:"tunnel"`
	OK     bool        `json:"ok"`
	Step   tunnel.Step `json:"step,omitempty"`
	Code   string      `json:"code,omitempty"`
	// Listens: it knows that a program listens.
	Listens bool `json:"listens,omitempty"`
}

// otherEnds finds and asks the tunnels of peers.
type otherEnds struct {
	dirs  []string
	near  *control.Client // who tries the flows
	named *control.Client // by --peer, or nil
	found map[key.Public]*control.Client
}

// ask returns what was tried with what the peer's tunnel says, if that can be asked.
func (o *otherEnds) ask(ctx context.Context, t tunnel.Trace) (f tracedFlow, err error) {
	f.Trace = t
	if t.Obstacle() == nil {
		if c := o.client(ctx, t.PeerKey); c != nil {
			f.There, err = askThere(ctx, c, t)
		}
		if o.named == nil {
			err = nil // it answered to its name just now, and is not needed
		} else if err == nil && f.There == nil {
			err = ui.BadInput("leave --peer out, or give the tunnel that has that key",
				fmt.Errorf("--peer: tunnel %s is not peer %s: it does not have the public key %v", o.named.Name, t.Peer, t.PeerKey))
		}
	}
	f.Verdict = f.verdict()
	return f, err
}

// client returns who answers for the tunnel with a key, or nil.
func (o *otherEnds) client(ctx context.Context, k key.Public) *control.Client {
	if c, known := o.found[k]; known {
		return c
	}
	candidates := []*control.Client{o.named}
	if o.named == nil {
		candidates, _ = control.List(o.dirs)
	}
	if o.found == nil {
		o.found = make(map[key.Public]*control.Client)
	}
	o.found[k] = nil
	for _, c := range candidates {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		s, err := c.Status(ctx)
		cancel()
		if err == nil && s.PublicKey == k {
			o.found[k] = c
			break
		}
	}
	return o.found[k]
}

// askThere returns what the peer's tunnel says of a flow that comes in there.
func askThere(ctx context.Context, c *control.Client, t tunnel.Trace) (*otherEnd, error) {
	q := control.ChecksQuery{
		Src: t.Src.String(), Dst: t.Dst.Addr().String(), Proto: fmt.Sprint(uint8(t.Proto)), Direction: filter.Inbound.String(),
	}
	if t.Proto.HasPorts() {
		q.Dst = t.Dst.String()
	}
	a, err := c.Checks(ctx, q)
	if err != nil {
		return nil, askFailure(err)
	}
	there := &otherEnd{Tunnel: c.Name, OK: true}
	for _, e := range a.Flows {
		if wrong := e.Obstacle(); wrong != nil && there.OK {
			there.OK, there.Step, there.Code = false, wrong.Step, wrong.Code
		}
		for _, check := range e.Checks {
			there.Listens = there.Listens || check.Step == tunnel.StepProgram && check.OK
		}
	}
	return there, nil
}

// verdict returns how far the flow comes. What the other end says is more exact than what
// came back, but for an answer.
func (f *tracedFlow) verdict() flowVerdict {
	switch {
	case f.Probe == nil:
		return flowRefusedHere
	case f.Probe.Outcome == tunnel.OutcomeAnswered:
		return flowReached
	case f.There != nil && f.There.Step == tunnel.StepProgram:
		return flowClosed
	case f.There != nil && !f.There.OK:
		return flowRefusedThere
	}
	switch f.Probe.Outcome {
	case tunnel.OutcomeClosed:
		return flowClosed
	case tunnel.OutcomeRejected:
		return flowRefusedThere
	case tunnel.OutcomeUnreachable:
		return flowUnreachable
	case tunnel.OutcomeAnswerRefused:
		return flowAnswerRefused
	}
	if f.Proto == ipproto.UDP && f.There != nil && f.There.Listens && f.Probe.Presence == tunnel.PresencePong {
		return flowReached // and has no answer to an empty datagram
	}
	return flowSilent
}
