package policy

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// maxCovering is how much is done to find rules that others cover: less than a
// second.
const maxCovering work = 1 << 22

// Cover is a rule that does nothing, since others allow all that it does.
type Cover struct {
	Rule int // its number in Config().Matches
	// By is the number of the rule that allows all of it alone. It is -1 if others
	// do together, or if there are so many covered rules that it was not looked for.
	By int
}

// Covered returns the rules that allow nothing that others do not, in the order of
// the file. Without all of these together, the policy would allow the same. Of equal
// rules it is the later one. The error is ErrTooLarge, or nil: it takes a second at
// most.
func (p *Policy) Covered() ([]Cover, error) {
	rules, spare, err := p.spareRules()
	if err != nil {
		return nil, err
	}
	w := maxCovering
	var all []Cover
	for _, number := range slices.Backward(spare) {
		c := Cover{number, -1}
		if w.take(len(p.matches)) {
			c.By = p.coverOf(number, rules, spare)
		}
		all = append(all, c)
	}
	return all, nil
}

// noteCovered notes the rules that allow nothing that others do not.
func (p *Policy) noteCovered(n *notes) {
	rules, spare, err := p.spareRules()
	if err != nil {
		n.add(func() Note {
			return Note{Position{p.file, 1, 1}, "", "too many rules overlap to look for those that others cover"}
		})
		return
	}
	for _, number := range slices.Backward(spare) {
		n.add(func() Note {
			by := "others together allow all of it"
			if i := p.coverOf(number, rules, spare); i >= 0 {
				by = fmt.Sprintf("the one in line %d allows all of it", p.places[i].Line)
			}
			return Note{p.places[number], "", "the rule does nothing: " + by}
		})
	}
}

// spareRules returns the numbers of the rules that the others make up for, the last
// first, and the rules by IP version.
func (p *Policy) spareRules() (rules [2][]*rule, spare []int, err error) {
	w := maxCovering
	c := covering{work: &w, needed: make([]bool, len(p.matches)), cells: make(map[string][]int32)}
	for number := range c.needed {
		c.needed[number] = true // until something is found that it allows
	}
	scopes := p.scopes()
	for i := range scopes {
		rules[i] = scopes[i].rules(p.matches)
		for _, r := range rules[i] {
			c.needed[r.number] = false
		}
	}
	for i := range scopes {
		if err := walk(rules[i], &w, &c); err != nil {
			return rules, nil, err
		}
	}
	return rules, c.spare(), nil
}

// coverOf returns the rule that covers the one of that number alone, or -1.
func (p *Policy) coverOf(number int, rules [2][]*rule, spare []int) int {
	for i := range p.matches {
		if _, is := slices.BinarySearchFunc(spare, i, func(a, b int) int { return b - a }); i != number && !is && covers(i, number, rules) {
			return i
		}
	}
	return -1
}

// covers reports whether the rule of number a plainly allows what that of
// number b does.
func covers(a, b int, rules [2][]*rule) bool {
	for _, all := range rules {
		r, s := find(all, a), find(all, b)
		if s != nil && (r == nil || !r.covers(s)) {
			return false
		}
	}
	return true
}

// find returns the rule of that number, or nil.
func find(rules []*rule, number int) *rule {
	i, ok := slices.BinarySearchFunc(rules, number, func(r *rule, n int) int { return r.number - n })
	if !ok {
		return nil
	}
	return rules[i]
}

// covers reports whether each part of s is in one part of r.
func (r *rule) covers(s *rule) bool {
	if !subset(s.protos, r.protos) || !subset(s.src, r.src) {
		return false
	}
	portless := !overlap(s.protos, withPorts)
	for _, p := range s.parts {
		if !slices.ContainsFunc(r.parts, func(q part) bool {
			return subset(p.dst, q.dst) && (portless || subset(p.ports, q.ports))
		}) {
			return false
		}
	}
	return true
}

// covering finds the rules that are alone in allowing something. It is a
// visitor of the rules.
type covering struct {
	work   *work
	needed []bool             // by number of rule
	cells  map[string][]int32 // rules that allow the same flows and were not known to be needed, ascending
}

// skip notes the rule that is alone in what it allows.
func (c *covering) skip(here []clause) bool {
	for _, cl := range here[1:] {
		if cl.number != here[0].number {
			return false
		}
	}
	c.needed[here[0].number] = true
	return true
}

func (c *covering) sources([]span) bool { return true }

func (c *covering) cell(_ []span, here []clause) error {
	s, err := servicesOf(here, c.work)
	if err != nil {
		return err
	}
	holders := make([][]int32, len(s.protos)*len(s.ports))
	s.each(func(i, q, p int32) {
		h := &holders[int(q)*len(s.ports)+int(p)]
		number := int32(here[i].number) // ascending, as the clauses are
		if n := len(*h); n == 0 || (*h)[n-1] != number {
			*h = append(*h, number)
		}
	})
	for _, h := range holders {
		switch {
		case len(h) == 1:
			c.needed[h[0]] = true
		case len(h) > 1 && !slices.ContainsFunc(h, func(n int32) bool { return c.needed[n] }):
			if !c.work.take(1 + len(h)/8) {
				return ErrTooLarge
			}
			c.cells[cellKey(h)] = h
		}
	}
	return nil
}

// cellKey is the same for the same rules.
func cellKey(rules []int32) string {
	b := make([]byte, 0, 4*len(rules))
	for _, n := range rules {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return string(b)
}

// spare returns the rules that the others make up for, the last first. It gives
// up rules from the last to the first, as long as each flow has one left.
func (c *covering) spare() []int {
	of := make(map[int32][]int) // cells by rule
	var left []int              // rules of each cell that are not given up
	for _, key := range slices.Sorted(maps.Keys(c.cells)) {
		h := c.cells[key]
		if slices.ContainsFunc(h, func(n int32) bool { return c.needed[n] }) {
			continue
		}
		for _, n := range h {
			of[n] = append(of[n], len(left))
		}
		left = append(left, len(h))
	}
	var spare []int
	for number := len(c.needed) - 1; number >= 0; number-- {
		cells := of[int32(number)]
		if c.needed[number] || slices.ContainsFunc(cells, func(i int) bool { return left[i] == 1 }) {
			continue
		}
		spare = append(spare, number)
		for _, i := range cells {
			left[i]--
		}
	}
	return spare
}
