package main

import (
	"tstun/ipproto"
	"tstun/policy"
)

// changedFlows is a policy.Change in JSON.
type changedFlows struct {
	Becomes string          `json:"becomes"`
	Protos  []ipproto.Proto `json:"protos"`
	Srcs    []policy.Range  `json:"srcs"`
	Dsts    []policy.Range  `json:"dsts"`
	Ports   []string        `json:"ports"`
	Text    string          `json:"text"`
}

// diffResult is what check --diff prints with --json.
type diffResult struct {
	report
	Changes []changedFlows `json:"changes"`
}

func runDiff(env environment, doc *document, oldFile, newFile, host string) error {
	result := diffResult{Changes: []changedFlows{}}
	doc.body = &result
	policies, err := readPolicies(env, []string{oldFile, newFile}, host)
	if err != nil {
		return err
	}
	changes, err := policy.Diff(policies[0], policies[1])
	if err != nil {
		return failf("compare in smaller steps", "%w", err)
	}
	if doc.wanted {
		result.Changes = changesForJSON(changes)
		return nil
	}
	return printChanges(env, changes)
}

func printChanges(env environment, changes []policy.Change) error {
	p := newPainter(env)
	for _, c := range changes {
		hue := red
		if c.Allowed {
			hue = green
		}
		p.printf("%s\n", p.paint(hue, c.String()))
	}
	if len(changes) == 0 {
		p.printf("no flow becomes allowed or denied\n")
	}
	return written(p)
}

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
