// Package policy reads the file in which people write what a filter is to
// allow, runs the tests in it, and says what a change of it changes. It reads
// packet filters of Tailscale and headscale, too.
//
// [Format] describes the file. It stands in format.txt in the source, and
// "tstun help policy" prints it.
//
// # Errors and notes
//
// Parse reports all errors of a file at once, each with its place: syntax,
// unknown names and keys, and rules that can allow nothing. Policy.Notes has
// what does nothing but spoils nothing: a source or destination among others
// that can never match, a rule that others cover, and what of a packet filter is
// passed over. Format says which is which.
//
// # Computing on sets
//
// Diff, Test and Notes compute on all addresses, protocols and ports without
// listing them. They cut these into classes that are in the same rules, so that
// their work grows with how many rules meet. It is bounded; ErrTooLarge says so.
package policy

import _ "embed" // for Format

// Format describes the form of a policy file, in plain text of 80 columns.
//
//go:embed format.txt
var Format string
