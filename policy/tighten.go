package policy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"tstun/filter"
)

// Tighten returns an edit that leaves of the rules just what the flows used: in the
// place of each rule there are the fewest, as Suggest makes them, that allow what it
// let in, and a rule that let in nothing goes. A rule that a test needs stays as it
// is, and so does one for another host. Nothing becomes allowed that was not. The
// file's comments stay, those in a rule that is replaced in front of it; what is in a
// rule that goes goes with it. Arguments
// and errors are those of Suggest. Left has no flows: those that no rule allows do not
// count.
func Tighten(name string, data []byte, host string, flows []Flow) (*Suggestion, error) {
	e, err := newEditor(name, data, host)
	if err != nil {
		return nil, err
	}
	used := make([][]Flow, len(e.policy.matches)) // by rule
	var all []Flow
	seen := make(map[Flow]bool, len(flows))
	for _, f := range flows {
		if f.Src, f.Dst = f.Src.WithZone(""), withoutPort(f); seen[f] || f.Src.Is4In6() {
			continue
		}
		seen[f] = true
		if i := ruleOf(e.filter, f); i >= 0 {
			used[i] = append(used[i], f)
			all = append(all, f)
		}
	}
	keep := make(map[int]bool) // rules that tests need
	for {
		s := new(Suggestion)
		edits := e.narrow(used, keep, s)
		more, err := e.neededByTests(edits, s.Removed)
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return s, e.finish(s, edits, all)
		}
		for _, i := range more {
			keep[i] = true
		}
	}
}

// narrow puts in the place of each rule that is not kept those for what it let in.
func (e *editor) narrow(used [][]Flow, keep map[int]bool, s *Suggestion) (edits []edit) {
	accept := findMember(&e.root, "accept")
	if accept == nil {
		return nil
	}
	c := e.source.containerOf(accept)
	numbers := make(map[Position]int, len(e.policy.places))
	for i, at := range e.policy.places {
		numbers[at] = i
	}
	var tests []string
	for _, v := range accept.Value.(*hujson.Array).Elements {
		i, ours := numbers[e.source.position(v.StartOffset)]
		if !ours || keep[i] {
			continue
		}
		at := extent{v.StartOffset, v.EndOffset}
		if len(used[i]) == 0 {
			s.Removed = append(s.Removed, i)
			edits = append(edits, c.remove(at))
			continue
		}
		rules := e.rulesFor(used[i], func(a atom) bool { return e.allows(i, a) })
		if e.areAll(i, used[i], rules) {
			continue
		}
		s.Removed = append(s.Removed, i)
		s.Rules = append(s.Rules, rules...)
		var texts []string
		for _, w := range rules {
			texts = append(texts, w.ruleText())
			tests = append(tests, w.testText())
		}
		indent := e.source.indentAt(at.from)
		text := strings.TrimPrefix(inLines(texts, indent), "\n"+indent)
		for _, comment := range slices.Backward(commentsIn(e.data[at.from:at.to])) {
			text = comment + "\n" + indent + text
		}
		edits = append(edits, edit{at.from, at.to, text})
	}
	s.Tests = len(tests)
	return append(edits, e.addTo(listOfFile{"tests", tests})...)
}

// allows reports whether the rule of that number allows all of an atom.
func (e *editor) allows(number int, a atom) bool {
	m := filter.Match{IPProto: a.protos, Srcs: e.hosts.addrs[a.src]}
	for _, dst := range e.hosts.addrs[a.dst] {
		for _, p := range portsOrAll(a.ports) {
			m.Dsts = append(m.Dsts, filter.NetPortRange{Net: dst, Ports: p})
		}
	}
	return e.ruleCovers(number, m)
}

// ruleCovers reports whether the rule of that number plainly allows all that m does.
func (e *editor) ruleCovers(number int, m filter.Match) bool {
	for v := range e.scopes {
		some, any := e.scopes[v].rule(m)
		if !any {
			continue
		}
		whole, is := e.scopes[v].rule(e.policy.matches[number])
		if !is || !whole.covers(some) {
			return false
		}
	}
	return true
}

// areAll reports whether one rule for what was used is all that the rule of that number
// allows.
func (e *editor) areAll(number int, used []Flow, rules []Words) bool {
	if len(rules) != 1 {
		return false
	}
	data := `{"local": "*", "accept": [` + rules[0].ruleText() + `]}`
	s := newSource("", []byte(data))
	r := reader{source: s, policy: &Policy{names: e.policy.names, excepts: make(map[int]*exception), written: true}}
	v, ok := s.parse()
	if !ok {
		return false
	}
	r.read(&v)
	if s.err() != nil || len(r.policy.matches) != 1 {
		return false
	}
	for i := range e.scopes {
		whole, is := e.scopes[i].rule(e.policy.matches[number])
		if !is {
			continue
		}
		some, any := e.scopes[i].rule(r.policy.matches[0])
		if !any || !some.covers(whole) {
			return false
		}
	}
	return len(used) > 0
}

// neededByTests returns the rules among the removed ones that tests need: those that
// allow any of what a test wants accepted that is not, with the edits.
func (e *editor) neededByTests(edits []edit, removed []int) ([]int, error) {
	p, err := parse(e.name, applied(e.data, slices.Clone(edits)), e.host)
	if err != nil {
		return nil, err
	}
	failures, err := p.Test()
	if err != nil {
		return nil, err
	}
	var needed []int
	for _, f := range failures {
		i := ruleOf(e.filter, f.Flow)
		if i >= 0 && f.Accept && slices.Contains(removed, i) && !slices.Contains(needed, i) {
			needed = append(needed, i)
		}
	}
	return needed, nil
}

// findMember returns the value of the member of an object that has the key, or nil.
func findMember(v *hujson.Value, key string) *hujson.Value {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil
	}
	for i := range o.Members {
		if stringOf(o.Members[i].Name.Value.(hujson.Literal)) == key {
			return &o.Members[i].Value
		}
	}
	return nil
}

// commentsIn returns the comments in a part of a file.
func commentsIn(b []byte) (all []string) {
	for i := 0; i < len(b); i++ {
		switch n := commentLength(b[i:]); {
		case n > 0:
			all = append(all, string(bytes.TrimSpace(b[i:min(i+n+1, len(b))])))
			i += n
		case b[i] == '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return all
}
