package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tstun/bench/report"
)

const (
	receiver = 9                      // UDP port
	settle   = 100 * time.Millisecond // until the last packet is through
	gib      = 1 << 30
)

// measures are the functions behind the names.
var measures = map[string]func(*trial) error{
	TCP:    func(t *trial) error { return t.tcp("TCP, one stream", 1) },
	TCP64:  func(t *trial) error { return t.tcp("TCP, 64 streams", 64) },
	UDP:    (*trial).udpSizes,
	Rates:  (*trial).udpRates,
	Ping:   (*trial).ping,
	Inject: (*trial).inject,
}

// trial is one round of one kind: its tunnel is up.
type trial struct {
	*lab
	ctx    context.Context
	kind   string
	report *report.Report
}

func (t *trial) add(measure, quantity, unit string, better report.Better, value float64) {
	t.report.Add(report.Series{
		Part: report.Tunnel, Measure: measure, Quantity: quantity, Kind: t.kind, Unit: unit, Better: better,
	}, value)
}

// nodesCPU returns the processor time that each end has used so far.
func (t *trial) nodesCPU() (cpu [2]time.Duration, err error) {
	for i, s := range t.sides() {
		r, askErr := s.node.ask(request{Do: doUsage})
		cpu[i], err = r.CPU, errors.Join(err, askErr)
	}
	return cpu, err
}

// watched runs f and returns the processor time that each end took meanwhile,
// and the share of the machine's that everybody took.
func (t *trial) watched(f func() error) (cpu [2]time.Duration, busy float64, err error) {
	before, err := t.nodesCPU()
	if err != nil {
		return cpu, 0, err
	}
	machine := readMachine()
	if err := f(); err != nil {
		return cpu, 0, err
	}
	busy = machine.busySince()
	after, err := t.nodesCPU()
	for i := range cpu {
		cpu[i] = after[i] - before[i]
	}
	return cpu, busy, err
}

// addBusy says who was how busy, in percent of one core, and the machine in
// percent of all.
func (t *trial) addBusy(measure string, took time.Duration, sender, receiver time.Duration, nodes [2]time.Duration, machine float64) {
	for _, who := range []struct {
		name string
		cpu  time.Duration
	}{{"sender", sender}, {"sending node", nodes[0]}, {"receiving node", nodes[1]}, {"receiver", receiver}} {
		t.add(measure, who.name+" busy", "% of a core", report.Neither, 100*who.cpu.Seconds()/took.Seconds())
	}
	t.add(measure, "machine busy", "%", report.Neither, 100*machine)
}

func (t *trial) tcp(measure string, streams int) error {
	var got transfer
	nodes, busy, err := t.watched(func() (err error) {
		got, err = t.iperf(t.ctx, streams)
		return err
	})
	if err != nil {
		return err
	}
	t.add(measure, "throughput", "Gbit/s", report.More, got.bitsPerSecond/1e9)
	t.add(measure, "processor time of both nodes", "s/GiB", report.Less, (nodes[0]+nodes[1]).Seconds()/(got.bytes/gib))
	t.addBusy(measure, got.took, got.client, got.server, nodes, busy)
	return nil
}

func (t *trial) udpSizes() error {
	for _, size := range t.cfg.Sizes {
		measure := fmt.Sprintf("UDP, %d bytes, full rate", size)
		sent, got, err := t.udp(measure, request{Do: doSend, Size: size})
		if err != nil {
			return err
		}
		t.add(measure, "received", "packets/s", report.More, float64(got.Packets)/sent.Took.Seconds())
		t.add(measure, "offered", "packets/s", report.Neither, float64(sent.Packets)/sent.Took.Seconds())
	}
	return nil
}

func (t *trial) udpRates() error {
	for _, rate := range t.cfg.Rates {
		measure := fmt.Sprintf("UDP, 200 bytes, %s packets/s offered", report.Figure(float64(rate)))
		sent, got, err := t.udp(measure, request{Do: doSend, Size: 200, Rate: rate})
		if err != nil {
			return err
		}
		t.add(measure, "lost", "%", report.Less, 100*max(0, 1-float64(got.Packets)/float64(sent.Packets)))
		t.add(measure, "offered", "packets/s", report.Neither, float64(sent.Packets)/sent.Took.Seconds())
	}
	return nil
}

// udp sends through the tunnel and returns what the sender and the receiver
// say.
func (t *trial) udp(measure string, req request) (sent, got reply, err error) {
	req.For = t.cfg.Time / 3
	return t.oneWay(measure, t.a.driver, req)
}

// oneWay has by send packets to the receiver in b.
func (t *trial) oneWay(measure string, by *process, req request) (sent, got reply, err error) {
	req.To = netip.AddrPortFrom(t.b.inner.Addr(), receiver)
	before, err := by.ask(request{Do: doUsage})
	if err != nil {
		return sent, got, err
	}
	began, err := t.b.driver.ask(request{Do: doReceive, To: req.To})
	if err != nil {
		return sent, got, err
	}
	nodes, busy, err := t.watched(func() (err error) {
		sent, err = by.ask(req)
		return err
	})
	time.Sleep(settle)
	got, stopErr := t.b.driver.ask(request{Do: doStop})
	if err := errors.Join(err, stopErr); err != nil {
		return sent, got, err
	}
	if got.Packets == 0 {
		return sent, got, fmt.Errorf("of %d packets none was received", sent.Packets)
	}
	sender := sent.CPU - before.CPU
	if by == t.a.node {
		sender = 0 // part of the node
	}
	t.addBusy(measure, sent.Took, sender, got.CPU-began.CPU, nodes, busy)
	t.add(measure, "dropped by the receiver's socket", "packets", report.Neither, float64(got.Dropped))
	return sent, got, nil
}

func (t *trial) ping() error {
	const measure = "UDP round trip, one at a time"
	r, err := t.pings(t.cfg.Pings)
	if err != nil {
		return err
	}
	if r.Packets == 0 {
		return errors.New("no round trip was completed")
	}
	t.add(measure, "median", "µs", report.Less, float64(r.Median)/1e3)
	t.add(measure, "99th percentile", "µs", report.Less, float64(r.P99)/1e3)
	t.add(measure, "lost", "round trips", report.Neither, float64(r.Lost))
	return nil
}

// inject is left out for the bare tunnel, which has nothing to inject into.
func (t *trial) inject() error {
	if t.kind == Bare {
		return nil
	}
	const measure = "injected UDP, 200 bytes, full rate"
	sent, got, err := t.oneWay(measure, t.a.node, request{Do: doInject, Size: 200, For: t.cfg.Time / 3})
	if err != nil {
		return err
	}
	t.add(measure, "received", "packets/s", report.More, float64(got.Packets)/sent.Took.Seconds())
	t.add(measure, "injected", "packets/s", report.Neither, float64(sent.Packets)/sent.Took.Seconds())
	t.add(measure, "refused, queue full", "times/s", report.Neither, float64(sent.Refused)/sent.Took.Seconds())
	return nil
}
