package policy

import (
	"net/netip"

	"github.com/tailscale/hujson"

	"tstun/filter"
)

// Policy is a policy file that makes sense: filter.New accepts its Config. It
// never changes and is safe for concurrent use. The zero value has no rules
// and nothing local.
type Policy struct {
	matches []filter.Match
	local   []netip.Prefix
	places  []Position // of the rules
	names   names
	groups  map[string]bool    // which of the names are groups'
	words   map[Position]Words // of the rules, by place
	tests   []expectation
}

// Parse reads a policy file, or a packet filter of Tailscale or headscale. name
// is the file's name in errors, which are of type Errors. data is not kept.
func Parse(name string, data []byte) (*Policy, error) {
	s := newSource(name, data)
	p := &Policy{names: make(names)}
	if v, ok := s.parse(); ok {
		if v.Value.Kind() == '[' {
			s.readPacketFilter(&v, p)
		} else {
			s.readFile(&v, p)
		}
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Config returns the rules and the local addresses as a filter takes them; the
// other fields are for the caller to set. What it refers to belongs to p and
// must not be changed.
func (p *Policy) Config() filter.Config {
	return filter.Config{Matches: p.matches, Local: p.local}
}

// Rule returns where the rule is that is number i in Config().Matches, such as
// filter.Explanation.Rule. i must be such a number.
func (p *Policy) Rule(i int) Position { return p.places[i] }

// addRule adds a rule that was read without errors from v.
func (s *source) addRule(p *Policy, v *hujson.Value, m filter.Match) {
	if !sharesVersion(m) {
		s.errorf(v, "allows nothing: want a source and a destination of one IP version")
		return
	}
	p.matches = append(p.matches, m)
	p.places = append(p.places, s.position(v.StartOffset))
}

// sharesVersion reports whether any source and any destination are of one IP
// version.
func sharesVersion(m filter.Match) bool {
	var srcs, dsts [2]bool
	for _, p := range m.Srcs {
		srcs[version(p)] = true
	}
	for _, d := range m.Dsts {
		dsts[version(d.Net)] = true
	}
	return srcs[0] && dsts[0] || srcs[1] && dsts[1]
}

// version is 0 for IPv4 and 1 for IPv6.
func version(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}
