package e2e_test

import (
	"context"
	"flag"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/ipproto"
	"tstun/netlogtype"
)

var soakTime = flag.Duration("soak", 3*time.Second, "how long two nodes are kept under mixed traffic")

// TestSoak keeps two tunnelled kernels under mixed traffic while the whole
// configuration changes. Each lost packet is in a counter, counters and statistics
// agree, and neither memory nor descriptors grow.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	s.run(*soakTime / 4)
	s.settle()
	before := s.measure()
	s.run(*soakTime * 3 / 4)
	s.settle()
	s.wantFlat(before, s.measure())
	for _, side := range s.sides {
		side.check(t)
	}
}

// soak is the two ends of a tunnel.
type soak struct {
	t     *testing.T
	sides [2]*side
}

// side is one end, with the flows that the other end sends to it.
type side struct {
	*kernelNode
	name     string
	peer     *side
	flows    map[uint16]*arrivals // by source port
	start    losses
	before   uint64 // packets lost to s between the Wrappers before the start: those for nobody
	injected uint64 // packets that came in past the tunnel; owned by their sender

	pingers []*pinger
	servers []net.Listener

	mu          sync.Mutex // guards all below
	counts      netlogtype.Counts
	transferred int // connections
	refused     int // connections
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t}
	for i, addrs := range [][]netip.Addr{{host4, host6}, {peer4, peer6}} {
		s.sides[i] = &side{name: string(rune('a' + i)), kernelNode: newKernelNode(t, rig.TUNOfNew(t), addrs...)}
	}
	a, b := s.sides[0], s.sides[1]
	a.peer, b.peer = b, a
	rig.Join(t, a.Node, b.Node)
	for _, side := range s.sides {
		side.setRules(t, 0)
	}
	testKernelPing(t, a.kernelNode, b.kernelNode) // the handshake is done
	s.settle()
	for _, side := range s.sides {
		side.before = side.between()
		side.counts = side.passed()
		side.W.SetStatisticsEnabled(true)
		side.flows = make(map[uint16]*arrivals)
		for _, f := range flows {
			side.flows[f.port] = new(arrivals)
		}
		side.receive(t)
		side.pingers = side.newPingers(t)
		for i, addr := range side.Addrs {
			side.servers = append(side.servers, side.ListenTCP(t, netip.AddrPortFrom(addr, uint16(5210+i))))
		}
		side.start = side.losses(t)
	}
	return s
}

// run runs all tasks of both sides for d.
func (s *soak) run(d time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for _, side := range s.sides {
		for _, task := range side.tasks(s.t) {
			all.Go(func() { task(ctx) })
		}
	}
	all.Wait()
}

// settle waits until no packet has been counted for half a second.
func (s *soak) settle() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var before [2]uint64
	for quiet := 0; quiet < 5; quiet++ {
		<-tick.C
		var now [2]uint64
		for i, side := range s.sides {
			c := side.W.Counters()
			now[i] = c.In.Packets + c.Out.Packets + c.In.Dropped()
		}
		if now != before {
			quiet = 0
		}
		before = now
	}
	for _, side := range s.sides {
		side.extract()
	}
}

// footprint is how much the process has in use of what must not grow.
type footprint struct {
	heap, small             uint64 // bytes in use: in all, and in small objects
	goroutines, descriptors int
}

