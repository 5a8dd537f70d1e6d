package policy

import (
	"fmt"
	"net/netip"

	"github.com/tailscale/hujson"

	"tstun/filter"
)

// Policy is a policy file that makes sense: filter.New accepts its Config. It
// never changes and is safe for concurrent use. The zero value has no rules
// and nothing local.
type Policy struct {
	file    string
	matches []filter.Match
	local   []netip.Prefix
	permit  filter.Permit
	places  []Position         // of the rules
	excepts map[int]*exception // by rule
	names   *names
	groups  map[string]bool    // which of the names are groups'
	words   map[Position]Words // of the rules, by place
	tests   []expectation
	notes   notes
	written bool // by people, so that it is told what rules are of no use
}

// Parse reads a policy file, or a packet filter of Tailscale or headscale. name
// is the file's name in errors, which are of type Errors. data is not kept.
func Parse(name string, data []byte) (*Policy, error) { return parse(name, data, "") }

// ParseFor is Parse for a file that is for several hosts. host, a name or
// addresses in the form of the file, says for which of them it is read: its
// addresses, which must be among those that the file calls local, are the local
// ones, rules for others are left out, and so are tests of what is sent to
// others. In a file with the packet filters of several nodes, host can also be
// the key of one of them. An error that is not of type Errors is one of host.
func ParseFor(name string, data []byte, host string) (*Policy, error) {
	if host == "" {
		return nil, fmt.Errorf("%s: no host to read it for", name)
	}
	return parse(name, data, host)
}

func parse(name string, data []byte, host string) (*Policy, error) {
	s := newSource(name, data)
	p := &Policy{file: name, names: newNames(), excepts: make(map[int]*exception)}
	r := reader{source: s, policy: p, host: host}
	if v, ok := s.parse(); ok {
		r.read(&v)
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	if r.hostErr != nil {
		return nil, fmt.Errorf("%s: read for %q: %w", name, host, r.hostErr)
	}
	p.notes = s.notes
	return p, nil
}

// Config returns the rules, the local addresses and what is permitted as a
// filter takes them; the other fields are for the caller to set. What it refers
// to belongs to p and must not be changed.
func (p *Policy) Config() filter.Config {
	return filter.Config{Matches: p.matches, Local: p.local, Permit: p.permit}
}

// Rule returns where the rule is that is number i in Config().Matches, such as
// filter.Explanation.Rule. i must be such a number.
func (p *Policy) Rule(i int) Position { return p.places[i] }

// Notes returns what in the file does nothing, or was not taken as it stands
// there, in the order of the file. It compares the rules of a file that people
// write with each other, which takes up to a second if there are thousands that
// overlap, and none for the packet filters of machines. Of very many notes it
// returns the first hundred and one that says how many there are more.
func (p *Policy) Notes() []Note {
	n := p.notes
	n.kept = n.kept[:len(n.kept):len(n.kept)]
	if p.written {
		p.noteCovered(&n)
	}
	return n.list(p.file)
}

// reader reads a file into a policy.
type reader struct {
	*source
	policy  *Policy
	host    string // for which the file is read, or ""
	hostErr error

	local   []netip.Prefix // of the file, of which host is a part
	scopes  [2]scope       // of local
	chosen  [2]scope       // of the policy's local, where the file is read for host
	missing bool           // some of the tests, since they are about others than host
}

// read reads any form of file.
func (r *reader) read(v *hujson.Value) {
	switch form := formOf(v); form {
	case formACL:
		r.refuseACL(v)
	case formWritten:
		r.policy.written = true
		r.readFile(v)
	default:
		r.readFilters(v, form)
	}
}

// addRule adds a rule that was read without errors from v, if it is for the
// host, and returns its number.
func (r *reader) addRule(v *hujson.Value, m filter.Match) (number int, added bool) {
	if r.host != "" && !r.isForHost(m) {
		return 0, false
	}
	p := r.policy
	p.matches = append(p.matches, m)
	p.places = append(p.places, r.position(v.StartOffset))
	return len(p.matches) - 1, true
}

// isForHost reports whether any destination is one of the host's.
func (r *reader) isForHost(m filter.Match) bool {
	for _, d := range m.Dsts {
		if overlap([]span{spanOf(d.Net)}, r.chosen[version(d.Net)].localSpans) {
			return true
		}
	}
	return false
}

// settleLocal takes the addresses that the file calls local, or all if it
// calls none so and is read for one host, and finds the local ones.
func (r *reader) settleLocal(local []netip.Prefix) {
	r.local = local
	r.scopes = (&Policy{local: local, permit: r.policy.permit}).scopes()
	r.policy.local = local
	if r.host == "" {
		return
	}
	chosen, err := r.policy.names.lookUp(r.host)
	if err != nil {
		r.hostErr = err
		return
	}
	for v := range r.scopes {
		sp := space{version: v}
		if !subset(sp.spans(chosen), sp.spans(local)) {
			r.hostErr = fmt.Errorf(`not among the addresses that the file calls "local"`)
			return
		}
	}
	r.policy.local = chosen
	r.chosen = r.policy.scopes()
}

// version is 0 for IPv4 and 1 for IPv6.
func version(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}
