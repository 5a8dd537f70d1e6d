// Package filter decides which packets pass between peers and the host.
//
// Rules allow flows that peers open; what no rule allows is refused. Flows
// that the host opens are always allowed, and so are the answers to them: the
// filter keeps state for TCP, UDP, SCTP, ICMP queries such as pings, and
// protocols without ports.
//
// An inbound packet is judged in this order; the first step that has an
// answer gives it:
//
//  1. its form: what package packet could not decode is dropped;
//  2. its addresses: multicast, link-local, mapped and martian ones are
//     dropped unless Config.Permit lets them be;
//  3. its destination, which must be in Config.Local;
//  4. later fragments follow the verdict on the first one; those that come
//     before it are dropped, unless the caller holds them back, see Awaits;
//  5. an open flow that it belongs to: it passes;
//  6. the flow that it speaks about: ICMP errors, replies to ICMP queries and
//     TSMP rejections pass if that is open, and are dropped if not;
//  7. Config.ShieldsUp and Jailed refuse what is new;
//  8. the rules.
//
// Outbound packets are judged by steps 1 and 2 only; Record then opens the
// way for the answers.
//
// A flow that a peer opened is judged anew when the rules change: its first
// packet under a new Filter that took over the State of the old one decides.
// If the new rules do not allow it, it is remembered as revoked until it has
// been idle, so that what the host still sends in it does not look like a
// flow that the host opens. A new connection attempt (TCP SYN) of either
// side ends that.
//
// # TCP
//
// TCP is followed without looking at sequence numbers: by SYN, FIN and RST.
// So the peer may send what the host ignores, and what it sends alone proves
// nothing: no segment of a peer's shortens the life of a connection. A
// connection is established until both sides have sent FIN or the host has
// sent RST (RFC 5382 REQ-5); after a RST of the peer's the next segment of
// the host's tells whether it goes on. When it is over, neither the peer nor
// a RST of the host's prolongs it. A connection begins as the host's with the
// host's SYN only, and only that can be answered by a SYN, if nothing else has
// answered it (simultaneous open); every other SYN of the peer's is for the
// rules. One that they let into a connection of the host's does not end it,
// but if the host then grants it by a SYN-ACK, the connection counts as
// adopted, which see.
//
// A segment without a flow is judged by the rules like a new flow if it is
// inbound. If it is outbound and neither SYN nor RST, it opens one that is
// adopted, so that connections survive a restart of the program. Security
// comes before continuity there: who opened an adopted flow is not known, so
// it is refused to jailed peers, and cut by new rules that would not let the
// peer open it. An outbound SYN-ACK says that the peer opened the connection:
// it opens or goes on with such a flow only if the rules allow it.
//
// # Limits
//
// State is bounded. Flows that peers opened are evicted before flows of the
// host, and evict none of them; see Limits.Flows. A UDP flow that was
// forgotten, for lack of room or for its age, is a new one for whoever uses it
// next; so an answer of the host's to a packet of long ago opens a flow of the
// host's.
//
// Time is nanoseconds of any clock that the caller keeps to.
package filter
