package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/policy"
)

const explainHelp = `explain says what becomes of a new flow from SRC to DST:PORT, and why.

It asks a tunnel that "tstun up" runs: what the rules say, which such flows are
open, what a policy that is tried would do, whether the host routes to the
tunnel, which peer has the address, whether that peer is up or answers, whether
the MTU fits the way, and who is asked for names. What is wrong first is to be
set right first; each has its next step. What the other end does with the flow
is known there. The peer is asked for a handshake, unless there was one just
now; one that does not answer takes two seconds.

With --policy, it reads a file alone: the rule that allows the flow, or the one
that comes nearest and what it lacks.

SRC and DST are addresses or names out of the policy; a tunnel that runs knows
its peers' names, too. Where they stand for several addresses, each flow is
explained. DST needs no port if the protocol has none.

A flow is inbound, from a peer to the host, unless SRC is one of the host's
addresses ("local" in the policy) and DST is not: then it is the host's own, and
outbound. Rules are about inbound flows. The host's own pass, but for what the
filter never lets out, and are answered. --out and --out=false say which way it
is, whatever the addresses are.

Exit codes:
  0  all flows are accepted, and nothing else is wrong as far as can be seen
  1  a flow is refused, or something else is wrong; no tunnel answers; or a
     signal ended it
  2  the policy cannot be read or has errors, SRC, DST or --proto stand for no
     flow, or the command line is wrong`

const explainUse = "explain SRC DST:PORT"

type explainOptions struct {
	asked
	policy, proto string
	host          string // for which the policy is read, or "" for a policy of one host
	out           bool
	outIsGiven    bool // --out or --out=false is given; else the addresses decide
}

// newExplainCommand returns the command that explains verdicts.
func newExplainCommand(env ui.Environment, doc *document) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:               explainUse,
		Short:             "Say what becomes of a flow, and why",
		Long:              explainHelp,
		Example:           "  sudo tstun explain laptop web:22\n  tstun explain --policy policy.hujson laptop web:22\n  tstun explain --policy policy.hujson 10.0.0.1 web --proto icmp\n  tstun explain --policy policy.hujson --out web 8.8.8.8:53 --proto udp",
		Args:              func(_ *cobra.Command, args []string) error { return o.check(args) },
		ValidArgsFunction: completeFlow(env, &o.asked, &o.policy, &o.host),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.outIsGiven = cmd.Flags().Changed("out")
			if o.policy == "" {
				return explainRunning(cmd.Context(), env, doc, o, args[0], args[1])
			}
			return runExplain(env, doc, o, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.policy, "policy", "", "read this policy `file` alone, or - for standard input")
	o.addFlags(cmd, env)
	flags.StringVar(&o.proto, "proto", "tcp", "the `protocol`: tcp, udp, icmp, another name, or a number")
	completeWords(cmd, "proto", "tcp", "udp", "icmp", "sctp", "gre", "esp")
	addLocalFlag(cmd, &o.host)
	flags.BoolVar(&o.out, "out", false, "the flow is outbound: the host's own")
	flags.BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// check returns the error of arguments and options that are missing or do not go
// together. It reports all of them at once.
func (o explainOptions) check(args []string) error {
	var errs []error
	hint := "as in: tstun " + explainUse
	if o.policy != "" && o.tunnel != "" {
		errs = append(errs, errors.New("--policy with --tunnel: want one of them"))
	}
	if o.policy == "" && o.host != "" {
		errs = append(errs, errors.New("--local without --policy: a tunnel that runs has one host"))
	}
	if o.policy == "" && len(args) == 3 {
		if _, err := os.Stat(args[0]); err == nil {
			errs = append(errs, fmt.Errorf("no --policy: want it before the file, %s", args[0]))
			hint = fmt.Sprintf("did you mean tstun explain --policy %s %s %s?", args[0], args[1], args[2])
			args = args[1:]
		}
	}
	if len(args) != 2 {
		errs = append(errs, fmt.Errorf("%s: want two, SRC and DST:PORT", ui.Counted(len(args), "argument", "arguments")))
	}
	if len(errs) == 0 {
		return nil
	}
	return ui.BadInput(hint, errors.Join(errs...))
}

// explainResult is the JSON document of explain.
type explainResult struct {
	ui.Report
	Flows []explainedFlow `json:"flows"`
}

// explainedFlow is a flow and the filter's verdict on it.
type explainedFlow struct {
	namedFlow
	Direction filter.Direction `json:"direction"`
	explained
	assumed bool // the flow is outbound because of its addresses
}

// runExplain explains every flow from src to dst.
func runExplain(env ui.Environment, doc *document, o explainOptions, src, dst string) error {
	result := explainResult{Flows: []explainedFlow{}}
	doc.body = &result
	policies, err := readPolicies(env, []string{o.policy}, o.host)
	if err != nil {
		return err
	}
	pol := policies[0]
	flows, err := pol.Flows(src, dst, o.proto)
	if err != nil {
		return ui.BadInput("tstun help explain tells what SRC and DST:PORT can be", err)
	}
	f, err := filter.New(pol.Config())
	if err != nil {
		return ui.Failf("", "%s: %w", fileName(o.policy), err)
	}
	refused := 0
	host, _, _ := strings.Cut(dst, ":")
	names := pol.Names(src, host)
	for _, flow := range flows {
		e := explainFlow(pol, f, o, newNamedFlow(names, flow))
		result.Flows = append(result.Flows, e)
		if e.Response.IsDrop() {
			refused++
		}
	}
	if !doc.wanted {
		if err := printExplanations(env, result.Flows); err != nil {
			return err
		}
	}
	if refused > 0 {
		return ui.Failf("", "%s of %s refused", ui.Counted(refused, "flow", "flows"), ui.Number(uint64(len(flows))))
	}
	return nil
}

// explainFlow explains one flow, in the direction that the options give or
// else its addresses.
func explainFlow(pol *policy.Policy, f *filter.Filter, o explainOptions, flow namedFlow) explainedFlow {
	e := explainedFlow{namedFlow: flow, Direction: filter.Inbound}
	local := pol.Config().Local
	out := o.out
	if !o.outIsGiven {
		out = isIn(local, flow.Src) && !isIn(local, flow.Dst.Addr())
		e.assumed = out
	}
	if out {
		e.Direction = filter.Outbound
	}
	x := pol.Explain(f, e.Direction, flow.Flow)
	e.explained = explain(pol, flow.Flow, x)
	if out {
		e.Answered = &x.Answered
	}
	return e
}

// isIn reports whether one of the prefixes contains a.
func isIn(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
}

// printExplanations prints each flow on a line, and its explanation below.
func printExplanations(env ui.Environment, all []explainedFlow) error {
	p := ui.NewPainter(env)
	for _, e := range all {
		p.Printf("%v\n", e.namedFlow)
		if e.assumed {
			p.Printf("   outbound, since its source alone is local; --out=false takes it as inbound\n")
		}
		printExplained(p, e.explained)
	}
	return p.Err()
}
