package policy

import "slices"

// Diff returns which new inbound flows become allowed or denied when the rules
// and addresses of next, local and permitted, replace those of old. It computes this on the
// rules, for all addresses, ports and protocols: a flow between addresses that
// a filter can let through is in one Change if its verdict differs, and in none
// otherwise. Addresses that neither policy permits, such as loopback, are left
// out where they make no Change of their own. The order is: what becomes allowed first, then by address.
//
// The error is ErrTooLarge, or nil.
func Diff(old, next *Policy) ([]Change, error) {
	w := maxWork
	var versions [2][]Change
	for v := range versions {
		d := differ{version: v, work: &w, intern: make(map[string]int)}
		rules, err := d.rules(old, next)
		if err != nil {
			return nil, err
		}
		if err := walk(rules, &w, &d); err != nil {
			return nil, err
		}
		boxes, err := d.merged()
		if err != nil {
			return nil, err
		}
		for _, b := range boxes {
			versions[v] = append(versions[v], d.change(b))
		}
	}
	changes := joinVersions(versions[0], versions[1])
	slices.SortFunc(changes, Change.compare)
	return changes, nil
}

// rules returns the rules of both policies that can bear on a difference: those
// that are in one of them only, and those that overlap with these.
func (d *differ) rules(old, next *Policy) ([]*rule, error) {
	scopes := [...]scope{old.scopes()[d.version], next.scopes()[d.version]}
	d.noSrcs = intersection(scopes[0].dropSrc, scopes[1].dropSrc)
	d.noDsts = intersection(scopes[0].dropDst, scopes[1].dropDst)
	known := make(map[string]*rule)
	var all []*rule
	for i, p := range []*Policy{old, next} {
		// What neither policy permits stays in the rules, to keep lists short.
		scopes[i].noSrcs = difference(scopes[i].dropSrc, d.noSrcs)
		scopes[i].noDsts = difference(scopes[i].dropDst, d.noDsts)
		for _, r := range scopes[i].rules(p.matches) {
			if !d.work.take(r.steps()) {
				return nil, ErrTooLarge
			}
			key := r.key()
			if known[key] == nil {
				known[key] = r
				all = append(all, r)
			}
			known[key].side |= side(1 << i)
		}
	}
	return concerned(all), nil
}

// concerned returns the rules that are not in both policies, and those that
// overlap with these.
func concerned(all []*rule) []*rule {
	var src, dst []span
	for _, r := range all {
		if r.side != inBoth {
			src = append(src, r.src...)
			for _, p := range r.parts {
				dst = append(dst, p.dst...)
			}
		}
	}
	src, dst = normal(src), normal(dst)
	return slices.DeleteFunc(all, func(r *rule) bool {
		overlapsDst := slices.ContainsFunc(r.parts, func(p part) bool { return overlap(p.dst, dst) })
		return !overlapsDst || !overlap(r.src, src)
	})
}
