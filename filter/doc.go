// Package filter decides which packets pass between peers and the host.
//
// Rules allow flows that peers open. All other flows of peers are refused. Flows that
// the host opens are always allowed, and so are the replies: the filter keeps state
// for TCP, UDP, SCTP, ICMP queries such as pings, and protocols without ports.
//
// An inbound packet is judged in these steps. The first one that decides gives the
// verdict:
//
//  1. form: what package packet could not decode is dropped;
//  2. addresses: multicast, link-local, mapped and martian ones are dropped unless
//     Config.Permit permits them;
//  3. destination: it must be in Config.Local;
//  4. fragments: later ones get the verdict on the first one; those that come before
//     it are dropped, unless the caller holds them back, see Awaits;
//  5. established: a packet of an open flow passes;
//  6. related: ICMP errors, replies to ICMP queries and TSMP rejections pass if the
//     flow that they are about is open, and are dropped if not;
//  7. Config.ShieldsUp and Jailed refuse new flows;
//  8. the rules.
//
// Outbound packets are judged by steps 1 and 2 only. Record then opens their flow, so
// that replies come in.
//
// When the rules change, a flow that a peer opened is judged again, at its first packet
// under a new Filter with the State of the old one. If the new rules do not allow it,
// the flow is revoked: the State holds it until it has been idle, so that packets that
// the host still sends in it do not open a flow of the host's. A SYN of either side
// ends that.
//
// # TCP
//
// TCP connections are tracked by SYN, FIN and RST, without sequence numbers. So the
// peer may send segments that the host ignores, and no segment of a peer's makes a
// connection expire earlier. A connection is established until both sides have sent FIN
// or the host has sent RST (RFC 5382 REQ-5). After a RST of the peer's, the host's next
// segment tells whether it goes on. When a connection has ended, neither the peer nor a
// RST of the host's prolongs it.
//
// Only the host's SYN opens a connection of the host's. The peer may reply to it with a
// SYN, also a repeated one, while it has sent nothing else (simultaneous open). The
// rules judge every other SYN of the peer's. One that they let into a connection of the
// host's does not end it. If the host then replies with a SYN-ACK, the connection is
// picked up, as described below. So is one whose SYN-ACK has another initial sequence
// number than the host's SYN: a listener has sent it.
//
// # Pickup
//
// The rules judge an inbound packet without a flow. An outbound one may be the host's
// reply in a flow of the peer's that the State lost: by eviction, by a timeout or with
// the program. A SYN and an ICMP query show that the host opens the flow. A SYN-ACK shows
// that the peer did, which the rules must allow. Any other packet opens
//
//   - a flow that is picked up, if the rules would let the peer open it. Either side may
//     have initiated it, so it is refused to jailed peers, and new rules cut it if they
//     would not let the peer open it;
//   - no flow, if rules of the last ten minutes would, and the State may have lost a
//     flow of that peer's in that time;
//   - otherwise a flow of the host's. TCP is picked up instead, and only shortly after
//     the first packet of the State, see Limits.Pickup, so that connections survive a
//     restart of the program.
//
// Security comes before continuity: a UDP flow of the host's that a wide rule would let
// the peer open is cut with that rule. The filter cannot recognise a reply that comes
// later than that, one after a restart under other rules, and one from another of the
// host's addresses than the peer sent to.
//
// # Limits
//
// State is bounded, and shared out among peers. Flows that peers opened, or may have
// opened, are evicted before flows of the host's. They evict neither those, nor flows of
// a peer that has less; see Limits.Flows.
//
// Times are nanoseconds of one clock, of the caller's choice.
package filter
