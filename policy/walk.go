package policy

import (
	"tstun/filter"
	"tstun/ipproto"
)

// rule is what a rule of a policy allows in one IP version.
type rule struct {
	side   side
	number int // in its policy
	protos []span
	src    []span
	parts  []part
}

// part is the destinations of a rule that have the same ports.
type part struct {
	dst, ports []span
}

// side says to what a rule belongs: a bit for each.
type side uint8

// clause is one part of a rule.
type clause struct {
	*rule
	*part
}

// visitor is told of all flows that rules allow. walk calls sources for each
// class of sources that are in the same rules, then cell for each class of
// destinations that are in the same parts of these rules, unless skip says that
// these clauses need not be looked at.
type visitor interface {
	skip(here []clause) bool
	sources(src []span) (goOn bool)
	cell(dst []span, here []clause) error
}

// walk cuts the sources into classes that are in the same rules, then, for each
// of these and its rules only, the destinations. Work thus grows with how many
// rules meet, not with how many there are.
func walk(rules []*rule, w *work, v visitor) error {
	sets := make([][]span, len(rules))
	for i, r := range rules {
		sets[i] = r.src
	}
	classes, members, err := partition(sets, w)
	if err != nil {
		return err
	}
	of := invert(members, len(classes))
	for c, src := range classes {
		n := 0
		for _, i := range of[c] {
			n += len(rules[i].parts)
		}
		if !w.take(1 + n + len(src)) {
			return ErrTooLarge
		}
		here := make([]clause, 0, n)
		for _, i := range of[c] {
			for j := range rules[i].parts {
				here = append(here, clause{rules[i], &rules[i].parts[j]})
			}
		}
		if v.skip(here) || !v.sources(src) {
			continue
		}
		if err := walkDsts(here, w, v); err != nil {
			return err
		}
	}
	return nil
}

func walkDsts(clauses []clause, w *work, v visitor) error {
	sets := make([][]span, len(clauses))
	for i, c := range clauses {
		sets[i] = c.dst
	}
	classes, members, err := partition(sets, w)
	if err != nil {
		return err
	}
	of := invert(members, len(classes))
	for c, dst := range classes {
		if !w.take(1 + len(of[c]) + len(dst)) {
			return ErrTooLarge
		}
		here := make([]clause, len(of[c]))
		for j, i := range of[c] {
			here[j] = clauses[i]
		}
		if v.skip(here) {
			continue
		}
		if err := v.cell(dst, here); err != nil {
			return err
		}
	}
	return nil
}

// serviceClasses are the protocols and ports of some clauses, in classes that are in
// the same of them.
type serviceClasses struct {
	protos, ports     [][]span
	ported            []bool    // by class of protocols
	inProtos, inPorts [][]int32 // by clause
}

func servicesOf(here []clause, w *work) (s serviceClasses, err error) {
	protoSets := make([][]span, 1, 1+len(here))
	protoSets[0] = withPorts
	portSets := make([][]span, 0, len(here))
	for _, c := range here {
		protoSets = append(protoSets, c.protos)
		portSets = append(portSets, c.ports)
	}
	var inProtos [][]int32
	if s.protos, inProtos, err = partition(protoSets, w); err != nil {
		return s, err
	}
	if s.ports, s.inPorts, err = partition(portSets, w); err != nil {
		return s, err
	}
	s.inProtos = inProtos[1:]
	s.ported = make([]bool, len(s.protos))
	for _, q := range inProtos[0] {
		s.ported[q] = true
	}
	spans := len(s.ports)
	for _, ports := range s.ports {
		spans += len(ports)
	}
	if !w.take(len(s.protos) * (1 + spans)) {
		return s, ErrTooLarge
	}
	for i := range here {
		if !w.take(len(s.inProtos[i]) * (1 + len(s.inPorts[i]))) {
			return s, ErrTooLarge
		}
	}
	return s, nil
}

// each calls visit for each clause with each class of its protocols and ports.
// The class of ports is 0 where protocols have none.
func (s serviceClasses) each(visit func(clause, proto, port int32)) {
	for i := range s.inProtos {
		for _, q := range s.inProtos[i] {
			if !s.ported[q] {
				visit(int32(i), q, 0)
				continue
			}
			for _, p := range s.inPorts[i] {
				visit(int32(i), q, p)
			}
		}
	}
}

// bySide calls note with the protocols and ports that belong to the same side.
func (s serviceClasses) bySide(here []clause, note func(is side, protos, ports []span)) {
	sides := make([]side, len(s.protos)*len(s.ports))
	s.each(func(c, q, p int32) { sides[int(q)*len(s.ports)+int(p)] |= here[c].side })
	for q, protos := range s.protos {
		row := sides[q*len(s.ports) : (q+1)*len(s.ports)]
		if !s.ported[q] {
			note(row[0], protos, allPorts)
			continue
		}
		var spans [maxSide + 1][]span
		for p, is := range row {
			spans[is] = append(spans[is], s.ports[p]...)
		}
		for is := side(1); is <= maxSide; is++ {
			if len(spans[is]) > 0 {
				note(is, protos, normal(spans[is]))
			}
		}
	}
}

// maxSide is both sides.
const maxSide side = 3

// allPorts are what stands for the ports of protocols without.
var allPorts = []span{portSpan(filter.AllPorts)}

// withPorts are the protocols that have ports.
var withPorts = func() (spans []span) {
	for i := range 256 {
		if ipproto.Proto(i).HasPorts() {
			at := point{lo: uint64(i)}
			spans = append(spans, span{at, at})
		}
	}
	return normal(spans)
}()
