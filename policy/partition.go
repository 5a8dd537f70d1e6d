package policy

import (
	"fmt"
	"slices"
)

// work bounds how much is computed on sets, in steps. A step takes up to half a
// microsecond and allocates up to 100 bytes: whatever grows with the policies
// takes steps for it.
type work int

// maxWork is a few seconds.
const maxWork work = 1 << 24

// ErrTooLarge is what Diff and Test return if policies are too intricate to
// compute on in a few seconds.
var ErrTooLarge = fmt.Errorf("policy: too intricate to compute: more than %d steps", int(maxWork))

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
		if !w.take(1 + 2*len(set)) {
			return nil, nil, ErrTooLarge
		}
	}
	atoms := atomsOf(sets)
	class, last, err := classify(sets, atoms, w)
	if err != nil {
		return nil, nil, err
	}
	classes = renumber(atoms, class, last)
	return classes, membership(sets, atoms, class, len(classes)), nil
}

// classify returns the class of each atom, from 1 to last. 0 is that of the
// atoms in no set.
func classify(sets [][]span, atoms []span, w *work) (class []int32, last int32, err error) {
	class = make([]int32, len(atoms))
	split := make([]struct{ set, to int32 }, 1) // by class: the last set that split it, and into which
	for j, set := range sets {
		for _, s := range set {
			from, to := atomRange(atoms, s)
			if !w.take(to - from + 1) {
				return nil, 0, ErrTooLarge
			}
			for i := from; i < to; i++ {
				c := &split[class[i]]
				if c.set != int32(j+1) {
					c.set, c.to = int32(j+1), int32(len(split))
					split = append(split, struct{ set, to int32 }{})
					c = &split[class[i]]
				}
				class[i] = c.to
			}
		}
	}
	return class, int32(len(split) - 1), nil
}

// atomsOf cuts the line at each end of a span. An atom is a first point; it
// reaches to the point before the next atom.
func atomsOf(sets [][]span) []span {
	n := 0
	for _, set := range sets {
		n += len(set)
	}
	firsts := make([]point, 0, 2*n)
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
	atoms := make([]span, 0, len(firsts))
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
func renumber(atoms []span, class []int32, last int32) (classes [][]span) {
	numbers := make([]int32, last+1) // 0: none yet
	for i, c := range class {
		if c == 0 {
			class[i] = -1
			continue
		}
		if numbers[c] == 0 {
			classes = append(classes, nil)
			numbers[c] = int32(len(classes))
		}
		n := numbers[c] - 1
		class[i] = n
		classes[n] = append(classes[n], atoms[i])
	}
	for n, spans := range classes {
		classes[n] = normal(spans)
	}
	return classes
}

// membership returns the classes, of n, in each set.
func membership(sets [][]span, atoms []span, class []int32, n int) [][]int32 {
	members := make([][]int32, len(sets))
	seen := make([]int32, n) // by class: the last set that has it, from 1
	for j, set := range sets {
		var in []int32
		for _, s := range set {
			from, to := atomRange(atoms, s)
			for _, c := range class[from:to] {
				if seen[c] != int32(j+1) {
					seen[c] = int32(j + 1)
					in = append(in, c)
				}
			}
		}
		slices.Sort(in)
		members[j] = in
	}
	return members
}

// invert returns in which sets each of n classes is, ascending.
func invert(members [][]int32, n int) [][]int32 {
	begin := make([]int, n+1) // of each class in all
	for _, classes := range members {
		for _, c := range classes {
			begin[c+1]++
		}
	}
	for c := range n {
		begin[c+1] += begin[c]
	}
	all := make([]int32, begin[n])
	of := make([][]int32, n)
	for c := range n {
		of[c] = all[begin[c]:begin[c]:begin[c+1]]
	}
	for set, classes := range members {
		for _, c := range classes {
			of[c] = append(of[c], int32(set))
		}
	}
	return of
}
