package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

const suggestHelp = `suggest prints a patch of the policy file with the fewest rules, of the kinds
that it tries, that allow what was refused for want of one, in the file's own
names, and with tests. Nothing is changed: look at it, then

  tstun policy suggest policy.hujson > better.patch
  patch policy.hujson < better.patch

A host that is named gets what was asked for any of its addresses, and nobody
gets anything else. What a test of the file denies stays denied, and is told.
The patch was applied and tried: what was asked is accepted, all tests hold.

With --tighten, the patch leaves just what was used: rules that let in nothing
go, unless a test needs them, and others are cut down.

Without FILE, it asks the running tunnel for the policy in force, and without
--flows for what was refused since --since.

Exit codes:
  0  the patch was printed, or there is nothing to change
  1  a test of the file does not hold as it is, no tunnel answers, or a signal
     ended it
  2  a file cannot be read or has errors, or the command line is wrong`

type suggestOptions struct {
	seenFlows
	host    string
	tighten bool
}

// newSuggestCommand returns the command that prints a better policy.
func newSuggestCommand(env ui.Environment, doc *document) *cobra.Command {
	var o suggestOptions
	cmd := &cobra.Command{
		Use:     "suggest [FILE]",
		Short:   "Print a patch that allows what was refused",
		Long:    suggestHelp,
		Example: "  sudo tstun policy suggest --since 10m --filter 'src host laptop'\n  tstun policy suggest policy.hujson --flows flows.jsonl\n  sudo tstun policy suggest --tighten --since 168h",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSuggest(cmd.Context(), env, doc, o, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&o.tighten, "tighten", false, "leave just what was used")
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	addLocalFlag(cmd, &o.host)
	addFlowsFlags(cmd, env, &o.seenFlows, "1h")
	return cmd
}

// suggestResult is the JSON document of policy suggest.
type suggestResult struct {
	ui.Report
	File    string     `json:"file"`
	Rules   []string   `json:"rules"`   // that are added
	Removed []ruleAt   `json:"removed"` // rules that are taken away or replaced
	Tests   int        `json:"tests"`   // that are added
	Left    []leftFlow `json:"left"`
	Patch   string     `json:"patch"`
	Text    string     `json:"text"` // of the file with the patch
}

// leftFlow is a policy.LeftFlow, in JSON.
type leftFlow struct {
	namedFlow
	Why string `json:"why"`
}

func runSuggest(ctx context.Context, env ui.Environment, doc *document, o suggestOptions, file string) error {
	result := suggestResult{Rules: []string{}, Removed: []ruleAt{}, Left: []leftFlow{}}
	doc.body = &result
	text, p, err := o.textOrAsk(ctx, env, file, o.host)
	if err != nil {
		return err
	}
	seen, err := o.read(ctx, env, !o.tighten)
	if err != nil {
		return err
	}
	var flows []policy.Flow
	for _, s := range seen {
		if s.Refused != o.tighten {
			flows = append(flows, s.Flow)
		}
	}
	edit := policy.Suggest
	if o.tighten {
		edit = policy.Tighten
	}
	s, err := edit(text.File, []byte(text.Text), text.Host, flows)
	if err != nil {
		return ui.Failf("tstun check FILE runs the tests", "%w", err)
	}
	result.fill(text.File, p, s)
	if doc.wanted {
		return nil
	}
	return printSuggestion(env, &result, o.tighten)
}

// fill sets what the document says.
func (r *suggestResult) fill(file string, p *policy.Policy, s *policy.Suggestion) {
	r.File, r.Patch, r.Text, r.Tests = file, s.Patch, string(s.Text), s.Tests
	names := p.Names()
	for _, w := range s.Rules {
		r.Rules = append(r.Rules, w.String())
	}
	for _, i := range s.Removed {
		r.Removed = append(r.Removed, *newRuleAt(p, i))
	}
	for _, l := range s.Left {
		r.Left = append(r.Left, leftFlow{newNamedFlow(names, l.Flow), l.Why})
	}
}

// maxLeftShown is how many flows are told that a patch is not about.
const maxLeftShown = 10

// printSuggestion prints the patch behind lines that patch passes over.
func printSuggestion(env ui.Environment, r *suggestResult, tighten bool) error {
	p := ui.NewPainter(env)
	printLeft(p, "stays refused", r.Left)
	switch {
	case r.Patch == "" && tighten:
		p.Printf("# nothing to tighten: tests or flows need every rule as it is\n")
	case r.Patch == "":
		p.Printf("# nothing to add: no flow was refused that a rule may allow\n")
	case tighten:
		p.Printf("# %s go or are replaced, by %s\n", ui.Counted(len(r.Removed), "rule", "rules"), ui.Number(uint64(len(r.Rules))))
	default:
		p.Printf("# %s\n", ui.Counted(len(r.Rules), "rule is added", "rules are added"))
	}
	printPatch(p, r.Patch)
	return p.Err()
}

// printLeft prints flows that a patch is not about.
func printLeft(p *ui.Painter, what string, left []leftFlow) {
	for i, l := range left {
		if i == maxLeftShown {
			p.Printf("# %s: %s\n", what, ui.Counted(len(left)-i, "more flow", "more flows"))
			return
		}
		p.Printf("# %s: %v: %s\n", what, l.namedFlow, l.Why)
	}
}

func printPatch(p *ui.Painter, patch string) {
	for line := range strings.Lines(patch) {
		body := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "+"):
			body = p.Paint(ui.Green, body)
		case strings.HasPrefix(line, "-"):
			body = p.Paint(ui.Red, body)
		}
		p.Printf("%s\n", body)
	}
}
