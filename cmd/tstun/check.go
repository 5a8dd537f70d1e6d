package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tstun/policy"
)

const checkHelp = `check reads policy files and runs the tests in them against the filter that the
tunnel uses. It prints what does not hold, and why. All that is wrong in the
files is reported at once, with line and column.

It notes what does nothing, such as rules that others cover, and what of a packet
filter is passed over. With --local, a policy for several hosts is read for one.

With --diff, it runs no tests, but says which new flows become allowed or denied
when the policy OLD is replaced by NEW. It computes this on the rules, for all
addresses, ports and protocols.

Packet filters in the JSON form that Tailscale and headscale hand to nodes are
read too. policy/format.txt in the source has the form of the file, and
examples/policy some whole ones.

Exit codes:
  0  all tests hold; or the difference was told, if there is one or not
  1  a test does not hold, or the policies differ in too much to compare
  2  a file cannot be read or has errors, or the command line is wrong`

func newCheckCommand(env environment) *cobra.Command {
	var diff, asJSON bool
	var host string
	cmd := &cobra.Command{
		Use:     "check FILE...",
		Short:   "Run the tests in policy files, or tell two policies apart",
		Long:    checkHelp,
		Example: "  tstun check policy.hujson\n  tstun check --diff policy.old.hujson policy.hujson",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case diff && len(args) != 2:
				return fmt.Errorf("--diff with %d files: want two, OLD and NEW", len(args))
			case len(args) == 0:
				return errors.New("no file: want at least one")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			policies, err := readPolicies(args, host)
			if err != nil {
				return err
			}
			if diff {
				return runDiff(env, policies[0], policies[1], asJSON)
			}
			return runCheck(env, args, policies, asJSON)
		},
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "say what changes from the first file to the second")
	addLocalFlag(cmd, &host)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document instead of text")
	return cmd
}

// addLocalFlag adds the flag that says for which host a policy is read.
func addLocalFlag(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "local", "", "read policies of several hosts for this `host`, a name or an address")
}

// readPolicies reads all files, for a host if one is named, and reports the
// errors of all.
func readPolicies(files []string, host string) ([]*policy.Policy, error) {
	policies := make([]*policy.Policy, len(files))
	var errs []error
	for i, file := range files {
		data, err := os.ReadFile(file)
		switch {
		case err != nil:
		case host != "":
			policies[i], err = policy.ParseFor(file, data, host)
		default:
			policies[i], err = policy.Parse(file, data)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, badInput("policy/format.txt in the source describes the file; examples/policy has some", errors.Join(errs...))
	}
	return policies, nil
}

// checkedFile is a file in the JSON document of check.
type checkedFile struct {
	File     string           `json:"file"`
	OK       bool             `json:"ok"`
	Rules    int              `json:"rules"`
	Tests    int              `json:"tests"`
	Failures []failedFlow     `json:"failures"`
	Notes    []policy.Note    `json:"notes,omitempty"`
	failures []policy.Failure // the same, for people
}

// failedFlow is a policy.Failure in JSON.
type failedFlow struct {
	policy.Position
	policy.Flow
	Want    string    `json:"want"`
	More    uint64    `json:"more,omitempty"` // at most 2^64-1
	Verdict explained `json:"verdict"`
}

func runCheck(env environment, files []string, policies []*policy.Policy, asJSON bool) error {
	var result struct {
		OK    bool          `json:"ok"`
		Files []checkedFile `json:"files"`
	}
	failed := 0
	for i, p := range policies {
		c, err := checkFile(files[i], p)
		if err != nil {
			return err
		}
		failed += len(c.Failures)
		result.Files = append(result.Files, c)
	}
	result.OK = failed == 0
	if asJSON {
		if err := writeJSON(env, result); err != nil {
			return err
		}
	} else if err := printChecked(env, result.Files); err != nil {
		return err
	}
	if failed > 0 {
		return failf("tstun explain --policy FILE SRC DST:PORT tells about other flows", "%s", counted(failed, "test does not hold", "tests do not hold"))
	}
	return nil
}

func checkFile(file string, p *policy.Policy) (checkedFile, error) {
	failures, err := p.Test()
	if err != nil {
		return checkedFile{}, failf("", "%s: %w", file, err)
	}
	c := checkedFile{File: file, OK: len(failures) == 0, Rules: len(p.Config().Matches), Tests: p.Tests(), Failures: []failedFlow{}, Notes: p.Notes(), failures: failures}
	for _, f := range failures {
		want := "deny"
		if f.Accept {
			want = "accept"
		}
		c.Failures = append(c.Failures, failedFlow{f.Position, f.Flow, want, f.More, explain(p, f.Explanation)})
	}
	return c, nil
}

func printChecked(env environment, files []checkedFile) error {
	p := newPainter(env)
	for _, c := range files {
		for _, n := range c.Notes {
			p.printf("note %v\n", n)
		}
		for i, f := range c.failures {
			want := "denied"
			if f.Accept {
				want = "accepted"
			}
			p.printf("%s %v: %v is to be %s%s\n", p.paint(red, "FAIL"), f.Position, f.Flow, want, moreFlows(f.More))
			p.printExplained(c.Failures[i].Verdict)
		}
		word := p.paint(green, "ok  ")
		if !c.OK {
			word = p.paint(red, "FAIL")
		}
		p.printf("%s %s: %s, %s", word, c.File, counted(c.Rules, "rule", "rules"), counted(c.Tests, "test", "tests"))
		if !c.OK {
			p.printf(", %d failed", len(c.failures))
		}
		p.printf("\n")
	}
	return written(p)
}

func moreFlows(n uint64) string {
	switch {
	case n == 0:
		return ""
	case n >= 1e9:
		return ", and more than a billion more flows"
	}
	return ", and " + counted(int(n), "more flow", "more flows")
}

// counted returns the number with the noun that goes with it.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(uint64(n)) + " " + many
}

// written returns the error of writing to p, if there was one.
func written(p *painter) error {
	if p.err != nil {
		return failf("", "write: %w", p.err)
	}
	return nil
}

func writeJSON(env environment, v any) error {
	enc := json.NewEncoder(env.stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return failf("", "write: %w", err)
	}
	return nil
}
