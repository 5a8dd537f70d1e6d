package cli_test

import (
	"os"
	"strings"
	"testing"

	"tstun/internal/netns"
)

// Each command of the guide comes up, and ends as it should.
func TestGuide(t *testing.T) {
	guide := contents(t, "../../../../docs/tunnel.md")
	commands := 0
	for block := range strings.SplitSeq(guide, "```sh\n") {
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if args, isUp := strings.CutPrefix(strings.TrimPrefix(line, "sudo "), "tstun up "); isUp {
				commands++
				t.Run(line, func(t *testing.T) { tryGuide(t, strings.Fields(args)) })
			}
		}
	}
	if commands < 8 {
		t.Errorf("%d commands in the guide", commands)
	}
}

// tryGuide runs a command in a namespace of its own, where each port is free.
func tryGuide(t *testing.T, args []string) {
	ns := netns.New(t)
	f := newUpFiles(t, "wg0", 51820)
	f.write(t, "policy.hujson", policyFor(80))
	f.write(t, "next.hujson", policyFor(443))
	f.write(t, "credentials", "anna:correct-horse-battery\n")
	for i, a := range args {
		if _, err := os.Stat(f.path(a)); err == nil {
			args[i] = f.path(a)
		}
	}
	r := startUp(t, ns, nil, append(args, "--state-dir", f.path("state"))...)
	r.await(t, 0, "the tunnel runs")
	r.ends(t)
}
