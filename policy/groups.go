package policy

import "iter"

// groups are spans by key, in the order in which the keys came.
type groups[K comparable] struct {
	keys  []K
	spans map[K][]span
}

func newGroups[K comparable]() *groups[K] { return &groups[K]{spans: make(map[K][]span)} }

func (g *groups[K]) add(key K, spans ...span) {
	if _, ok := g.spans[key]; !ok {
		g.keys = append(g.keys, key)
	}
	g.spans[key] = append(g.spans[key], spans...)
}

func (g *groups[K]) all() iter.Seq2[K, []span] {
	return func(yield func(K, []span) bool) {
		for _, k := range g.keys {
			if !yield(k, g.spans[k]) {
				return
			}
		}
	}
}
