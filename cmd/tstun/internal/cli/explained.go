package cli

import (
	"fmt"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/policy"
)

// explained is a filter.Explanation, in JSON.
type explained struct {
	Response    filter.Response `json:"response"`
	Stage       filter.Stage    `json:"stage"`
	Reason      string          `json:"reason,omitempty"`   // of a drop
	Answered    *bool           `json:"answered,omitempty"` // of an outbound flow
	Rule        *ruleAt         `json:"rule,omitempty"`     // the rule that allows the flow
	Text        string          `json:"text"`
	Nearest     string          `json:"nearest,omitempty"`
	NearestRule *ruleAt         `json:"nearestRule,omitempty"`
}

// ruleAt is a rule with its position and its text.
type ruleAt struct {
	Index int `json:"index"`
	policy.Position
	Text  string   `json:"text"`
	Lacks []string `json:"lacks,omitempty"` // the parts of the flow that do not match the rule
}

func (r *ruleAt) String() string { return fmt.Sprintf("rule %d, %v", r.Index, r.Position) }

// newRuleAt returns the policy's rule with index i.
func newRuleAt(p *policy.Policy, i int) *ruleAt {
	return &ruleAt{Index: i, Position: p.Rule(i), Text: p.Words(i).String()}
}

// explain returns e with the rules' positions and texts.
func explain(p *policy.Policy, flow policy.Flow, e filter.Explanation) explained {
	x := explained{Response: e.Response, Stage: e.Stage, Text: e.Text}
	if e.Reason != filter.ReasonNone {
		x.Reason = e.Reason.String()
	}
	if e.Rule >= 0 {
		x.Rule = newRuleAt(p, e.Rule)
		x.Text = x.Rule.Text
	}
	if n := e.Nearest; !n.IsZero() {
		x.NearestRule = newRuleAt(p, n.Rule)
		x.NearestRule.Lacks = n.Lacks.Names()
		x.Nearest = p.Nearest(flow, n)
	}
	return x
}

// printExplained prints an explanation, indented.
func printExplained(p *ui.Painter, e explained) {
	const indent = "   "
	hue := ui.Green
	if e.Response.IsDrop() {
		hue = ui.Red
	}
	p.Printf("%s%s at stage %q", indent, p.Paint(hue, e.Response.String()), e.Stage)
	if e.Reason != "" {
		p.Printf(" for reason %q", e.Reason)
	}
	if e.Rule != nil {
		p.Printf(" by %v", e.Rule)
	}
	p.Printf("\n")
	p.Paragraph(indent, e.Text)
	if e.NearestRule != nil {
		p.Paragraph(indent, e.Nearest)
		p.Paragraph(indent, e.NearestRule.Text)
	}
}
