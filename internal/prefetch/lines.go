//go:build amd64 || arm64

package prefetch

// Available reports whether Lines does something.
const Available = true

// Lines reads the cache line at a and the one behind it, and the one at b, into the
// cache. It does not wait for that, and takes any address: where there is no memory it
// does nothing.
//
//go:noescape
func Lines(a, b uintptr)
