package netns

import (
	"errors"
	"io/fs"
)

// TB is what New needs of a *testing.T, so that this package does not pull
// package testing into programs.
type TB interface {
	Helper()
	Cleanup(func())
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// New is Create for a test: the namespace is closed at its end, and the test
// is skipped, with the reason, where namespaces cannot be made.
func New(t TB) *NS {
	t.Helper()
	n, err := Create()
	if unavailable(err) {
		t.Skipf("needs root on Linux: %v", err)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Fatalf("close network namespace: %v", err)
		}
	})
	return n
}

// unavailable tells a system without namespaces, or without the right to make
// them, from a failure.
func unavailable(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission)
}
