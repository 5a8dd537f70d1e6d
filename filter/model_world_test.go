package filter_test

import (
	"fmt"
	"net/netip"
	"time"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// The model's peers: two that are honest, and two that send anything. Those
// with IPv6 have a /64 each.
const (
	honest4 = iota
	honest6
	hostile4
	hostile6
	modelPeers
)

var peerAddrs = [modelPeers]netip.Addr{
	honest4:  addr("100.64.0.2"),
	honest6:  addr("fd7a:0:0:1::1"),
	hostile4: addr("100.64.0.3"),
	hostile6: addr("fd7a:0:0:2::1"),
}

func isHostile(peer uint8) bool { return peer >= hostile4 }

// apiPort is what PeerAPIPort lets SYNs through to, where that is set.
const apiPort = 8080

var (
	hostPorts = []uint16{53, 80, apiPort, 4000, 4001} // three services, two of clients
	peerPorts = []uint16{53, 443, 5000, 5001}
)

func isService(port uint16) bool { return port < 4000 || port == apiPort }

// Who asks, in place of a ping's port.
const (
	askedByHost = 1
	askedByPeer = 2
)

// flowName names a flow: what one side begins and the other answers. For pings
// host is the identifier and port says who asks. addr tells the addresses of
// an IPv6 peer apart.
type flowName struct {
	proto      ipproto.Proto
	peer       uint8
	addr       uint16
	host, port uint16
}

func (k flowName) peerAddr() netip.Addr {
	a := peerAddrs[k.peer]
	if k.addr == 0 || a.Is4() {
		return a
	}
	b := a.As16()
	b[12], b[13] = byte(k.addr>>8), byte(k.addr)
	return netip.AddrFrom16(b)
}

func (k flowName) hostAddr() netip.Addr {
	if peerAddrs[k.peer].Is4() {
		return addr(host4)
	}
	return addr(host6)
}

func (k flowName) ends() pair {
	return pair{netip.AddrPortFrom(k.hostAddr(), k.host), netip.AddrPortFrom(k.peerAddr(), k.port)}
}

// packet returns a packet of the flow in either direction. For a ping it is
// the request if it comes from who asks, else the response.
func (k flowName) packet(outward bool, s tcpSegment) []byte {
	e := k.ends()
	src, dst := e.peer, e.host
	if outward {
		src, dst = dst, src
	}
	switch {
	case k.proto == ipproto.TCP:
		h := packet.TCPHeader{Src: src, Dst: dst, Flags: s.flags, Seq: uint32(s.seq), Ack: uint32(s.ack), Window: tcpWindow}
		return packet.Generate(h, make([]byte, s.data))
	case k.proto == ipproto.UDP:
		return packet.Generate(packet.UDPHeader{Src: src, Dst: dst}, make([]byte, 40))
	case k.proto == ipproto.SCTP:
		return craft.SCTP(src, dst)
	case k.proto.IsICMP():
		typ4, typ6 := byte(8), byte(128)
		if outward != (k.port == askedByHost) {
			typ4, typ6 = 0, 129
		}
		return craft.ICMP(src.Addr(), dst.Addr(), typ4, typ6, 0, echoRest(k.host), nil)
	}
	return plain(k.proto, src, dst)
}

func (k flowName) String() string {
	switch e := k.ends(); {
	case k.proto.IsICMP():
		who := map[uint16]string{askedByHost: "host", askedByPeer: "peer"}[k.port]
		return fmt.Sprintf("ping(%v, peer %v, id %d, asked by %s)", k.proto, e.peer.Addr(), k.host, who)
	default:
		return fmt.Sprintf("%v(host :%d, peer %v)", k.proto, k.host, e.peer)
	}
}

// modelConfig is what the program may change while packets flow.
type modelConfig struct {
	rules                       int // of modelRules
	keep, loose, shields, noSix bool
	peerAPI                     bool
}

func (c modelConfig) String() string {
	s := "rules " + modelRules[c.rules].name
	for _, setting := range []struct {
		name string
		on   bool
	}{{"Keep", c.keep}, {"LooseTCP", c.loose}, {"ShieldsUp", c.shields}, {"IPv4 alone", c.noSix}, {"PeerAPIPort", c.peerAPI}} {
		if setting.on {
			s += ", " + setting.name
		}
	}
	return s
}

var (
	allProtos = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6, ipproto.SCTP, ipproto.GRE}
	hostiles  = nets("100.64.0.3/32", "fd7a:0:0:2::/64")
	toHost    = to(filter.AllPorts, host4+"/32", host6+"/128")
)

