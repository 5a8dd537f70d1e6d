package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

const usageHelp = `usage says of each rule what came of it: flows that it let in, their bytes, and
when the last packet was. A flow counts for the first rule that allows it. It
also says which rules allow nothing that others do not: this is computed on the
rules, whatever flows there were.

Without FILE, it asks the running tunnel for the policy in force, and without
--flows for the flows that are open or that it remembers. A rule that is "never"
used may be needed tomorrow.

Exit codes:
  0  it was told
  1  no tunnel answers, or a signal ended it
  2  a file cannot be read or has errors, or the command line is wrong`

type usageOptions struct {
	seenFlows
	host   string
	unused bool
}

// newUsageCommand returns the command that says what came of each rule.
func newUsageCommand(env ui.Environment, doc *document) *cobra.Command {
	var o usageOptions
	cmd := &cobra.Command{
		Use:     "usage [FILE]",
		Short:   "Say what came of each rule, and which do nothing",
		Long:    usageHelp,
		Example: "  sudo tstun policy usage\n  tstun policy usage policy.hujson --flows flows.jsonl --unused",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUsage(cmd.Context(), env, doc, o, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&o.unused, "unused", false, "tell of rules alone that were not used, or that others cover")
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	addLocalFlag(cmd, &o.host)
	addFlowsFlags(cmd, env, &o.seenFlows, "24h")
	return cmd
}

// usageResult is the JSON document of policy usage.
type usageResult struct {
	ui.Report
	Rules []ruleUse `json:"rules"`
}

// ruleUse is a policy.RuleUse, in JSON.
type ruleUse struct {
	ruleAt
	Flows   int       `json:"flows"`
	Packets uint64    `json:"packets"`
	Bytes   uint64    `json:"bytes"`
	Last    time.Time `json:"last,omitzero"`
	// Covered: others allow all that the rule does; CoveredBy is the one that does
	// alone.
	Covered   bool    `json:"covered,omitempty"`
	CoveredBy *ruleAt `json:"coveredBy,omitempty"`
}

func runUsage(ctx context.Context, env ui.Environment, doc *document, o usageOptions, file string) error {
	result := usageResult{Rules: []ruleUse{}}
	doc.body = &result
	_, p, err := o.textOrAsk(ctx, env, file, o.host)
	if err != nil {
		return err
	}
	seen, err := o.read(ctx, env, false)
	if err != nil {
		return err
	}
	uses, err := p.Usage(slices.Values(seen))
	if uses == nil {
		return ui.Failf("", "%w", err)
	}
	for _, u := range uses {
		if o.unused && u.Flows > 0 && !u.Covered {
			continue
		}
		r := ruleUse{ruleAt: *newRuleAt(p, u.Rule), Flows: u.Flows, Packets: u.Packets, Bytes: u.Bytes, Last: u.Last, Covered: u.Covered}
		if u.By >= 0 {
			r.CoveredBy = newRuleAt(p, u.By)
		}
		result.Rules = append(result.Rules, r)
	}
	if !doc.wanted {
		if err := printUses(env, result.Rules, o.unused); err != nil {
			return err
		}
	}
	if err != nil {
		return ui.Failf("", "which rules others cover: %w", err)
	}
	return nil
}

// printUses prints a row for each rule.
func printUses(env ui.Environment, rules []ruleUse, unused bool) error {
	p := ui.NewPainter(env)
	if len(rules) == 0 {
		if unused {
			p.Printf("every rule was used\n")
		} else {
			p.Printf("the policy has no rules\n")
		}
		return p.Err()
	}
	t := ui.Table{Right: []bool{true, true, true, false, false}}
	t.Add("line", "flows", "bytes", "last used", "rule")
	for _, r := range rules {
		last := "never"
		if !r.Last.IsZero() {
			last = r.Last.Local().Format("01-02 15:04:05")
		}
		text := r.Text
		switch {
		case r.CoveredBy != nil:
			text += fmt.Sprintf(" (line %d allows all of it)", r.CoveredBy.Line)
		case r.Covered:
			text += " (others together allow all of it)"
		}
		t.Add(strconv.Itoa(r.Line), ui.Number(uint64(r.Flows)), ui.Bytes(r.Bytes), last, text)
	}
	p.Draw(&t)
	return p.Err()
}
