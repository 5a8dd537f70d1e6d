package demo

import (
	"context"
	"fmt"
	"time"
)

// step is one thing that the demo shows.
type step struct {
	name  string // in JSON and in errors
	title string
	// do returns what it saw, as lines of text and as a value for JSON. It
	// returns an error if it did not see what the title says.
	do func(context.Context) (lines []string, data any, err error)
}

// stepTotals is the name of the last step, which prints tables.
const stepTotals = "accounts"

func (d *demo) steps() []step {
	underlay := "loopback UDP"
	if d.options.TUN {
		underlay = "UDP"
	}
	return []step{
		{"handshake", "WireGuard handshake over " + underlay, d.handshake},
		{"ping", "ping", d.ping},
		{"http", "HTTP request that a rule allows", d.http},
		{"refused", "TCP connection that no rule allows", d.refused},
		{"udp", "UDP exchange: replies only", d.udp},
		{"tsmp", "TSMP ping, answered by the Wrapper itself", d.tsmp},
		{"transfer", fmt.Sprintf("transfer of %v over TCP", d.options.Size), d.transfer},
		{stepTotals, "what went through, and what did not", d.totals},
	}
}

// replyTimeout bounds how long a step waits for a reply of the other node.
const replyTimeout = 5 * time.Second

// eventually polls condition once per millisecond until it is true. It returns
// the error of condition, or that of ctx if ctx ends first.
func eventually(ctx context.Context, condition func() (bool, error)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
