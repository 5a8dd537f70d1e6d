// Package prefetch has the processor read memory before it is needed, where the
// instruction for that is known. Go has none.
package prefetch

// LineSize is the length in bytes of a cache line of most processors.
const LineSize = 64
