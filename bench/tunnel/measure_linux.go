package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"tstun/bench/report"
)

const (
	receiver = 9                      // UDP port
	settle   = 100 * time.Millisecond // until the last packet is through
	gib      = 1 << 30

	othersBusy = "everything else busy"
)

// measures are the functions behind the names.
var measures = map[string]func(*trial) error{
	TCP:    func(t *trial) error { return t.tcp("TCP, one stream", t.b.inner.Addr(), 1) },
	TCP64:  func(t *trial) error { return t.tcp("TCP, 64 streams", t.b.inner.Addr(), 64) },
	VXLAN:  (*trial).vxlan,
	IperfU: (*trial).iperfUDP,
	UDP:    (*trial).udpSizes,
	Rates:  (*trial).udpRates,
	Ping:   (*trial).ping,
	Lone:   (*trial).lone,
	Inject: (*trial).inject,
}

// trial is one round of one kind: its tunnel is up.
type trial struct {
	*lab
	ctx    context.Context
	part   string // of the report
	kind   string
	report *report.Report
}

func (t *trial) add(measure, quantity, unit string, better report.Better, value float64) {
	t.report.Add(report.Series{
		Part: t.part, Measure: measure, Quantity: quantity, Kind: t.kind, Unit: unit, Better: better,
	}, value)
}

// nodesUsage returns what each end has used so far.
func (t *trial) nodesUsage() (used [2]usage, err error) {
	for i, s := range t.sides() {
		r, askErr := s.node.ask(request{Do: doUsage})
		used[i], err = r.usage, errors.Join(err, askErr)
	}
	return used, err
}

// watched runs f and returns what each end used meanwhile, and the share of the
// machine's processor time that everybody took.
func (t *trial) watched(f func() error) (used [2]usage, busy float64, err error) {
	before, err := t.nodesUsage()
	if err != nil {
		return used, 0, err
	}
	machine := readMachine()
	if err := f(); err != nil {
		return used, 0, err
	}
	busy = machine.busySince()
	after, err := t.nodesUsage()
	for i := range used {
		used[i] = after[i].sub(before[i])
	}
	return used, busy, err
}

// addBusy says who was how busy, in percent of one core, and the machine in
// percent of all. What is left is other programs, and what the kernel does on
// nobody's account.
func (t *trial) addBusy(measure string, took time.Duration, sender, receiver time.Duration, nodes [2]usage, machine float64) {
	others := 100 * machine * float64(runtime.NumCPU())
	for _, who := range []struct {
		name string
		cpu  time.Duration
	}{{"sender", sender}, {"sending node", nodes[0].CPU}, {"receiving node", nodes[1].CPU}, {"receiver", receiver}} {
		busy := 100 * who.cpu.Seconds() / took.Seconds()
		t.add(measure, who.name+" busy", "% of a core", report.Neither, busy)
		others -= busy
	}
	t.add(measure, othersBusy, "% of a core", report.Neither, max(0, others))
	t.add(measure, "machine busy", "%", report.Neither, 100*machine)
}

func (t *trial) tcp(measure string, to netip.Addr, streams int) error {
	var got transfer
	nodes, busy, err := t.watched(func() (err error) {
		got, err = t.iperf(t.ctx, to, "-P", strconv.Itoa(streams))
		return err
	})
	if err != nil {
		return err
	}
	t.add(measure, "throughput", "Gbit/s", report.More, got.bitsPerSecond/1e9)
	t.add(measure, "processor time of both nodes", "s/GiB", report.Less, nodes[0].add(nodes[1]).CPU.Seconds()/(got.bytes/gib))
	t.addBusy(measure, got.took, got.client, got.server, nodes, busy)
	return nil
}

// iperfUDP is UDP as iperf3 sends it: a packet for each system call, as fast as it can.
func (t *trial) iperfUDP() error {
	const measure = "UDP, 200 bytes, by iperf3"
	var got transfer
	nodes, busy, err := t.watched(func() (err error) {
		got, err = t.iperf(t.ctx, t.b.inner.Addr(), "-u", "-b", "0", "-l", "200")
		return err
	})
	if err != nil {
		return err
	}
	t.add(measure, "received", "packets/s", report.More, got.packets/got.took.Seconds())
	t.add(measure, "offered", "packets/s", report.Neither, got.sent/got.took.Seconds())
	t.add(measure, "processor time of both nodes", "µs/packet", report.Less, nodes[0].add(nodes[1]).CPU.Seconds()*1e6/got.packets)
	t.addBusy(measure, got.took, got.client, got.server, nodes, busy)
	return nil
}

func (t *trial) udpSizes() error {
	for _, size := range t.cfg.Sizes {
		measure := fmt.Sprintf("UDP, %d bytes, full rate", size)
		f, err := t.oneWay(t.a.driver, request{Do: doSend, Size: size})
		if err != nil {
			return err
		}
		t.add(measure, "received", "packets/s", report.More, f.perSecond(f.got.Packets))
		t.add(measure, "offered", "packets/s", report.Neither, f.perSecond(f.sent.Packets))
		t.addFlow(measure, f)
	}
	return nil
}