// measure measures what is in use when all flows are forgotten that can be.
func (s *soak) measure() footprint {
	for _, side := range s.sides {
		side.W.ExpireFlows()
	}
	for range 3 { // pools are emptied by the second collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine(), descriptors: rig.Descriptors(s.t)}
	for _, c := range m.BySize {
		f.small += (c.Mallocs - c.Frees) * uint64(c.Size)
	}
	return f
}

const (
	// smallRoom is how much small objects may vary. buffers is how much
	// wireguard-go's packet buffers may: they are of 64 KiB, and it holds some
	// hundred more at one time than at another.
	smallRoom, buffers = 1 << 20, 256 << 16
	// ended is how long the filter remembers a connection that has ended, and
	// forgotten how long a side does, that switches its statistics. perFlow is by how
	// much the memory for each may vary: a table is between an eighth and two thirds full.
	ended, forgotten, perFlow = time.Minute, 2 * time.Minute, 256
)

func (s *soak) wantFlat(before, after footprint) {
	s.t.Logf("after a quarter: %+v, at the end: %+v", before, after)
	room := uint64(smallRoom)
	for _, side := range s.sides { // each of whose connections the other one has as well
		remembered := float64(side.transferred+side.refused) * min(1, forgotten.Seconds()/soakTime.Seconds())
		room += 2 * perFlow * uint64(remembered)
	}
	if after.small > before.small+room || after.heap > before.heap+room+buffers {
		s.t.Errorf("from %d bytes, %d of them in small objects, the heap grew to %d and %d", before.heap, before.small, after.heap, after.small)
	}
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors {
		s.t.Errorf("from %d to %d goroutines, from %d to %d descriptors",
			before.goroutines, after.goroutines, before.descriptors, after.descriptors)
	}
}

// tasks returns what one side does at once.
func (s *side) tasks(t *testing.T) (tasks []func(context.Context)) {
	for _, f := range flows {
		tasks = append(tasks, s.sender(t, f))
	}
	for _, l := range s.peer.servers {
		tasks = append(tasks, func(ctx context.Context) { s.transfers(ctx, t, l) })
	}
	for _, p := range s.pingers {
		tasks = append(tasks, func(ctx context.Context) { p.ping(ctx, t) })
	}
	return append(tasks,
		func(ctx context.Context) { s.knock(ctx, t) },
		func(ctx context.Context) { every(ctx, 20*time.Millisecond, s.extract) },
		func(ctx context.Context) { s.swap(ctx, t) })
}

// swap changes the rules. At side b it also turns the statistics on and off.
func (s *side) swap(ctx context.Context, t *testing.T) {
	n := 0
	every(ctx, 30*time.Millisecond, func() {
		n++
		s.setRules(t, n)
		if s.name == "b" {
			s.W.SetStatisticsEnabled(n%3 != 0)
		}
	})
	s.W.SetStatisticsEnabled(true)
}

// setRules allows all traffic but that of knock, and a port that depends on n. Its
// timeouts are less than a quarter of a long test, and longer than TCP retransmits.
func (s *side) setRules(t *testing.T, n int) {
	state := s.W.GetFilter().State()
	if n == 0 {
		state = nil // the limits are those of a state
	}
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{
			rig.To(rig.Port(allowedPort), ipproto.UDP),
			rig.To(filter.PortRange{First: 5210, Last: 5211}, ipproto.TCP),
			rig.To(filter.AllPorts, ipproto.ICMPv4, ipproto.ICMPv6),
			rig.To(rig.Port(uint16(10_000+n%50)), ipproto.TCP, ipproto.UDP), // each is remembered for ten minutes
		},
		Local:  rig.Local(s.Addrs...),
		State:  state,
		Keep:   n%2 == 0,
		Limits: filter.Limits{TCPTransitory: ended, UDPUnreplied: 30 * time.Second, Fragment: 30 * time.Second},
	})
	if err != nil {
		t.Error(err)
		return
	}
	s.W.SetFilter(f)
}

// every calls f again and again until ctx is done.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if ctx.Err() == nil {
				f()
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *side) extract() {
	s.W.Counters()
	m := s.W.ExtractStatistics()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range m {
		s.counts = s.counts.Add(n)
	}
}

// losses are the packets that the system says it has lost.
type losses struct {
	tunOut   uint64 // packets for the TUN
	tunIn    uint64 // packets from the TUN
	stack    uint64 // in the stack and at the sockets of the host
	reasm    uint64 // datagrams of which a fragment was missing
	socket   uint64 // at WireGuard's socket
	backlogs uint64 // of the processors: loopback, between the WireGuard sockets
}

func (s *side) losses(t *testing.T) losses {
	t.Helper()
	k := s.Counters(t)
	l := losses{tunOut: k.Tx.Dropped, tunIn: k.Rx.Dropped, socket: s.socketDrops(t), backlogs: backlogDrops(t)}
	n := snmp(s.Run(t, "cat", "/proc/net/snmp", "/proc/net/snmp6"))
	l.stack = n["UdpInErrors"] + n["UdpMemErrors"] + n["Udp6InErrors"] + n["Udp6MemErrors"] + n["IpInDiscards"] + n["Ip6InDiscards"] +
		n["IpOutDiscards"] + n["Ip6OutDiscards"]
	l.reasm = n["IpReasmFails"] + n["Ip6ReasmFails"]
	return l
}

func (l losses) since(m losses) losses {
	return losses{l.tunOut - m.tunOut, l.tunIn - m.tunIn, l.stack - m.stack, l.reasm - m.reasm, l.socket - m.socket, l.backlogs - m.backlogs}
}

// snmp reads both of the kernel's forms: a line of names above a line of values, and
// lines of a name and a value.
func snmp(text string) map[string]uint64 {
	m := make(map[string]uint64)
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && !strings.HasSuffix(f[0], ":") {
			m[f[0]], _ = strconv.ParseUint(f[1], 10, 64)
			continue
		}
		if len(names) == 0 || names[0] != f[0] {
			names = f
			continue
		}
		for i := 1; i < len(f); i++ {
			m[strings.TrimSuffix(f[0], ":")+names[i]], _ = strconv.ParseUint(f[i], 10, 64)
		}
		names = nil
	}
	return m
}

