package flowexpr

import (
	"slices"
	"strings"
)

const (
	// maxNear is how many names a suggestion has at most.
	maxNear = 3
	// maxCompared is the longest word, in bytes, that is compared with names.
	maxCompared = 40
)

// suggest returns the names that are near to word, as a list, or example if none is.
func suggest(word string, names []string, example string) string {
	if found := near(word, names); len(found) > 0 {
		return orList(found)
	}
	return example
}

// near returns the names that word may be meant for: those that differ from it in a third
// of its letters at most, the nearest first, or if there are none, those that contain it.
func near(word string, names []string) (found []string) {
	if word == "" || len(word) > maxCompared {
		return nil
	}
	word = strings.ToLower(word)
	for limit := range 1 + len(word)/3 {
		for _, name := range names {
			if distance(word, strings.ToLower(name)) == limit {
				found = append(found, name)
			}
		}
	}
	if len(found) == 0 {
		found = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.Contains(strings.ToLower(name), word) })
	}
	return found[:min(len(found), maxNear)]
}

// distance returns how many bytes must be put in, left out or changed, or neighbours
// swapped, to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			change := above[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
