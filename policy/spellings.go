package policy

import "strings"

// nearest returns the first in the alphabet of the names that differ from text
// in case or by one letter, or "". It looks at all names, without allocating: no
// file has more than maxErrors unknown ones.
func nearest(names []string, text string) (best string) {
	for _, name := range names {
		if (best == "" || name < best) && (oneApart(name, text) || strings.EqualFold(name, text)) {
			best = name
		}
	}
	return best
}

// oneApart reports whether one byte put in, left out or changed, or two
// neighbours swapped, makes a of b.
func oneApart(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if len(a) > len(b)+1 {
		return false
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case len(a) == len(b)+1:
		return a[i+1:] == b[i:]
	case len(a) != len(b) || i == len(b):
		return false
	}
	swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return swapped || a[i+1:] == b[i+1:]
}