// socketDrops returns how many packets WireGuard's own socket had no room for.
func (s *side) socketDrops(t *testing.T) (sum uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	suffix := ":" + strings.ToUpper(strconv.FormatInt(0x10000+int64(s.Port(t)), 16)[1:])
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); strings.HasSuffix(f[1], suffix) {
			n, _ := strconv.ParseUint(f[len(f)-1], 10, 64)
			sum += n
		}
	}
	return sum
}

func backlogDrops(t *testing.T) (sum uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		n, _ := strconv.ParseUint(strings.Fields(line)[1], 16, 64)
		sum += n
	}
	return sum
}

// perSocketBuffer is how many packets one loss between two WireGuard sockets can be:
// the kernel passes on in one piece what was sent with UDP GSO.
const perSocketBuffer = 128

// between returns how many packets to s went into the tunnel and did not come out.
func (s *side) between() uint64 {
	in := s.W.Counters().In
	return s.peer.W.Counters().Out.Packets - (in.Packets + in.Dropped() + in.Held - s.injected)
}

// passed returns what the Wrapper has counted as passed.
func (s *side) passed() netlogtype.Counts {
	c := s.W.Counters()
	return netlogtype.Counts{TxPackets: c.Out.Packets, TxBytes: c.Out.Bytes, RxPackets: c.In.Packets, RxBytes: c.In.Bytes}
}

// check compares what was sent to s with what arrived, and both with the counters.
func (s *side) check(t *testing.T) {
	in, between := s.W.Counters().In, s.between()-s.before
	here, there := s.losses(t).since(s.start), s.peer.losses(t).since(s.peer.start)
	t.Logf("to %s: lost %+v at the sender, %+v at the receiver, %d between the Wrappers\nin %+v\nout %+v",
		s.name, there, here, int64(between), in, s.W.Counters().Out)
	if between > perSocketBuffer*(here.socket+here.backlogs) {
		t.Errorf("to %s: %d packets are lost between the Wrappers, the sockets dropped %d", s.name, int64(between), here.socket+here.backlogs)
	}
	known := there.tunOut + there.stack + between + in.Drops[filter.ReasonDevice] + here.tunIn + here.stack
	var lost uint64
	for _, f := range flows {
		sent, came := s.flows[f.port].sent, s.flows[f.port].came.Load()
		t.Logf("to %s: %s: %d sent, %d lost", s.name, f.name, sent, int64(sent-came))
		lost += sent - came
		if came == 0 || came > sent {
			t.Errorf("to %s: %s: %d packets came of %d", s.name, f.name, came, sent)
		}
	}
	if lost > known {
		t.Errorf("to %s: %d packets did not come, %d are accounted for", s.name, lost, known)
	}
	t.Logf("to %s: %d lost of %d accounted for, with those of TCP", s.name, lost, known)
	for _, p := range s.pingers {
		lost := p.sent - p.got.came.Load()
		t.Logf("from %s: %d pings, %d lost", s.name, p.sent, int64(lost))
		if lost > known+there.tunIn+here.tunOut {
			t.Errorf("from %s: %d of %d pings are lost", s.name, int64(lost), p.sent)
		}
	}
	t.Logf("from %s: %d TCP transfers, %d refused connections", s.name, s.transferred, s.refused)
	if s.transferred == 0 || s.refused == 0 {
		t.Error("there should be some")
	}
	s.checkReasons(t, in.Drops, known > 0)
	s.checkStatistics(t)
}

// checkReasons checks that no packet was dropped that the rules allow.
func (s *side) checkReasons(t *testing.T, in map[filter.Reason]uint64, lossy bool) {
	t.Helper()
	for reason, n := range in {
		switch {
		case reason == filter.ReasonNoRule || reason == filter.ReasonDevice:
		case reason == filter.ReasonFragmentOrphan && lossy:
		default:
			t.Errorf("%s: %d inbound packets dropped: %v", s.name, n, reason)
		}
	}
	for reason, n := range s.W.Counters().Out.Drops {
		switch reason {
		case filter.ReasonMulticast, filter.ReasonLinkLocal: // of the kernel's own accord
		case filter.ReasonQueueFull: // the senders knew
		default:
			t.Errorf("%s: %d outbound packets dropped: %v", s.name, n, reason)
		}
	}
}

// checkStatistics checks that the sum of all extracts is what passed.
func (s *side) checkStatistics(t *testing.T) {
	t.Helper()
	passed, n := s.passed(), s.counts
	if s.name == "a" && n != passed {
		t.Errorf("a: extracted %+v, passed %+v", n, passed)
	}
	if n.TxPackets > passed.TxPackets || n.RxPackets > passed.RxPackets || n.TxBytes > passed.TxBytes || n.RxBytes > passed.RxBytes {
		t.Errorf("%s: extracted %+v, passed %+v", s.name, n, passed)
	}
}
