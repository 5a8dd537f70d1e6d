package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

const traceHelp = `trace tries a new flow from SRC to DST:PORT, and says how far it comes: "left
here, refused at the peer". SRC is an address of this node, or its name.

It asks a tunnel that "tstun up" runs, as explain does. What stands in the way
at this end is told first, and then nothing is sent. Otherwise the flow's first
packet goes through the tunnel: of TCP a SYN, of UDP an empty datagram, of icmp
an echo request; and what comes back is told: a program answers, no program
listens, the peer refuses it and why, a router gets it no further, or nothing.
It is sent past the programs and the firewall of this host. A connection that
is accepted is reset before a program sees it.

A peer that runs tstun says that its policy refuses the flow (see up --reject),
and none of its rules; one with Tailscale does, too. A TSMP ping beside the
packet shows whether such a peer is there at all. A peer with plain WireGuard
answers as its host does: a program, a reset, an error, or silence. What silence
can mean is listed.

If the peer's tunnel runs on this machine, or --peer names it or its control
socket, such as one that ssh -L forwards, that is asked, too: it knows the exact
reason, and whether a program listens. Its rules are not shown.

Exit codes:
  0  all flows come to a program, or of icmp to the host, and it answers; of
     udp without an answer, the peer was asked and said so
  1  a flow is refused, at either end, nobody listens or nothing answers; no
     tunnel answers; or a signal ended it
  2  SRC, DST or --proto stand for no flow that begins here, or the command line
     is wrong`

const traceUse = "trace SRC DST:PORT"

type traceOptions struct {
	asked
	proto, peer string
	timeout     time.Duration
}

// newTraceCommand returns the command that tries flows.
func newTraceCommand(env ui.Environment, doc *document) *cobra.Command {
	var o traceOptions
	cmd := &cobra.Command{
		Use:     traceUse,
		Short:   "Try a flow, and say how far it comes",
		Long:    traceHelp,
		Example: "  sudo tstun trace 10.9.0.1 web:22\n  sudo tstun trace 10.9.0.1 web --proto icmp\n  sudo tstun trace 10.9.0.1 web:53 --proto udp --peer ./web.sock",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return ui.BadInput("as in: tstun "+traceUse, fmt.Errorf("%s: want two, SRC and DST:PORT", ui.Counted(len(args), "argument", "arguments")))
			}
			if o.timeout <= 0 || o.timeout > tunnel.MaxTraceTime {
				return ui.BadInput("as in --timeout 3s", fmt.Errorf("--timeout %v: want a time up to %v", o.timeout, tunnel.MaxTraceTime))
			}
			return nil
		},
		ValidArgsFunction: completeFlow(env, &o.asked, new(string), new(string)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTrace(cmd.Context(), env, doc, &o, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	o.addFlags(cmd, env)
	flags.StringVar(&o.proto, "proto", "tcp", "the `protocol`: tcp, udp or icmp")
	flags.StringVar(&o.peer, "peer", "", "ask the peer's tunnel `NAME`, or at the path of its socket, too")
	flags.DurationVar(&o.timeout, "timeout", tunnel.DefaultTraceTime, "wait so `long` for the answer of each flow")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// traceResult is the JSON document of trace.
type traceResult struct {
	ui.Report
	Tunnel string       `json:"tunnel,omitempty"`
	Flows  []tracedFlow `json:"flows"`
}

// runTrace has a tunnel try every flow from src to dst.
func runTrace(ctx context.Context, env ui.Environment, doc *document, o *traceOptions, src, dst string) error {
	result := traceResult{Flows: []tracedFlow{}}
	doc.body = &result
	c, err := o.client(env)
	if err != nil {
		return err
	}
	result.Tunnel = c.Name
	others := otherEnds{dirs: control.Dirs(o.stateDir, env.Getenv), near: c}
	if o.peer != "" {
		if others.named, err = peerClient(others.dirs, o.peer); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, control.MaxTraces*(o.timeout+explainTimeout))
	defer cancel()
	answer, err := c.Trace(ctx, control.TraceQuery{Src: src, Dst: dst, Proto: o.proto, Wait: o.timeout})
	if err != nil {
		return traceFailure(err)
	}
	for _, t := range answer.Flows {
		f, err := others.ask(ctx, t)
		if err != nil {
			return err
		}
		result.Flows = append(result.Flows, f)
	}
	if !doc.wanted {
		p := ui.NewPainter(env)
		for i := range result.Flows {
			result.Flows[i].print(p, c.Name)
		}
		if err := p.Err(); err != nil {
			return err
		}
	}
	return unreached(result.Flows)
}

// peerClient returns who answers for the peer: the tunnel of a NAME, or the one at the path
// of a socket, which has a slash in it.
func peerClient(dirs []string, peer string) (*control.Client, error) {
	if !strings.ContainsRune(peer, '/') {
		return findTunnel(dirs, peer)
	}
	c, err := control.At(peer)
	if err != nil {
		return nil, ui.Failf("want the path of a tunnel's control socket, or the NAME of a tunnel", "--peer %s: %w", peer, err)
	}
	return c, nil
}

// traceFailure returns the error of a tunnel that was asked. That src and dst stand for
// nothing that it can try is an error of the command line.
func traceFailure(err error) error {
	var told *control.Error
	if errors.As(err, &told) && told.Code == http.StatusBadRequest {
		return ui.BadInput("tstun help trace tells what SRC and DST:PORT can be; tstun explain takes flows that begin elsewhere", err)
	}
	return askFailure(err)
}

// unreached returns the error of flows that do not come to their destination, with the next
// step of the first.
func unreached(flows []tracedFlow) error {
	n, hint := 0, ""
	for i := range flows {
		if flows[i].Verdict == flowReached {
			continue
		}
		if n == 0 {
			hint = oneLine(flows[i].advice())
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return ui.Failf(hint, "%s of %s did not come to an answer", ui.Counted(n, "flow", "flows"), ui.Number(uint64(len(flows))))
}
