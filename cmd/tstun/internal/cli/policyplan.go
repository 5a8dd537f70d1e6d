package cli

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
	"tstun/tunnel"
)

const planHelp = `plan says what would become of flows if the policy FILE came into force: which
open ones would be cut, and which refused ones would be let in, for each peer.
Flows that the host began need no rule, and go on. FILE is tried first: a policy
whose own tests do not hold never comes into force.

The running tunnel computes it, for the host that its own policy is read for
unless --local says another; with --flows, the flows are those of a file. With
--since, flows count that ended since, too. The first of either kind are told
one by one, those with the most bytes: 20, and with --json 10,000.

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
	Cut   []plannedFlow     `json:"cut"`
	LetIn []plannedFlow     `json:"letIn"`
	Peers []policy.PeerPlan `json:"peers"`
}

// plannedFlow is a policy.Seen, in JSON.
type plannedFlow struct {
	namedFlow
	Peer    string    `json:"peer,omitempty"`
	Packets uint64    `json:"packets"`
	Bytes   uint64    `json:"bytes"`
	Last    time.Time `json:"last,omitzero"`
}

func runPlan(ctx context.Context, env ui.Environment, doc *document, o planOptions, file string) error {
	result := planResult{Cut: []plannedFlow{}, LetIn: []plannedFlow{}, Peers: []policy.PeerPlan{}}
	doc.body = &result
	text, p, err := readPolicy(env, file, o.host)
	if err != nil {
		return err
	}
	limit := maxPlanned
	if doc.wanted {
		limit = control.MaxPlanned
	}
	plan, err := o.plan(ctx, env, text, p, limit)
	if err != nil {
		return err
	}
	result.fill(p.Names(), plan)
	if !doc.wanted {
		if err := printPlan(env, &result); err != nil {
			return err
		}
	}
	if n := plan.CutFlows(); n > 0 {
		return ui.Failf("", "%s would be cut", ui.Counted(n, "open flow", "open flows"))
	}
	return nil
}

// plan computes the plan of the flows of --flows, or has the tunnel compute it.
func (o *planOptions) plan(ctx context.Context, env ui.Environment, text tunnel.PolicyText, p *policy.Policy, limit int) (*policy.Plan, error) {
	if o.file == "" {
		c, q, err := o.query(env)
		if err != nil {
			return nil, err
		}
		q.Limit = limit
		return askPlan(ctx, c, text, p, q)
	}
	if err := testsHold(text.File, p); err != nil {
		return nil, err
	}
	seen, err := o.read(ctx, env, false)
	if err != nil {
		return nil, err
	}
	plan, err := p.Plan(slices.Values(seen), limit)
	if err != nil {
		return nil, ui.Failf("", "%s: %w", text.File, err)
	}
	return plan, nil
}

// askPlan has the tunnel compute the plan of a policy.
func askPlan(ctx context.Context, c *control.Client, text tunnel.PolicyText, p *policy.Policy, q control.FlowsQuery) (*policy.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, flowsTimeout)
	defer cancel()
	plan, err := c.PlanPolicy(ctx, []byte(text.Text), text.Host, q)
	if err == nil {
		return &plan, nil
	}
	var told *control.Error
	if errors.As(err, &told) && told.Code == http.StatusUnprocessableEntity {
		if err := testsHold(text.File, p); err != nil {
			return nil, err
		}
	}
	return nil, askFailure(err)
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
	r.Peers = plan.Peers
}

// maxPlanned is how many flows of a kind are told one by one, but for --json, which has as
// many as the tunnel tells.
const maxPlanned = 20

func printPlan(env ui.Environment, r *planResult) error {
	p := ui.NewPainter(env)
	cut, letIn := 0, 0
	for i := range r.Peers {
		cut, letIn = cut+r.Peers[i].Cut, letIn+r.Peers[i].LetIn
	}
	showFlows(p, "cut   ", ui.Red, r.Cut, cut, "more open flows")
	showFlows(p, "let in", ui.Green, r.LetIn, letIn, "more that were refused")
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