var modelRules = []struct {
	name  string
	rules []filter.Match
}{
	{"none", nil},
	{"80", []filter.Match{rule(port(80))}},
	{"53 and 80", []filter.Match{rule(port(53)), rule(port(80))}},
	{"wide", []filter.Match{rule(filter.AllPorts, allProtos...)}},
	{"wide for the hostile", []filter.Match{{IPProto: allProtos, Srcs: hostiles, Dsts: toHost}}},
	{"TCP 80 for one", []filter.Match{{IPProto: allProtos[:1], Srcs: nets("100.64.0.2/32"), Dsts: to(port(80), host4+"/32")}}},
	{"clients' ports", []filter.Match{rule(filter.PortRange{First: 4000, Last: 4999})}},
	{"SCTP and GRE", []filter.Match{rule(filter.AllPorts, ipproto.SCTP, ipproto.GRE)}},
}

const forever = 1<<63 - 1

// era is a time in which one filter was in force, and until when.
type era struct {
	modelConfig
	until int64
}

// world is the host, its peers, the filter between them, and the truth about
// who began what.
type world struct {
	subject subject
	now     int64
	limits  filter.Limits // without zero fields

	modelConfig
	gen       int   // of filters, since the state was made
	base      int   // the last of them without Keep
	stateMade int64 // when its first packet came, or 0 if none has
	eras      []era // the last is in force
	jailed    [modelPeers]bool

	host, peers tcpEnd
	flows       map[flowName]*flowTruth
	mine        []flowName // of the host's, with some that are not any more
	datagrams   map[datagramName]*datagramTruth
	wire        []frame // between the peers' endpoints and the filter
	flooded     int     // flows

	failed *violation
	trace  func(format string, args ...any) // nil: silent
}

// violation is where the filter and the truth disagree.
type violation struct {
	kind, detail string
}

func (w *world) fail(kind, format string, args ...any) {
	if w.failed == nil {
		w.failed = &violation{kind, fmt.Sprintf(format, args...)}
	}
}

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace("        "+format, args...)
	}
}

// setup is what a history begins with.
type setup struct {
	modelConfig
	limits filter.Limits
}

func newWorld(s setup) *world {
	w := &world{
		now:         int64(time.Hour),
		limits:      withDefaults(s.limits),
		modelConfig: s.modelConfig,
		flows:       map[flowName]*flowTruth{},
		datagrams:   map[datagramName]*datagramTruth{},
	}
	w.host = tcpEnd{now: &w.now, conns: map[flowName]*tcb{}, send: w.hostSends}
	w.host.listens = func(k flowName) bool { return isService(k.host) }
	w.peers = tcpEnd{now: &w.now, conns: map[flowName]*tcb{}, send: w.peerSends}
	w.peers.listens = func(k flowName) bool { return k.port == 53 || k.port == 443 }
	w.restart()
	return w
}

