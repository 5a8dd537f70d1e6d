package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"tstun/filter"
	"tstun/policy"
)

const explainHelp = `explain says what the filter does with a new inbound flow from SRC to DST:PORT
under a policy, and why: the rule that allows it, or what comes nearest.

SRC and DST are addresses or names out of the policy. Where they stand for
several addresses, each flow is explained. DST needs no port if the protocol
has none.

Exit codes:
  0  all flows are accepted
  1  a flow is refused
  2  the policy cannot be read or has errors, or the command line is wrong`

type explainOptions struct {
	policy, proto, host string
	json                bool
}

func newExplainCommand(env environment) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:     "explain --policy FILE SRC DST:PORT",
		Short:   "Say what a policy does with a flow, and why",
		Long:    explainHelp,
		Example: "  tstun explain --policy policy.hujson laptop web:22\n  tstun explain --policy policy.hujson 10.0.0.1 web --proto icmp",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return errors.New("want SRC and DST:PORT")
			case o.policy == "":
				return errors.New("no --policy: want the file")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return runExplain(env, o, args[0], args[1]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.policy, "policy", "", "the policy `file`")
	flags.StringVar(&o.proto, "proto", "tcp", "the `protocol`: tcp, udp, icmp or another name or number")
	addLocalFlag(cmd, &o.host)
	flags.BoolVar(&o.json, "json", false, "print one JSON document instead of text")
	return cmd
}

// explained is a filter.Explanation in JSON.
type explained struct {
	Response filter.Response `json:"response"`
	Stage    filter.Stage    `json:"stage"`
	Reason   string          `json:"reason,omitempty"` // of a drop
	Rule     *ruleAt         `json:"rule,omitempty"`
	Text     string          `json:"text"`
	Nearest  string          `json:"nearest,omitempty"`
}

// ruleAt is a rule and where it is.
type ruleAt struct {
	Index int `json:"index"`
	policy.Position
}

func explain(p *policy.Policy, e filter.Explanation) explained {
	x := explained{Response: e.Response, Stage: e.Stage, Text: e.Text, Nearest: e.Nearest}
	if e.Reason != filter.ReasonNone {
		x.Reason = e.Reason.String()
	}
	if e.Rule >= 0 {
		x.Rule = &ruleAt{e.Rule, p.Rule(e.Rule)}
	}
	return x
}

// explainedFlow is a flow and what becomes of it.
type explainedFlow struct {
	policy.Flow
	explained
}

func runExplain(env environment, o explainOptions, src, dst string) error {
	policies, err := readPolicies([]string{o.policy}, o.host)
	if err != nil {
		return err
	}
	pol := policies[0]
	flows, err := pol.Flows(src, dst, o.proto)
	if err != nil {
		return badInput("tstun help explain tells what SRC and DST:PORT can be", err)
	}
	f, err := filter.New(pol.Config())
	if err != nil {
		return failf("", "%s: %w", o.policy, err)
	}
	all := make([]explainedFlow, len(flows))
	refused := 0
	for i, flow := range flows {
		e := pol.Explain(f, flow)
		all[i] = explainedFlow{flow, explain(pol, e)}
		if e.Response.IsDrop() {
			refused++
		}
	}
	if err := printExplanations(env, o, all); err != nil {
		return err
	}
	if refused > 0 {
		return failf("", "%s of %d refused", counted(refused, "flow", "flows"), len(flows))
	}
	return nil
}

func printExplanations(env environment, o explainOptions, all []explainedFlow) error {
	if o.json {
		return writeJSON(env, struct {
			Flows []explainedFlow `json:"flows"`
		}{all})
	}
	p := newPainter(env)
	for _, e := range all {
		p.printf("%v\n", e.Flow)
		p.printExplained(e.explained)
	}
	return written(p)
}

// printExplained prints an explanation behind an indent.
func (p *painter) printExplained(e explained) {
	hue := green
	if e.Response.IsDrop() {
		hue = red
	}
	p.printf("   %s at stage %q", p.paint(hue, e.Response.String()), e.Stage)
	if e.Reason != "" {
		p.printf(" for reason %q", e.Reason)
	}
	if e.Rule != nil {
		p.printf(" by rule %d, %v", e.Rule.Index, e.Rule.Position)
	}
	p.printf("\n   %s\n", e.Text)
	if e.Nearest != "" {
		p.printf("   %s\n", strings.ReplaceAll(e.Nearest, "\n", "\n   "))
	}
}
