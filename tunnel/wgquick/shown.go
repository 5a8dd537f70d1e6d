package wgquick

import (
	"strconv"
	"strings"
)

const (
	// maxShown is how many bytes of a value an error shows.
	maxShown = 60
	// keyLike is how many characters of base64 in a row may be a good part of
	// a WireGuard key, which has 43 and a =. No number and no part of an
	// address is as long.
	keyLike = 20
)

// shown returns a value for an error: quoted, cut, and hidden if it may be a
// key in the wrong place.
func shown(value string) string {
	run := 0
	for _, r := range value {
		if run++; !isBase64(r) {
			run = 0
		}
		if run >= keyLike {
			return "(hidden)"
		}
	}
	if len(value) > maxShown {
		return strconv.Quote(strings.ToValidUTF8(value[:maxShown], "")) + "…"
	}
	return strconv.Quote(value)
}

func isBase64(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '+' || r == '/'
}
