package policy

import (
	"fmt"
	"slices"
)

// work bounds how much Diff does, in steps of up to half a microsecond.
type work int

// maxWork is a few seconds.
const maxWork work = 1 << 24

// ErrTooLarge is what Diff returns if two policies differ in more than it can
// compare in a few seconds.
var ErrTooLarge = fmt.Errorf("policy: the policies differ in too much to compare: more than %d steps", int(maxWork))

// take takes n steps, and reports whether there were as many.
func (w *work) take(n int) bool {
	*w -= work(min(n, int(maxWork)))
	return *w >= 0
}

// partition divides the points that are in any of the sets into classes: the
// points of one class are in the same sets. classes[i] is the spans of class i,
// members[j] the classes in sets[j], ascending. The sets are normal.
func partition(sets [][]span, w *work) (classes [][]span, members [][]int32, err error) {
	for _, set := range sets {
		if !w.take(1 + len(set)) {
			return nil, nil, ErrTooLarge
		}
	}
	atoms := atomsOf(sets)
	class := make([]int32, len(atoms)) // 0: in no set
	last := int32(0)
	for _, set := range sets {
		moved := make(map[int32]int32) // those in set, to a class of their own
		for _, s := range set {
			from, to := atomRange(atoms, s)
			if !w.take(to - from + 1) {
				return nil, nil, ErrTooLarge
			}
			for i := from; i < to; i++ {
				c, ok := moved[class[i]]
				if !ok {
					last++
					c = last
					moved[class[i]] = c
				}
				class[i] = c
			}
		}
	}
	classes = renumber(atoms, class)
	return classes, membership(sets, atoms, class), nil
}

// atomsOf cuts the line at each end of a span. An atom is a first point; it
// reaches to the point before the next atom.
func atomsOf(sets [][]span) []span {
	var firsts []point
	var end point
	for _, set := range sets {
		for _, s := range set {
			firsts = append(firsts, s.first, s.last.next())
			if s.last.compare(end) > 0 {
				end = s.last
			}
		}
	}
	slices.SortFunc(firsts, point.compare)
	firsts = slices.Compact(firsts)
	var atoms []span
	for i, first := range firsts {
		if first.compare(end) > 0 {
			break
		}
		last := end
		if i+1 < len(firsts) && firsts[i+1].compare(end) <= 0 {
			last = firsts[i+1].before()
		}
		atoms = append(atoms, span{first, last})
	}
	return atoms
}

// atomRange returns the atoms that are in s, which begins and ends with one.
func atomRange(atoms []span, s span) (from, to int) {
	from, _ = slices.BinarySearchFunc(atoms, s.first, func(a span, p point) int { return a.first.compare(p) })
	to, _ = slices.BinarySearchFunc(atoms, s.last, func(a span, p point) int {
		if a.first.compare(p) <= 0 {
			return -1
		}
		return 1
	})
	return from, to
}

// renumber makes class count from 0 in the order of the line, -1 for atoms in
// no set, and returns the spans of each class.
func renumber(atoms []span, class []int32) (classes [][]span) {
	numbers := make(map[int32]int32)
	for i, c := range class {
		if c == 0 {
			class[i] = -1
			continue
		}
		n, ok := numbers[c]
		if !ok {
			n = int32(len(classes))
			numbers[c] = n
			classes = append(classes, nil)
		}
		class[i] = n
		classes[n] = append(classes[n], atoms[i])
	}
	for n, spans := range classes {
		classes[n] = normal(spans)
	}
	return classes
}

// membership returns the classes in each set.
func membership(sets [][]span, atoms []span, class []int32) [][]int32 {
	members := make([][]int32, len(sets))
	for j, set := range sets {
		var in []int32
		for _, s := range set {
			from, to := atomRange(atoms, s)
			in = append(in, class[from:to]...)
		}
		slices.Sort(in)
		members[j] = slices.Clone(slices.Compact(in))
	}
	return members
}
