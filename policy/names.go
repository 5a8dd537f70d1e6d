package policy

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"

	"github.com/tailscale/hujson"
)

// names is what hosts and groups stand for. The zero value knows none.
type names struct {
	prefixes map[string][]netip.Prefix
	known    []string // all that the file defines, well or not
}

func newNames() *names { return &names{prefixes: make(map[string][]netip.Prefix)} }

// wantNoCapability is what there is to say to the sources of Tailscale's packet
// filters that are no addresses.
const wantNoCapability = "a capability of peers, which their addresses do not tell"

// isName reports whether text is in the form of a name. No address, prefix or
// range is.
func isName(text string) bool {
	for i, r := range text {
		if !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r) && !strings.ContainsRune("-_.@", r)) {
			return false
		}
	}
	return text != ""
}

// lookUp returns the addresses that text, a name or not, stands for.
func (n *names) lookUp(text string) ([]netip.Prefix, error) {
	if strings.HasPrefix(text, "cap:") {
		return nil, errors.New(wantNoCapability)
	}
	if !isName(text) {
		p, err := parseAddresses(text)
		if err != nil && err.Error() == wantAddress {
			err = errors.New(wantAddress + ", or the name of a host or a group")
		}
		return p, err
	}
	if p, ok := n.prefixes[text]; ok {
		return p, nil
	}
	if near := nearest(n.known, text); near != "" {
		return nil, errors.New("no host or group has this name: want one that has, such as " + near)
	}
	return nil, errors.New("no host or group has this name: want one that has, or an address")
}

// definitions are the names of a file while they are read.
type definitions struct {
	*source
	names  *names
	groups map[string]*group
}

type group struct {
	name    *hujson.Value // where it is defined
	members *hujson.Value
	open    bool // being resolved
	done    bool // resolved, or open
}

// maxGroupDepth is how deep groups may be in groups.
const maxGroupDepth = 64

// readHosts reads the names of addresses.
func (d *definitions) readHosts(v *hujson.Value) {
	d.members(v, `"hosts"`, func(key string, name, value *hujson.Value) {
		d.checkName(key, name)
		d.names.known = append(d.names.known, key)
		var all set
		d.texts(value, "an address", func(text string, v *hujson.Value) {
			p, err := parseAddresses(text)
			if err != nil {
				d.errorf(v, "%v", err)
				return
			}
			all.add(p)
		})
		if d.room(value, len(all.list)) {
			d.names.prefixes[key] = all.list
		}
	})
}

// readGroups reads the groups, which may hold each other in any order.
func (d *definitions) readGroups(v *hujson.Value) {
	var order []string
	d.members(v, `"groups"`, func(key string, name, value *hujson.Value) {
		d.checkName(key, name)
		if _, host := d.names.prefixes[key]; host {
			d.errorf(name, "a host has this name too: want another")
			return
		}
		d.groups[key] = &group{name: name, members: value}
		d.names.known = append(d.names.known, key)
		order = append(order, key)
	})
	for _, key := range order {
		d.resolve(key, 0)
	}
}

// groupNames returns the names that are groups'.
func (d *definitions) groupNames() map[string]bool {
	all := make(map[string]bool, len(d.groups))
	for name := range d.groups {
		all[name] = true
	}
	return all
}

func (d *definitions) checkName(key string, name *hujson.Value) {
	if !isName(key) {
		d.errorf(name, `want a name: a letter, then letters, digits, "-", "_", "." and "@"`)
	}
}

// resolve finds what the group key stands for, and the groups in it.
func (d *definitions) resolve(key string, depth int) {
	g := d.groups[key]
	if g.done {
		return
	}
	g.done = true
	g.open = true
	var all set
	d.texts(g.members, "a host, a group or an address", func(text string, v *hujson.Value) {
		if inner, ok := d.groups[text]; ok {
			if inner.open {
				d.errorf(v, "the group is in itself: want groups without a circle")
				return
			}
			if depth == maxGroupDepth {
				d.errorf(v, "groups in groups, more than %d deep: want fewer", maxGroupDepth)
				return
			}
			d.resolve(text, depth+1)
		}
		p, err := d.names.lookUp(text)
		if err != nil {
			d.errorf(v, "%v", err)
			return
		}
		all.add(p)
	})
	g.open = false
	if d.room(g.members, len(all.list)) {
		d.names.prefixes[key] = all.list
	}
}

// set is prefixes without repetition, in the order in which they came.
type set struct {
	list []netip.Prefix
	seen map[netip.Prefix]bool // made when prefixes are added again
}

// add adds prefixes, which have no repetition of their own and are not changed.
func (s *set) add(prefixes []netip.Prefix) {
	if len(s.list) == 0 {
		s.list = prefixes[:len(prefixes):len(prefixes)]
		return
	}
	if s.seen == nil {
		s.seen = make(map[netip.Prefix]bool, len(s.list)+len(prefixes))
		for _, p := range s.list {
			s.seen[p] = true
		}
	}
	for _, p := range prefixes {
		if !s.seen[p] {
			s.seen[p] = true
			s.list = append(s.list, p)
		}
	}
}
