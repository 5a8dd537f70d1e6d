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
// host's SYN only, and only that can be answered by a SYN, also a repeated one, if
// nothing else has answered it (simultaneous open); every other SYN of the
// peer's is for the rules. One that they let into a connection of the host's
// does not end it, but if the host then grants it by a SYN-ACK, the connection
// counts as adopted, which see; so does one whose SYN-ACK has another initial
// sequence number than the host's SYN, since a listener has sent it.
//
// # Who began it
//
// An inbound packet without a flow is judged by the rules. An outbound one may
// be the host's answer to a flow of the peer's that was forgotten, for lack of
// room, for its age or with the program. A SYN and a query of ICMP's say that
// the host begins, a SYN-ACK that the peer did, which the rules have to allow.
// Any other packet opens
//
//   - a flow that is adopted, if the rules would let the peer open it: either
//     side may have begun it, so it is refused to jailed peers and cut by new
//     rules that would not let the peer open it;
//   - none, if rules of the last ten minutes would, and a flow of that peer's
//     may have been forgotten in that time;
//   - otherwise a flow of the host's; of TCP an adopted one, and only shortly
//     after the State was made, see Limits.Pickup, so that connections survive
//     a restart of the program.
//
// Security comes before continuity: a UDP flow of the host's that a wide rule
// would let the peer open is cut with that rule. What cannot be known is an
// answer that comes later than that, one over a restart under other rules, and
// one from another of the host's addresses than was asked.
//
// # Limits
//
// State is bounded, and shared out among peers. Flows that peers opened, or may
// have opened, are evicted before flows of the host, and evict none of them, nor
// those of a peer that has less; see Limits.Flows.
//
// Time is nanoseconds of any clock that the caller keeps to.
package filter
