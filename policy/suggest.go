package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tailscale/hujson"

	"tstun/filter"
)

// Suggestion is an edit of a policy file. It is never made by itself.
type Suggestion struct {
	// Rules are what is added, in the order of the file, in its words.
	Rules []Words
	// Removed are the rules that are taken away or replaced, by their number.
	Removed []int
	// Text is the file with the edit, and Patch the edit in the unified form that
	// patch and git apply read. It is empty if there is nothing to edit.
	Text  []byte
	Patch string
	// Left are the flows that it does not allow, in the order in which they came,
	// each once.
	Left []LeftFlow
}

// LeftFlow is a flow that no rule of the file may allow.
type LeftFlow struct {
	Flow
	Why string
}

// errNotWritten is of a file that a machine wrote.
var errNotWritten = errors.New(`the file is a packet filter, which a control plane makes: want a policy file, with "accept"`)

// Suggest returns the fewest rules, of the few kinds that were tried, with which the
// file allows the flows: names for addresses that are a host's, groups of which every
// address is asked for, and tests that the flows are accepted. A host that is named
// gets what was asked for any of its addresses, and nobody gets anything else. What a
// test denies stays denied. The file's comments stay. name, data and host are as for
// ParseFor, or without host, for Parse. The result was applied and checked.
//
// An error is one of Parse, ErrTooLarge, or says that tests of the file do not hold as
// it is.
func Suggest(name string, data []byte, host string, flows []Flow) (*Suggestion, error) {
	e, err := newEditor(name, data, host)
	if err != nil {
		return nil, err
	}
	s := new(Suggestion)
	var asked []Flow
	seen := make(map[Flow]bool, len(flows))
	for _, f := range flows {
		if f.Src, f.Dst = f.Src.WithZone(""), withoutPort(f); seen[f] {
			continue
		}
		seen[f] = true
		if !e.filter.Check(f.Src, f.Dst.Addr(), f.Dst.Port(), f.Proto).IsDrop() {
			continue
		}
		if why := e.whyNot(f); why != "" {
			s.Left = append(s.Left, LeftFlow{f, why})
			continue
		}
		asked = append(asked, f)
	}
	rules := e.rulesFor(asked, func(atom) bool { return true })
	edits := e.addRules(rules, s)
	return s, e.finish(s, edits, asked)
}

// editor is a policy file that is being edited.
type editor struct {
	name, host string
	data       []byte
	bom        []byte // what stands in front of data
	source     *source
	root       hujson.Value
	policy     *Policy
	filter     *filter.Filter
	scopes     [2]scope
	denials    []*expectation
	hosts      *hostWords
}

func newEditor(name string, data []byte, host string) (*editor, error) {
	p, err := parse(name, data, host)
	if err != nil {
		return nil, err
	}
	if !p.written {
		return nil, errNotWritten
	}
	failures, err := p.Test()
	if err == nil && len(failures) > 0 {
		err = fmt.Errorf("a test of the file does not hold as it is: %v", failures[0])
	}
	if err != nil {
		return nil, err
	}
	s := newSource(name, data)
	e := &editor{name: name, host: host, data: s.data[:s.size], source: s, policy: p, scopes: p.scopes(), hosts: newHostWords(p)}
	e.bom = data[:len(data)-s.size]
	if e.root, _ = s.parse(); e.root.Value == nil {
		return nil, s.err()
	}
	if e.filter, err = filter.New(p.Config()); err != nil {
		return nil, err
	}
	for i := range p.tests {
		if !p.tests[i].accept {
			e.denials = append(e.denials, &p.tests[i])
		}
	}
	return e, nil
}

// whyNot returns why no rule may allow a flow, or "".
func (e *editor) whyNot(f Flow) string {
	if f.Src.Is4In6() || f.Dst.Addr().Is4In6() || !f.Src.IsValid() || !f.Dst.Addr().IsValid() || f.Src.Is4() != f.Dst.Addr().Is4() || f.Proto == 0 || f.Proto == 255 || f.Dst.Port() == 0 && f.Proto.HasPorts() {
		return "no rule is about such a flow"
	}
	v := version(singleIP(f.Src))
	sc := &e.scopes[v]
	src, dst := spanOf(singleIP(f.Src)), spanOf(singleIP(f.Dst.Addr()))
	switch {
	case f.Src == f.Dst.Addr():
		return "the filter drops what comes from its own destination"
	case inside(src, sc.dropSrc):
		return whyDropped("comes from", kindOf(src.first, v, asSrc))
	case inside(dst, sc.dropDst):
		return whyDropped("is sent to", kindOf(dst.first, v, asDst))
	case !inside(dst, sc.localSpans):
		return `its destination is not in "local"`
	}
	for _, t := range e.denials {
		if t.meets(v, []span{src}, []span{dst}, protoSpans(protosOfFlow(f)), []span{portSpan(filter.PortRange{First: f.Dst.Port(), Last: f.Dst.Port()})}) {
			return fmt.Sprintf("the test in %v denies it", t.at)
		}
	}
	return ""
}

// addRules adds rules and their tests to the file.
func (e *editor) addRules(rules []Words, s *Suggestion) []edit {
	s.Rules = rules
	accept, tests := listOfFile{key: "accept"}, listOfFile{key: "tests"}
	for _, w := range rules {
		accept.more = append(accept.more, w.ruleText())
		tests.more = append(tests.more, w.testText())
	}
	return e.addTo(accept, tests)
}

// listOfFile is a key of a file that has a list, and what is to be added to it.
type listOfFile struct {
	key  string
	more []string
}

// addTo adds elements to lists, or the lists that are missing.
func (e *editor) addTo(lists ...listOfFile) (edits []edit) {
	var missing []string
	for _, l := range lists {
		if len(l.more) == 0 {
			continue
		}
		if list := findMember(&e.root, l.key); list != nil {
			edits = append(edits, e.source.containerOf(list).add(l.more)...)
		} else {
			missing = append(missing, fmt.Sprintf("%q: [%s,\n]", l.key, inLines(l.more, "\t")))
		}
	}
	return append(edits, e.source.containerOf(&e.root).add(missing)...)
}

// finish makes the edits, and checks what came of them: the asked flows are accepted,
// and the tests hold.
func (e *editor) finish(s *Suggestion, edits []edit, asked []Flow) error {
	s.Text = slices.Concat(e.bom, applied(e.data, edits))
	for i := range edits {
		edits[i].from, edits[i].to = edits[i].from+len(e.bom), edits[i].to+len(e.bom)
	}
	s.Patch = patchOf(e.name, slices.Concat(e.bom, e.data), edits)
	p, err := parse(e.name, s.Text, e.host)
	if err != nil {
		return fmt.Errorf("policy: the suggestion is wrong: %w", err)
	}
	failures, err := p.Test()
	if err != nil {
		return err
	}
	if len(failures) > 0 {
		return fmt.Errorf("policy: the suggestion is wrong: %v", failures[0])
	}
	f, err := filter.New(p.Config())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(asked, func(x Flow) bool { return f.Check(x.Src, x.Dst.Addr(), x.Dst.Port(), x.Proto).IsDrop() })
	if i >= 0 {
		return fmt.Errorf("policy: the suggestion is wrong: it does not allow %v", asked[i])
	}
	return nil
}
