package policy

import (
	"net/netip"

	"tstun/filter"
)

// compare finds where the verdicts differ and leaves it in d.boxes. It cuts the
// sources into classes that are in the same rules, then, for each of these and
// its rules only, the destinations, and so on with protocols and ports. Work
// thus grows with how many rules meet, not with how many there are.
func (d *differ) compare(rules []*rule) error {
	sets := make([][]span, len(rules))
	for i, r := range rules {
		sets[i] = r.src
	}
	classes, members, err := partition(sets, d.work)
	if err != nil {
		return err
	}
	of := invert(members, len(classes))
	for c, src := range classes {
		if src = d.passing(src); len(src) == 0 {
			continue
		}
		var here []clause
		for _, i := range of[c] {
			r := rules[i]
			if !d.work.take(len(r.parts)) {
				return ErrTooLarge
			}
			for _, p := range r.parts {
				here = append(here, clause{r.side, r.protos, p})
			}
		}
		if err := d.compareDsts(src, here); err != nil {
			return err
		}
	}
	return nil
}

// clause is one part of a rule.
type clause struct {
	side   side
	protos []span
	part
}

// unchanged reports whether all clauses are in both policies.
func unchanged(clauses []clause) bool {
	for _, c := range clauses {
		if c.side != inBoth {
			return false
		}
	}
	return true
}

// compareDsts goes on for the sources src, which the clauses are about.
func (d *differ) compareDsts(src []span, clauses []clause) error {
	if unchanged(clauses) {
		return nil
	}
	sets := make([][]span, len(clauses))
	for i, c := range clauses {
		sets[i] = c.dst
	}
	classes, members, err := partition(sets, d.work)
	if err != nil {
		return err
	}
	of := invert(members, len(classes))
	for c, dst := range classes {
		if dst = d.passing(dst); len(dst) == 0 {
			continue
		}
		here := make([]clause, len(of[c]))
		for j, i := range of[c] {
			here[j] = clauses[i]
		}
		if unchanged(here) {
			continue
		}
		if err := d.compareServices(src, dst, here); err != nil {
			return err
		}
	}
	return nil
}

// compareServices compares protocols and ports from src to dst.
func (d *differ) compareServices(src, dst []span, clauses []clause) error {
	protoSets := [][]span{withPorts}
	var portSets [][]span
	for _, c := range clauses {
		protoSets = append(protoSets, c.protos)
		portSets = append(portSets, c.ports)
	}
	protos, protoMembers, err := partition(protoSets, d.work)
	if err != nil {
		return err
	}
	ports, portMembers, err := partition(portSets, d.work)
	if err != nil {
		return err
	}
	ported := make([]bool, len(protos))
	for _, q := range protoMembers[0] {
		ported[q] = true
	}
	sides := make([][]side, len(protos)) // by protocol and port; without ports, the first stands for all
	for q := range sides {
		sides[q] = make([]side, max(len(ports), 1))
	}
	for i, c := range clauses {
		for _, q := range protoMembers[i+1] {
			if !d.work.take(1 + len(portMembers[i])) {
				return ErrTooLarge
			}
			sides[q][0] |= c.sideIf(!ported[q])
			for _, p := range portMembers[i] {
				sides[q][p] |= c.sideIf(ported[q])
			}
		}
	}
	for q := range protos {
		if !ported[q] {
			d.note(sides[q][0], src, dst, protos[q], []span{portSpan(filter.AllPorts)})
			continue
		}
		for _, s := range []side{inOld, inNew} {
			var spans []span
			for p := range ports {
				if sides[q][p] == s {
					spans = append(spans, ports[p]...)
				}
			}
			d.note(s, src, dst, protos[q], normal(spans))
		}
	}
	return nil
}

// sideIf returns c's side, or none.
func (c clause) sideIf(yes bool) side {
	if yes {
		return c.side
	}
	return 0
}

// note notes a box that one side allows.
func (d *differ) note(s side, src, dst, protos, ports []span) {
	if (s == inOld || s == inNew) && len(ports) > 0 {
		d.boxes = append(d.boxes, box{s, [...]int{d.list(protos), d.list(ports), d.list(src), d.list(dst)}})
	}
}

// invert returns in which sets each of n classes is.
func invert(members [][]int32, n int) [][]int {
	of := make([][]int, n)
	for set, classes := range members {
		for _, c := range classes {
			of[c] = append(of[c], set)
		}
	}
	return of
}

// blocked are the addresses that a filter drops whatever its rules are, by IP
// version: those of filter.Permit.
var blocked = [2][]netip.Prefix{
	{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	},
	{
		netip.MustParsePrefix("::/127"), netip.MustParsePrefix("::ffff:0.0.0.0/96"),
		netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
	},
}

// passing returns the spans that are not wholly blocked.
func (d *differ) passing(spans []span) []span {
	var pass []span
	for _, s := range spans {
		inside := false
		for _, p := range blocked[d.version] {
			inside = inside || spanOf(p).contains(s)
		}
		if !inside {
			pass = append(pass, s)
		}
	}
	return pass
}

// spans returns the prefixes of d's IP version as a normal list.
func (d *differ) spans(prefixes []netip.Prefix) []span {
	var spans []span
	for _, p := range prefixes {
		if version(p) == d.version {
			spans = append(spans, spanOf(p))
		}
	}
	return normal(spans)
}
