package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"tstun/bench/report"
)

// idle is how long a program does nothing before its memory is looked at.
const idle = time.Second

// CompareUp measures what the command tstun carries in kernel mode, beside a tunnel
// that is wired by hand. It behaves as Compare does.
func CompareUp(ctx context.Context, cfg Config, r *report.Report) error {
	cfg.Kinds, cfg.Only = []string{Tstun, Up}, []string{TCP, UDP}
	return Compare(ctx, cfg, r)
}

// ComparePrograms measures downloads by SOCKS5 through the command tstun, beside
// Copying, and how soon the command is up and how large. It behaves as Compare does.
func ComparePrograms(ctx context.Context, cfg Config, r *report.Report) error {
	if os.Geteuid() != 0 {
		return ErrNeedsRoot
	}
	l, err := newLab(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(l.compareStarts(ctx, r), l.close())
}

// compareStarts makes the rounds of what begins with the start of a program.
func (l *lab) compareStarts(ctx context.Context, r *report.Report) error {
	kinds := []string{Copying, Userspace, Up}
	for round := range l.cfg.Rounds {
		for i := range kinds {
			kind := kinds[(i+round)%len(kinds)]
			l.cfg.Logf("command, round %d/%d: %s", round+1, l.cfg.Rounds, kind)
			t := &trial{lab: l, ctx: ctx, part: report.Command, kind: kind, report: r}
			if err := errors.Join(t.start(), l.down()); err != nil {
				return errors.Join(ctx.Err(), fmt.Errorf("%s: %w", kind, err))
			}
		}
	}
	return nil
}

// start measures from the start of a program on. The other end, which is bare,
// has an echo and a source.
func (t *trial) start() error {
	if err := t.upEnd(t.ctx, &t.b, &t.a, Bare); err != nil {
		return err
	}
	address := t.b.inner.Addr()
	if _, err := t.b.driver.ask(request{Do: doEcho, To: netip.AddrPortFrom(address, echoPort)}); err != nil {
		return err
	}
	if _, err := t.b.node.ask(request{Do: doSource, To: netip.AddrPortFrom(address, sourcePort)}); err != nil {
		return err
	}
	err := t.upEnd(t.ctx, &t.a, &t.b, t.kind)
	if err == nil && t.kind != Copying {
		err = t.size()
	}
	if err == nil && t.kind != Up {
		err = t.download(netip.AddrPortFrom(address, sourcePort))
	}
	_, stopErr := t.b.driver.ask(request{Do: doStop})
	return errors.Join(err, stopErr)
}

// size says how soon the program was up, and how large it is then.
func (t *trial) size() error {
	up, err := t.a.node.ask(request{Do: doFirst})
	if err != nil {
		return err
	}
	time.Sleep(idle)
	r, err := t.a.node.ask(request{Do: doMemory})
	if err != nil {
		return err
	}
	t.add("start of the command", "first packet back", "ms", report.Less, up.First.Seconds()*1e3)
	t.add("start of the command", "processor time", "ms", report.Less, up.CPU.Seconds()*1e3)
	t.add("start of the command", "resident memory, idle", "MiB", report.Less, float64(r.Bytes)/(1<<20))
	return nil
}

// download receives through the SOCKS5 server of the kind.
func (t *trial) download(from netip.AddrPort) error {
	const measure = "SOCKS5 download"
	before, err := t.a.driver.ask(request{Do: doUsage})
	if err != nil {
		return err
	}
	var got reply
	nodes, _, err := t.watched(func() (err error) {
		got, err = t.a.driver.ask(request{Do: doFetch, To: from, For: t.cfg.Time})
		return err
	})
	if err != nil {
		return err
	}
	gibs := float64(got.Bytes) / gib
	t.add(measure, "throughput", "Gbit/s", report.More, float64(got.Bytes)*8/got.Took.Seconds()/1e9)
	t.add(measure, "processor time of the server", "s/GiB", report.Less, nodes[0].CPU.Seconds()/gibs)
	t.add(measure, "processor time of everybody", "s/GiB", report.Neither, (nodes[0].add(nodes[1]).CPU+got.CPU-before.CPU).Seconds()/gibs)
	return nil
}
