package filter

import (
	"fmt"
	"time"
)

// Defaults of Limits.
const (
	DefaultFlows     = 1 << 18
	DefaultFragments = 4096

	// DefaultTCPEstablished is the least that RFC 5382 REQ-5 allows.
	DefaultTCPEstablished = 2*time.Hour + 4*time.Minute
	// DefaultTCPTransitory is the least that RFC 5382 REQ-5 allows.
	DefaultTCPTransitory = 4 * time.Minute
	// DefaultUDPUnreplied is the least that RFC 4787 REQ-5 allows.
	DefaultUDPUnreplied = 2 * time.Minute
	// DefaultUDPReplied is what RFC 4787 REQ-5 recommends.
	DefaultUDPReplied = 5 * time.Minute
	// DefaultSCTP is several times the heartbeat interval of RFC 9260 §16.
	DefaultSCTP = 10 * time.Minute
	// DefaultICMPEcho is the least that RFC 5508 REQ-2 allows.
	DefaultICMPEcho = 60 * time.Second
	// DefaultOther is for protocols without ports, such as GRE and ESP.
	DefaultOther = 10 * time.Minute
	// DefaultPickup is as long as a connection may take to open or close, and
	// so longer than one that is in use is silent.
	DefaultPickup = 4 * time.Minute
	// DefaultFragment is the longest reassembly time in use: RFC 8200 §4.5,
	// and Linux's net.ipv6.ip6frag_time.
	DefaultFragment = 60 * time.Second
)

// maxIdle bounds the idle timeouts, far from where times overflow.
const maxIdle = 365 * 24 * time.Hour

// Limits bound the size of a State and the idle time of its entries. A zero field
// is its default. A State has the numbers of flows of the filter that made it; each
// filter uses its own timeouts.
type Limits struct {
	// Flows is the number of flows in all. A flow takes about 150 bytes while
	// the State holds it. At the limit, a new flow of the host's evicts another
	// one in this order, of equals the one longest unused: flows of peers that
	// are not in use both ways; other flows of peers; revoked ones; flows of
	// the host that are not in use both ways; the rest. A peer has a share,
	// alone half of all flows. Beyond it, its new flow evicts one of a peer
	// that has more, or of its own, in that order. If there is none, the State
	// refuses the flow, and the rules judge its packets one by one.
	Flows int
	// TCP, UDP, ICMP and Other bound the flows of these kinds: Other is
	// SCTP and all protocols without ports. Defaults: TCP and UDP up to
	// Flows, ICMP an eighth and Other a quarter of it.
	TCP, UDP, ICMP, Other int
	// Fragments is the number of fragmented datagrams that the State holds,
	// shared out among peers like Flows.
	Fragments int

	// TCPEstablished is for connections whose handshake is complete, until
	// both sides have sent FIN or the host has sent RST, and for revoked
	// ones. TCPTransitory is for those opening or closed (RFC 5382 REQ-5); if
	// it is shorter than the time after which TCP repeats a lost segment,
	// some connections do not open.
	TCPEstablished, TCPTransitory time.Duration
	// UDPUnreplied is for flows with packets of one direction only,
	// UDPReplied for those with both (RFC 4787 REQ-5).
	UDPUnreplied, UDPReplied time.Duration
	// SCTP is for SCTP flows.
	SCTP time.Duration
	// ICMPEcho is for pings and other ICMP queries (RFC 5508 REQ-2).
	ICMPEcho time.Duration
	// OtherIdle is for flows of protocols without ports.
	OtherIdle time.Duration
	// Pickup is for how long after the first packet of a State the host may
	// continue a TCP connection that the State does not hold and no rule
	// allows, so that connections survive a restart of the program. Such a
	// connection counts as one that the peer may have opened.
	Pickup time.Duration
	// Fragment is how long the verdict on a first fragment holds for those
	// that follow. It must not be shorter than the host's reassembly time.
	Fragment time.Duration
}

// replyTime is how long after the state lost a peer's flow, and after the end of
// the rule that let it in, the host's packets count as replies in it. After that
// they open a flow of the host's.
const replyTime = 10 * time.Minute

// remember returns how long losses and old rules are kept, in nanoseconds.
func (l *Limits) remember() int64 { return int64(max(replyTime, l.Pickup)) }

// withDefaults returns l with its zero fields filled in, or an error that
// names the field that is out of range.
func (l Limits) withDefaults() (Limits, error) {
	counts := []struct {
		name string
		n    *int
		def  int
	}{
		{"Flows", &l.Flows, DefaultFlows},
		{"TCP", &l.TCP, 0},
		{"UDP", &l.UDP, 0},
		{"ICMP", &l.ICMP, 0},
		{"Other", &l.Other, 0},
		{"Fragments", &l.Fragments, DefaultFragments},
	}
	for _, c := range counts {
		if *c.n < 0 {
			return l, fmt.Errorf("filter: Limits.%s is %d, less than 0", c.name, *c.n)
		}
		if *c.n == 0 {
			*c.n = c.def
		}
	}
	if l.ICMP == 0 {
		l.ICMP = max(l.Flows/8, 1)
	}
	if l.Other == 0 {
		l.Other = max(l.Flows/4, 1)
	}
	times := []struct {
		name string
		d    *time.Duration
		def  time.Duration
	}{
		{"TCPEstablished", &l.TCPEstablished, DefaultTCPEstablished},
		{"TCPTransitory", &l.TCPTransitory, DefaultTCPTransitory},
		{"UDPUnreplied", &l.UDPUnreplied, DefaultUDPUnreplied},
		{"UDPReplied", &l.UDPReplied, DefaultUDPReplied},
		{"SCTP", &l.SCTP, DefaultSCTP},
		{"ICMPEcho", &l.ICMPEcho, DefaultICMPEcho},
		{"OtherIdle", &l.OtherIdle, DefaultOther},
		{"Pickup", &l.Pickup, DefaultPickup},
		{"Fragment", &l.Fragment, DefaultFragment},
	}
	for _, t := range times {
		if *t.d < 0 || *t.d > maxIdle {
			return l, fmt.Errorf("filter: Limits.%s is %v, not between 0 and %v", t.name, *t.d, maxIdle)
		}
		if *t.d == 0 {
			*t.d = t.def
		}
	}
	return l, nil
}
