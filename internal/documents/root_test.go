// Package documents holds the tests that keep the documents true: what they
// name is there, what they link to too, and README.md's programs run.
package documents

import "testing"

// inRoot makes the root of the module, where the documents are, the directory of
// a test. Not TestMain does that: go test notices what has changed, and runs the
// test again, only if the test itself changes the directory.
func inRoot(t *testing.T) {
	t.Helper()
	t.Chdir("../..")
}
