//go:build race

// Package race says whether the race detector is on, as the standard library's
// own package of this name does.
package race

// Enabled reports whether the race detector is on: it allocates, and makes
// everything slower.
const Enabled = true
