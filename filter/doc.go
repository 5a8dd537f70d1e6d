// Package filter decides which packets pass between peers and the host.
//
// Rules allow flows that peers open; what no rule allows is refused. Flows
// that the host opens are always allowed, and so are the answers to them: the
// filter keeps state for TCP, UDP, SCTP, pings and protocols without ports.
//
// An inbound packet is judged in this order; the first step that has an
// answer gives it:
//
//  1. its form: what package packet could not decode is dropped;
//  2. its addresses: multicast, link-local, mapped and martian ones are
//     dropped unless Config.Permit lets them be;
//  3. its destination, which must be in Config.Local;
//  4. later fragments follow the verdict on the first one;
//  5. an open flow that it belongs to: it passes;
//  6. the flow that it speaks about: ICMP errors, echo replies and TSMP
//     rejections pass if that is open, and are dropped if not;
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
// TCP is followed without looking at sequence numbers: by SYN, FIN and RST.
// A segment without a flow is judged by the rules like a new flow if it is
// inbound, and opens one as the host's if it is outbound and no RST, so that
// connections survive a restart of the program.
//
// Time is nanoseconds of any clock that the caller keeps to.
package filter
