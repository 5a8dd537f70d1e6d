package cli

import "strings"

// nearest returns the known word that a user most likely meant by word: the
// first that begins with it, else the one at the least distance. It returns ""
// if that distance is more than 1 and more than a third of the word's length.
func nearest(word string, known []string) (best string) {
	word = strings.ToLower(word)
	least := max(1, len(word)/3) + 1
	for _, k := range known {
		if len(word) > 1 && strings.HasPrefix(k, word) {
			return k
		}
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance returns the least number of edits that turn a into b. An edit
// inserts, deletes or changes one byte, or swaps two neighbours (the
// Damerau-Levenshtein distance without edits within a swap).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
