// Package documents holds the tests that keep the documents true: what they
// name is there, what they link to too, and README.md's programs run.
package documents

import (
	"fmt"
	"os"
	"testing"
)

// TestMain runs the tests in the root of the module, where the documents are.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
