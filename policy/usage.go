package policy

import (
	"iter"
	"time"

	"tstun/filter"
)

// RuleUse is what came of a rule.
type RuleUse struct {
	Rule           int // its number in Config().Matches
	Flows          int
	Packets, Bytes uint64
	Last           time.Time // when the last packet was counted, or the zero value
	// Covered: other rules allow all that it does. By is the number of the one
	// that does alone, or -1 if they do together.
	Covered bool
	By      int
}

// Usage returns for each rule of the policy what it let in of flows that were seen.
// A flow counts for the first rule that allows it, whichever was there as it began;
// flows that were refused, and those of the host's own, count for none. The error is
// that of Covered, beside uses without what covers them.
func (p *Policy) Usage(seen iter.Seq[Seen]) ([]RuleUse, error) {
	f, err := filter.New(p.Config())
	if err != nil {
		return nil, err
	}
	uses := make([]RuleUse, len(p.matches))
	for i := range uses {
		uses[i] = RuleUse{Rule: i, By: -1}
	}
	for s := range seen {
		if s.Outbound || s.Refused {
			continue
		}
		i := ruleOf(f, s.Flow)
		if i < 0 {
			continue
		}
		u := &uses[i]
		u.Flows++
		u.Packets += s.Packets
		u.Bytes += s.Bytes
		if s.Last.After(u.Last) {
			u.Last = s.Last
		}
	}
	covers, err := p.Covered()
	for _, c := range covers {
		uses[c.Rule].Covered, uses[c.Rule].By = true, c.By
	}
	return uses, err
}
