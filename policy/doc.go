// Package policy reads the file in which people write what a filter is to
// allow, runs the tests in it, and says what a change of it changes.
//
// Format describes the file; "tstun help policy" prints it too. Packet filters
// in the form that Tailscale and headscale hand to nodes are read as well.
package policy

import _ "embed" // for Format

// Format describes the policy file, as plain text of at most 80 columns for
// people. The example in it is behind a tab.
//
//go:embed format.txt
var Format string
