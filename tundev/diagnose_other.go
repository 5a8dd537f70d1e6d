//go:build unix && !linux

package tundev

// foreignNetwork is of Linux alone.
func foreignNetwork() (foreign, known bool) { return false, false }

// linkByName is of Linux alone.
func linkByName(string) (l linkFacts, known bool) { return linkFacts{}, false }