// withDefaults fills in the zero fields as Limits documents them.
func withDefaults(l filter.Limits) filter.Limits {
	for _, f := range []struct {
		n   *int
		def int
	}{
		{&l.Flows, filter.DefaultFlows}, {&l.Fragments, filter.DefaultFragments},
	} {
		if *f.n == 0 {
			*f.n = f.def
		}
	}
	for _, f := range []struct {
		n   *int
		def int
	}{
		{&l.TCP, l.Flows}, {&l.UDP, l.Flows}, {&l.ICMP, max(l.Flows/8, 1)}, {&l.Other, max(l.Flows/4, 1)},
	} {
		if *f.n == 0 {
			*f.n = f.def
		}
	}
	for _, f := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&l.TCPEstablished, filter.DefaultTCPEstablished}, {&l.TCPTransitory, filter.DefaultTCPTransitory},
		{&l.UDPUnreplied, filter.DefaultUDPUnreplied}, {&l.UDPReplied, filter.DefaultUDPReplied},
		{&l.SCTP, filter.DefaultSCTP}, {&l.ICMPEcho, filter.DefaultICMPEcho},
		{&l.OtherIdle, filter.DefaultOther}, {&l.Fragment, filter.DefaultFragment},
	} {
		if *f.d == 0 {
			*f.d = f.def
		}
	}
	return l
}

func (w *world) filterConfig() filter.Config {
	c := filter.Config{
		Matches: modelRules[w.rules].rules, Local: nets(host4+"/32", host6+"/128"),
		Keep: w.keep, LooseTCP: w.loose, ShieldsUp: w.shields, Limits: w.limits,
	}
	if w.noSix {
		c.Local = c.Local[:1]
	}
	return c
}

// swap puts other rules in force, over the same state.
func (w *world) swap(next modelConfig) {
	w.logf("%v", next)
	w.eras = append(w.eras, era{next, forever})
	w.modelConfig = next
	w.gen++
	if !w.keep {
		w.base = w.gen
	}
	for k, t := range w.flows {
		t.rulesChanged(w, k)
	}
	c := w.filterConfig()
	c.State = w.subject.f.State()
	w.make(c)
}

// restart is a new start of the program, with the same rules and without the
// state.
func (w *world) restart() {
	w.eras = append(w.eras, era{w.modelConfig, forever})
	w.gen, w.base, w.stateMade = 1, 1, 0
	for _, t := range w.flows {
		t.restarted()
	}
	clear(w.datagrams)
	w.make(w.filterConfig())
}

// tick notes the time of a packet, which is all that a filter knows of time:
// to it, the rules before its own were in force until its first packet came.
// With Keep, flows that they let in go on, so they are not over.
func (w *world) tick() {
	if w.stateMade == 0 {
		w.stateMade = w.now
	}
	for i := len(w.eras) - 2; i >= 0 && !w.keep && w.eras[i].until == forever; i-- {
		w.eras[i].until = w.now
	}
}

// sinceState returns how long the state has been in use.
func (w *world) sinceState() int64 { return w.now - w.stateMade }

func (w *world) make(c filter.Config) {
	if err := w.subject.replace(c, w.now); err != nil {
		w.fail("configuration", "%v", err)
	}
}

// opens reports whether the rules of c, shields included, let the peer open the
// flow, if it is for a local address.
func (w *world) opens(c modelConfig, k flowName) bool {
	return !c.shields && w.matches(c, k)
}

func (w *world) matches(c modelConfig, k flowName) bool {
	if k.proto.IsICMP() && k.port == askedByHost {
		return false
	}
	host, port := k.hostAddr(), k.host
	return naiveMatch(modelRules[c.rules].rules, k.proto, k.peerAddr(), host, port)
}

func (w *world) isLocal(c modelConfig, k flowName) bool { return !c.noSix || k.hostAddr().Is4() }

// allowed reports whether the peer may open the flow now, but for jail.
func (w *world) allowed(k flowName) bool { return w.opens(w.modelConfig, k) }

// openedSince reports whether rules that were in force at any time since from
// let the peer open the flow, shields or not.
func (w *world) openedSince(k flowName, from int64) bool {
	for i := len(w.eras) - 1; i >= 0 && w.eras[i].until >= from; i-- {
		if w.matches(w.eras[i].modelConfig, k) {
			return true
		}
	}
	return false
}

// openedUnderState reports whether a filter since the state was made let the
// peer open the flow.
func (w *world) openedUnderState(k flowName) bool {
	for _, e := range w.eras[len(w.eras)-w.gen:] {
		if w.opens(e.modelConfig, k) {
			return true
		}
	}
	return false
}
