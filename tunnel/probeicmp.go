package tunnel

import (
	"fmt"

	"tstun/ipproto"
	"tstun/packet"
)

// icmpWord is what an ICMP error says, by IP version, type and code.
type icmpWord struct{ version, typ, code uint8 }

const (
	portUnreachable = "port-unreachable"
	prohibited      = "admin-prohibited"
)

// icmpWords are the errors that have a name: RFC 792, RFC 1122 §3.2.2.1, RFC 1812
// §5.2.7.1; RFC 4443 §3.1 and §3.3.
var icmpWords = map[icmpWord]string{
	{4, 3, 0}: "net-unreachable", {4, 3, 1}: "host-unreachable", {4, 3, 2}: "protocol-unreachable", {4, 3, 3}: portUnreachable,
	{4, 3, 9}: prohibited, {4, 3, 10}: prohibited, {4, 3, 13}: prohibited, {4, 11, 0}: "time-exceeded",
	{6, 1, 0}: "net-unreachable", {6, 1, 1}: prohibited, {6, 1, 3}: "host-unreachable", {6, 1, 4}: portUnreachable,
	{6, 1, 5}: prohibited, {6, 1, 6}: "net-unreachable", {6, 3, 0}: "time-exceeded",
}

// icmpOutcome returns what an ICMP error means for a flow of a protocol. Of UDP, a port
// that is not reached has no socket; of TCP a host sends a reset for that, so the error is
// a firewall's.
func icmpOutcome(k *packet.Parsed, proto ipproto.Proto) (Outcome, string) {
	typ, code := k.ICMP()
	word, known := icmpWords[icmpWord{k.IPVersion, typ, code}]
	switch {
	case !known:
		return OutcomeUnreachable, fmt.Sprintf("icmp-%d-%d", typ, code)
	case word == portUnreachable && proto == ipproto.UDP:
		return OutcomeClosed, ""
	case word == prohibited, word == portUnreachable:
		return OutcomeRejected, word
	}
	return OutcomeUnreachable, word
}
