// Package hostnet gives a tunnel's interface its place in the host's network:
// MTU, addresses, routes, and for a full tunnel the mark with its rules, a
// guard of nftables and src_valid_mark; last, DNS. It does what wg-quick(8)
// does by script, and undoes all of it.
//
// Set compares what is wanted with what the kernel has, and changes only what
// differs: a second Set with the same Config changes nothing, and mends what
// somebody took away in between.
//
// What a killed process leaves is found at the next New of the same interface:
// routes and rules by their protocol number, in every table; the guard by its
// name; the rest by a journal, which is written before each change.
//
// Linux alone has all this. Elsewhere New returns errors.ErrUnsupported with a
// sentence.
package hostnet
