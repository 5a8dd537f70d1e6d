package cli

import (
	"tstun/cmd/tstun/internal/ui"
	"tstun/ipproto"
	"tstun/policy"
)

// changedFlows is a policy.Change, in JSON.
type changedFlows struct {
	Becomes string          `json:"becomes"`
	Protos  []ipproto.Proto `json:"protos"`
	Srcs    []policy.Range  `json:"srcs"`
	Dsts    []policy.Range  `json:"dsts"`
	Ports   []string        `json:"ports"`
	Text    string          `json:"text"`
}

// diffResult is the JSON document of check --diff.
type diffResult struct {
	ui.Report
	Changes []changedFlows `json:"changes"`
}

// runDiff compares two files.
func runDiff(env ui.Environment, doc *document, oldFile, newFile, host string) error {
	result := diffResult{Changes: []changedFlows{}}
	doc.body = &result
	policies, err := readPolicies(env, []string{oldFile, newFile}, host)
	if err != nil {
		return err
	}
	changes, err := policy.Diff(policies[0], policies[1])
	if err != nil {
		return ui.Failf("compare in smaller steps", "%w", err)
	}
	if doc.wanted {
		result.Changes = changesForJSON(changes)
		return nil
	}
	return printChanges(env, changes)
}

// printChanges prints each change on a line.
func printChanges(env ui.Environment, changes []policy.Change) error {
	p := ui.NewPainter(env)
	for _, c := range changes {
		hue := ui.Red
		if c.Allowed {
			hue = ui.Green
		}
		p.Printf("%s\n", p.Paint(hue, c.String()))
	}
	if len(changes) == 0 {
		p.Printf("no flow becomes allowed or denied\n")
	}
	return p.Err()
}

// changesForJSON returns the changes as diffResult has them.
func changesForJSON(changes []policy.Change) []changedFlows {
	all := []changedFlows{}
	for _, c := range changes {
		f := changedFlows{Becomes: "denied", Protos: c.Protos, Srcs: c.Srcs, Dsts: c.Dsts, Text: c.String()}
		if c.Allowed {
			f.Becomes = "allowed"
		}
		for _, r := range c.Ports {
			f.Ports = append(f.Ports, r.String())
		}
		all = append(all, f)
	}
	return all
}
