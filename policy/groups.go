package policy

import "iter"

// groups are values by key, in the order in which the keys came.
type groups[K comparable, V any] struct {
	keys   []K
	values map[K][]V
}

func newGroups[K comparable, V any]() *groups[K, V] {
	return &groups[K, V]{values: make(map[K][]V)}
}

func (g *groups[K, V]) add(key K, values ...V) {
	if _, ok := g.values[key]; !ok {
		g.keys = append(g.keys, key)
	}
	g.values[key] = append(g.values[key], values...)
}

func (g *groups[K, V]) all() iter.Seq2[K, []V] {
	return func(yield func(K, []V) bool) {
		for _, k := range g.keys {
			if !yield(k, g.values[k]) {
				return
			}
		}
	}
}
