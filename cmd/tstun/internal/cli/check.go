package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

const checkHelp = `check reads policy files and runs the tests in them against the filter that the
tunnel uses. It prints what does not hold, and why. All that is wrong in the
files is reported at once, with line and column.

It notes what does nothing, such as rules that others cover, and what of a
packet filter is passed over. With --local, a policy for several hosts is read
for one.

With --diff, it runs no tests, but says which new flows become allowed or denied
when the policy OLD is replaced by NEW. It computes this on the rules, for all
addresses, ports and protocols.

With --against, it judges a capture by the policy FILE (tstun's own, or one of
raw IP with directions): which recorded flows would break, and which would be
let in. With --record, it prints a patch that pins flows as tests of FILE:
those of --against, of --flows, or of the running tunnel since --since.

The file - is standard input. "tstun help policy" has the form of the file;
examples/policy in the source has some whole ones. Packet filters in the JSON
form that Tailscale and headscale hand to nodes are read too.

Exit codes:
  0  all tests hold, and no recorded flow breaks; or the difference or the patch
     was told, if there is one or not
  1  a test does not hold, a recorded flow breaks, the policies differ in too
     much to compare, no tunnel answers, or a signal ended it
  2  a file cannot be read or has errors, or the command line is wrong`

// newCheckCommand returns the command that tests and compares policies.
func newCheckCommand(env ui.Environment, doc *document) *cobra.Command {
	var diff, record bool
	var host, against string
	var flows seenFlows
	cmd := &cobra.Command{
		Use:     "check FILE...",
		Short:   "Run the tests in policy files, or tell two policies apart",
		Long:    checkHelp,
		Example: "  tstun check policy.hujson\n  tstun check --diff policy.old.hujson policy.hujson\n  git show HEAD:policy.hujson | tstun check --diff - policy.hujson\n  tstun check policy.hujson --against yesterday.pcapng\n  sudo tstun check policy.hujson --record > tests.patch",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case diff && (record || against != ""):
				return errors.New("--diff with --against or --record: want one of them")
			case (record || against != "") && len(args) != 1:
				return fmt.Errorf("--against or --record with %s: want one, the policy", ui.Counted(len(args), "file", "files"))
			case diff && len(args) != 2:
				return fmt.Errorf("--diff with %s: want two, OLD and NEW", ui.Counted(len(args), "file", "files"))
			case len(args) == 0:
				return errors.New("no file: want at least one, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case diff:
				return runDiff(env, doc, args[0], args[1], host)
			case record:
				return runRecord(cmd.Context(), env, doc, &flows, args[0], against, host)
			case against != "":
				return runAgainst(env, doc, args[0], against, host)
			}
			return runCheck(env, doc, args, host)
		},
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "say what changes from the first file to the second")
	cmd.Flags().StringVar(&against, "against", "", "judge the capture `PCAPNG` by the policy")
	cmd.Flags().BoolVar(&record, "record", false, "print a patch that pins flows as tests")
	addLocalFlag(cmd, &host)
	addFlowsFlags(cmd, env, &flows, "24h")
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// checkedFile is the result of one file, in JSON.
type checkedFile struct {
	File     string        `json:"file"`
	OK       bool          `json:"ok"`
	Rules    int           `json:"rules"`
	Tests    int           `json:"tests"`
	Failures []failedFlow  `json:"failures"`
	Notes    []policy.Note `json:"notes,omitempty"`
}

// failedFlow is a policy.Failure, in JSON.
type failedFlow struct {
	policy.Position
	namedFlow
	Want    string    `json:"want"`
	More    uint64    `json:"more,omitempty"` // number of other flows that fail like this one
	Verdict explained `json:"verdict"`
}

// checkResult is the JSON document of check.
type checkResult struct {
	ui.Report
	Files []checkedFile `json:"files"`
}

// runCheck runs the tests of all files.
func runCheck(env ui.Environment, doc *document, files []string, host string) error {
	result := checkResult{Files: []checkedFile{}}
	doc.body = &result
	policies, err := readPolicies(env, files, host)
	if err != nil {
		return err
	}
	failed := 0
	for i, p := range policies {
		c, err := checkFile(fileName(files[i]), p)
		if err != nil {
			return err
		}
		failed += len(c.Failures)
		result.Files = append(result.Files, c)
	}
	if !doc.wanted {
		if err := printChecked(env, result.Files); err != nil {
			return err
		}
	}
	if failed > 0 {
		return ui.Failf("tstun explain --policy FILE SRC DST:PORT tells about other flows", "%s", ui.Counted(failed, "test does not hold", "tests do not hold"))
	}
	return nil
}

// checkFile runs the tests of one file. Its error is a test that could not run.
func checkFile(file string, p *policy.Policy) (checkedFile, error) {
	failures, err := p.Test()
	if err != nil {
		return checkedFile{}, ui.Failf("", "%s: %w", file, err)
	}
	c := checkedFile{File: file, OK: len(failures) == 0, Rules: len(p.Config().Matches), Tests: p.Tests(), Failures: []failedFlow{}, Notes: p.Notes()}
	names := p.Names()
	for _, f := range failures {
		want := "deny"
		if f.Accept {
			want = "accept"
		}
		c.Failures = append(c.Failures, failedFlow{f.Position, newNamedFlow(names, f.Flow), want, f.More, explain(p, f.Flow, f.Explanation)})
	}
	return c, nil
}

// printChecked prints of each file its notes, its failures, and a verdict.
func printChecked(env ui.Environment, files []checkedFile) error {
	p := ui.NewPainter(env)
	for _, c := range files {
		for _, n := range c.Notes {
			p.Printf("note %v\n", n)
		}
		for _, f := range c.Failures {
			want := "denied"
			if f.Want == "accept" {
				want = "accepted"
			}
			p.Printf("%s %v: %v is to be %s%s\n", p.Paint(ui.Red, "FAIL"), f.Position, f.namedFlow, want, moreFlows(f.More))
			printExplained(p, f.Verdict)
		}
		word := p.Paint(ui.Green, "ok  ")
		if !c.OK {
			word = p.Paint(ui.Red, "FAIL")
		}
		p.Printf("%s %s: %s, %s", word, c.File, ui.Counted(c.Rules, "rule", "rules"), ui.Counted(c.Tests, "test", "tests"))
		if !c.OK {
			p.Printf(", %s failed", ui.Number(uint64(len(c.Failures))))
		}
		p.Printf("\n")
	}
	return p.Err()
}

// moreFlows returns the end of a line about a flow, or "" if no other flow fails
// like it.
func moreFlows(n uint64) string {
	switch {
	case n == 0:
		return ""
	case n >= 1e9:
		return ", and more than a billion more flows"
	}
	return ", and " + ui.Counted(int(n), "more flow", "more flows")
}
