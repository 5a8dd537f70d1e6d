// Package flow holds the key that names a flow and a bounded table of flows.
//
// A flow is a 5-tuple and its reverse. Its [Key] is written from the host's
// point of view, so that the packets of both directions have the same key:
// [In] makes it from an inbound packet, [Out] from an outbound one.
//
// A [Table] maps keys to values of any pointer-free type. It is bounded,
// split into shards with a lock each, keeps its entries where the garbage
// collector need not look, forgets idle entries a few at a time,
// and when it is full it either gives up its least valuable entry or refuses
// the new one. Entries are charged to peers, each of which has a share. The filter keeps its connection state in one, the statistics
// keep their counters in another.
package flow
