package prefetch_test

import (
	"testing"
	"unsafe"

	"tstun/internal/prefetch"
)

// TestLines: no address is wrong, also none that nobody has.
func TestLines(t *testing.T) {
	x := new([3 * prefetch.LineSize]byte)
	at := uintptr(unsafe.Pointer(x))
	for _, a := range []uintptr{0, 1, at, at + 1, 1 << 20, ^uintptr(0), ^uintptr(0) - prefetch.LineSize} {
		prefetch.Lines(a, at)
		prefetch.Lines(at, a)
	}
	if *x != [3 * prefetch.LineSize]byte{} {
		t.Error("it wrote")
	}
}
