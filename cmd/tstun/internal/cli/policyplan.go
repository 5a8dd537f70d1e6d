package cli

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

const planHelp = `plan says what would become of flows if the policy FILE came into force: which
open ones would be cut, and which refused ones would be let in, for each peer.
Flows that the host began need no rule, and go on. FILE is tried first: a policy
whose own tests do not hold never comes into force.

It asks the running tunnel for the flows, or takes those of --flows. With
--since, flows count that ended since, too.

Exit codes:
  0  no flow would be cut
  1  a flow would be, a test of FILE does not hold, no tunnel answers, or a
     signal ended it
  2  a file cannot be read or has errors, or the command line is wrong`

type planOptions struct {
	seenFlows
	host string
}

// newPlanCommand returns the command that says what a policy would do to flows.
func newPlanCommand(env ui.Environment, doc *document) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:     "plan FILE",
		Short:   "Say which flows a policy would cut, and let in",
		Long:    planHelp,
		Example: "  sudo tstun policy plan policy.hujson\n  tstun policy plan policy.hujson --flows flows.jsonl --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPlan(cmd.Context(), env, doc, o, args[0])
		},
	}
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	addLocalFlag(cmd, &o.host)
	addFlowsFlags(cmd, env, &o.seenFlows, "")
	return cmd
}

// planResult is the JSON document of policy plan.
type planResult struct {
	ui.Report
	Cut   []plannedFlow `json:"cut"`
	LetIn []plannedFlow `json:"letIn"`
	Peers []peerPlan    `json:"peers"`
}

// plannedFlow is a policy.Seen, in JSON.
type plannedFlow struct {
	namedFlow
	Peer    string    `json:"peer,omitempty"`
	Packets uint64    `json:"packets"`
	Bytes   uint64    `json:"bytes"`
	Last    time.Time `json:"last,omitzero"`
}

// peerPlan is a policy.PeerPlan, in JSON.
type peerPlan struct {
	Peer         string `json:"peer"`
	Open         int    `json:"open"`
	Cut          int    `json:"cut"`
	CutBytes     uint64 `json:"cutBytes"`
	Refused      int    `json:"refused"`
	LetIn        int    `json:"letIn"`
	LetInPackets uint64 `json:"letInPackets"`
}

func runPlan(ctx context.Context, env ui.Environment, doc *document, o planOptions, file string) error {
	result := planResult{Cut: []plannedFlow{}, LetIn: []plannedFlow{}, Peers: []peerPlan{}}
	doc.body = &result
	policies, err := readPolicies(env, []string{file}, o.host)
	if err != nil {
		return err
	}
	if err := testsHold(fileName(file), policies[0]); err != nil {
		return err
	}
	seen, err := o.read(ctx, env)
	if err != nil {
		return err
	}
	plan, err := policies[0].Plan(slices.Values(seen))
	if err != nil {
		return ui.Failf("", "%s: %w", fileName(file), err)
	}
	result.fill(policies[0].Names(), plan)
	if !doc.wanted {
		if err := printPlan(env, &result); err != nil {
			return err
		}
	}
	if n := len(plan.Cut); n > 0 {
		return ui.Failf("", "%s would be cut", ui.Counted(n, "open flow", "open flows"))
	}
	return nil
}

// testsHold returns the error of a policy whose tests do not hold.
func testsHold(name string, p *policy.Policy) error {
	failures, err := p.Test()
	switch {
	case err != nil:
		return ui.Failf("", "%s: %w", name, err)
	case len(failures) > 0:
		return ui.Failf("tstun check "+name+" says why", "%s, so it would not come into force", ui.Counted(len(failures), "test does not hold", "tests do not hold"))
	}
	return nil
}

// fill sets what the document says.
func (r *planResult) fill(names policy.Names, plan *policy.Plan) {
	r.Cut, r.LetIn = planned(r.Cut, names, plan.Cut), planned(r.LetIn, names, plan.LetIn)
	for _, p := range plan.Peers {
		r.Peers = append(r.Peers, peerPlan(p))
	}
}

// maxPlanned is how many flows of a kind are told one by one. --json has them all.
const maxPlanned = 20

func printPlan(env ui.Environment, r *planResult) error {
	p := ui.NewPainter(env)
	showFlows(p, "cut   ", ui.Red, r.Cut, "more open flows")
	showFlows(p, "let in", ui.Green, r.LetIn, "more that were refused")
	t := ui.Table{Right: []bool{false, true, true, true, true, true}}
	t.Add("peer", "open", "cut", "its bytes", "refused", "let in")
	for _, x := range r.Peers {
		name := x.Peer
		if name == "" {
			name = "unknown"
		}
		t.Add(name, ui.Number(uint64(x.Open)), strconv.Itoa(x.Cut), ui.Bytes(x.CutBytes), strconv.Itoa(x.Refused), strconv.Itoa(x.LetIn))
	}
	if len(r.Peers) == 0 {
		p.Printf("no flow of a peer was seen\n")
	} else {
		p.Draw(&t)
	}
	return p.Err()
}
