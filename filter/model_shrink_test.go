package filter_test

import "time"

// shrink returns a history as short as leaving out moves and making them
// smaller gives, that ends with a violation of the same kind.
func shrink(s setup, moves []move, kind string) []move {
	fails := func(moves []move) (int, bool) {
		v, n := playAll(s, moves, nil)
		return n, v != nil && v.kind == kind
	}
	for size := len(moves) / 2; size > 0; {
		before := len(moves)
		moves = dropParts(moves, size, fails)
		if len(moves) == before || size > 1 {
			size /= 2
		}
	}
	return simplify(moves, fails)
}

// dropParts leaves out parts of a size, from the end.
func dropParts(moves []move, size int, fails func([]move) (int, bool)) []move {
	for end := len(moves); end > 0; end -= size {
		from := max(end-size, 0)
		shorter := append(append([]move{}, moves[:from]...), moves[min(end, len(moves)):]...)
		if n, ok := fails(shorter); ok {
			moves = shorter[:n]
		}
	}
	return moves
}

// simplify makes single moves plainer where that changes nothing.
func simplify(moves []move, fails func([]move) (int, bool)) []move {
	for i := range moves {
		for _, plainer := range plainer(moves[i]) {
			shorter := append([]move{}, moves...)
			shorter[i] = plainer
			if n, ok := fails(shorter); ok && n == len(moves) {
				moves = shorter
			}
		}
	}
	return moves
}

func plainer(m move) (ms []move) {
	with := func(change func(*move)) {
		n := m
		change(&n)
		ms = append(ms, n)
	}
	if m.hold {
		with(func(n *move) { n.hold = false })
	}
	if m.n > 1 {
		for _, count := range []int{m.n / 2, m.n / 4, 1} {
			with(func(n *move) { n.n = count })
		}
	}
	for _, d := range []time.Duration{time.Hour, time.Minute, time.Second} {
		if m.jump > d {
			with(func(n *move) { n.jump = m.jump.Round(d) })
			with(func(n *move) { n.jump = d })
		}
	}
	if m.config != (modelConfig{rules: m.config.rules}) {
		with(func(n *move) { n.config = modelConfig{rules: m.config.rules} })
	}
	return ms
}
