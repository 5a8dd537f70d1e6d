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

// suggest returns the names that are nearest to word, as a list, or example if none is
// near.
func suggest(word string, names []string, example string) string {
	if len(word) > maxCompared {
		return example
	}
	word = strings.ToLower(word)
	var near []string
	for limit := range 1 + len(word)/3 {
		for _, name := range names {
			if distance(word, strings.ToLower(name)) == limit {
				near = append(near, name)
			}
		}
	}
	if near == nil && word != "" {
		near = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.Contains(strings.ToLower(name), word) })
	}
	if len(near) == 0 {
		return example
	}
	return orList(near[:min(len(near), maxNear)])
}

// distance returns how many bytes must be put in, left out or changed to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1) // of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
