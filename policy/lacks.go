package policy

import (
	"fmt"
	"strings"

	"tstun/filter"
)

// Nearest says which rule comes nearest to allowing the flow f, where it is
// and what it lacks, in the words of the file. n is what Explain says of f. It
// is empty if there is no such rule.
func (p *Policy) Nearest(f Flow, n filter.Nearest) string {
	if n.IsZero() {
		return ""
	}
	return fmt.Sprintf("rule %d, %v, comes nearest: %s", n.Rule, p.Rule(n.Rule), p.Words(n.Rule).lack(f, n.Lacks))
}

// lack says what a rule lacks to allow a flow.
func (w Words) lack(f Flow, l filter.Lack) string {
	if l == 0 {
		return exceptedIn(f)
	}
	var why []string
	if l.Has(filter.LackSource) {
		why = append(why, fmt.Sprintf("source %v is not in %s", f.Src, someWords(w.Srcs, ", ")))
	}
	if l.Has(filter.LackDestination) {
		why = append(why, fmt.Sprintf("destination %s is not in %s", f.target(), w.targets()))
	} else if l.Has(filter.LackPort) {
		why = append(why, fmt.Sprintf("port %d is not in %s", f.Dst.Port(), w.targets()))
	}
	if l.Has(filter.LackProtocol) {
		why = append(why, fmt.Sprintf("protocol %v is not in %s", f.Proto, someWords(w.Protos, ",")))
	}
	return strings.Join(why, "; ")
}
