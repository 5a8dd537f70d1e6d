// Package flow holds the key that names a flow and a bounded table of flows.
//
// A flow is a 5-tuple and its reverse. Its [Key] is written from the host's
// point of view, so that the packets of both directions have the same key:
// [In] makes it from an inbound packet, [Out] from an outbound one.
//
// A [Table] maps keys to values of any pointer-free type. It is bounded and split
// into shards with a lock each. The garbage collector does not scan its entries.
// Idle entries expire a few at a time. A full table evicts the entry of the lowest
// priority, or refuses the new one. Entries are charged to peers, each of which has
// a share. A table may keep an account of each entry, of what its flow has carried: the
// filter's holds so both state and statistics.
package flow