func (t *trial) udpRates() error {
	for _, rate := range t.cfg.Rates {
		measure := fmt.Sprintf("UDP, 200 bytes, %s packets/s offered", report.Figure(float64(rate)))
		f, err := t.oneWay(t.a.driver, request{Do: doSend, Size: 200, Rate: rate})
		if err != nil {
			return err
		}
		t.add(measure, "lost", "%", report.Less, 100*max(0, 1-float64(f.got.Packets)/float64(f.sent.Packets)))
		t.add(measure, "offered", "packets/s", report.Neither, f.perSecond(f.sent.Packets))
		t.addFlow(measure, f)
	}
	return nil
}

// inject is left out for the bare tunnel, which has nothing to inject into.
func (t *trial) inject() error {
	if t.kind == Bare {
		return nil
	}
	const measure = "UDP, 200 bytes, injected, full rate"
	f, err := t.oneWay(t.a.node, request{Do: doInject, Size: 200})
	if err != nil {
		return err
	}
	t.add(measure, "received", "packets/s", report.More, f.perSecond(f.got.Packets))
	t.add(measure, "injected", "packets/s", report.Neither, f.perSecond(f.sent.Packets))
	t.add(measure, "refused, queue full", "times/s", report.Neither, f.perSecond(f.sent.Refused))
	t.addFlow(measure, f)
	return nil
}

// flow is what is known of UDP packets from one program to another.
type flow struct {
	sent, got        reply
	sender, receiver time.Duration // processor time
	nodes            [2]usage
	machine          float64
}

func (f flow) perSecond(packets int) float64 { return float64(packets) / f.sent.Took.Seconds() }

// oneWay has by send packets to a receiver in b.
func (t *trial) oneWay(by *process, req request) (f flow, err error) {
	req.To, req.For = netip.AddrPortFrom(t.b.inner.Addr(), receiver), t.cfg.Time/3
	before, err := by.ask(request{Do: doUsage})
	if err != nil {
		return f, err
	}
	began, err := t.b.driver.ask(request{Do: doReceive, To: req.To})
	if err != nil {
		return f, err
	}
	f.nodes, f.machine, err = t.watched(func() (err error) {
		f.sent, err = by.ask(req)
		return err
	})
	time.Sleep(settle)
	var stopErr error
	f.got, stopErr = t.b.driver.ask(request{Do: doStop})
	if err := errors.Join(err, stopErr); err != nil {
		return f, err
	}
	if f.got.Packets == 0 {
		return f, fmt.Errorf("of %d packets none was received", f.sent.Packets)
	}
	f.receiver = f.got.CPU - began.CPU
	if by != t.a.node { // else it is the node's
		f.sender = f.sent.CPU - before.CPU
	}
	return f, nil
}

// addFlow adds what shows who was the bottleneck.
func (t *trial) addFlow(measure string, f flow) {
	t.add(measure, "dropped by the receiver's socket", "packets", report.Neither, float64(f.got.Dropped))
	t.addBusy(measure, f.sent.Took, f.sender, f.receiver, f.nodes, f.machine)
}

func (t *trial) ping() error {
	return t.roundTrips("UDP round trip, one at a time", t.cfg.Pings, 0)
}

// spacings are the intervals of lone, and by how much fewer round trips there
// are than of ping.
var spacings = []struct {
	every time.Duration
	fewer int
}{{2 * time.Millisecond, 1}, {20 * time.Millisecond, 8}}

// lone makes round trips that are far enough apart for everybody to go to sleep
// between them.
func (t *trial) lone() error {
	for _, s := range spacings {
		measure := fmt.Sprintf("UDP round trip, one in %v", s.every)
		if err := t.roundTrips(measure, max(1, t.cfg.Pings/s.fewer), s.every); err != nil {
			return err
		}
	}
	return nil
}

// roundTrips makes n round trips, one in each interval.
func (t *trial) roundTrips(measure string, n int, every time.Duration) error {
	var r reply
	used, _, err := t.watched(func() (err error) {
		r, err = t.pings(n, every)
		return err
	})
	if err != nil {
		return err
	}
	if r.Packets == 0 {
		return errors.New("no round trip was completed")
	}
	nodes := used[0].add(used[1])
	t.add(measure, "processor time, both nodes", "µs/ping", report.Less, float64(nodes.CPU)/1e3/float64(n))
	t.add(measure, "switches, both nodes", "1/ping", report.Less, float64(nodes.Switches)/float64(n))
	t.add(measure, "median", "µs", report.Less, float64(r.Median)/1e3)
	t.add(measure, "99th percentile", "µs", report.Less, float64(r.P99)/1e3)
	t.add(measure, "lost", "round trips", report.Neither, float64(r.Lost))
	return nil
}
