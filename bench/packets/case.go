// Package packets compares what candidates cost per packet, above the cost of
// the device below them: the same loop over the bare device is subtracted.
package packets

import (
	"fmt"

	"tstun/bench/report"
)

// Case is one measurement: what is called, with what traffic, and what the
// candidate has to do.
type Case struct {
	Op         string // "Write" (from the peer to the host) or "Read"
	Proto      string // "TCP" or "UDP"
	Batch      int    // packets per call
	Flows      int    // interleaved
	Statistics bool
	Hook       bool
	Rules      int
}

// String names the case.
func (c Case) String() string {
	s := fmt.Sprintf("%s, batch %d, %s, ", c.Op, c.Batch, c.Proto)
	if c.Flows == 1 {
		s += "one flow"
	} else {
		s += report.Figure(float64(c.Flows)) + " flows"
	}
	if !c.Statistics {
		s += ", statistics off"
	}
	if c.Hook {
		s += ", hook set"
	}
	if c.Rules > 1 {
		s += ", " + report.Figure(float64(c.Rules)) + " rules"
	}
	return s
}

// Matrix returns all cases: every combination of call, batch, protocol and
// flows with statistics on and one rule, and then, for UDP, the same with
// statistics off, with a hook, and with 10,000 rules.
func Matrix() []Case {
	var cases []Case
	for _, op := range []string{"Write", "Read"} {
		for _, batch := range []int{1, 128} {
			for _, flows := range []int{1, 1000} {
				for _, proto := range []string{"UDP", "TCP"} {
					c := Case{Op: op, Proto: proto, Batch: batch, Flows: flows, Statistics: true, Rules: 1}
					cases = append(cases, c)
					if proto == "UDP" {
						cases = append(cases, variations(c)...)
					}
				}
			}
		}
	}
	return cases
}

func variations(c Case) []Case {
	off, hook, rules := c, c, c
	off.Statistics = false
	hook.Hook = true
	rules.Rules = 10000
	return []Case{off, hook, rules}
}
