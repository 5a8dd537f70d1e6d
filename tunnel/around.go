package tunnel

import (
	"fmt"
	"slices"

	"tstun/tunnel/internal/hostnet"
)

// networkSteps change what is around WireGuard: the stack of a tunnel in
// userspace, or the host's network with the mark that its routes need. A mark
// comes before them, and goes after them.
func (t *Tunnel) networkSteps(old, next *live) []step {
	if t.mode == ModeUserspace {
		return []step{
			{"the network stack", func() error { return t.setStack(old, next) }, func() error { return t.setStack(next, old) }},
			{"the mark", func() error { return t.setMark(next.FwMark) }, func() error { return t.setMark(old.FwMark) }},
		}
	}
	return []step{
		{"the mark", func() error { return t.raiseMark(next) }, func() error { return t.dropMark(old) }},
		{"the host's network", func() error { return t.setHost(next) }, func() error { _, err := t.host.Set(old.host()); return err }},
		{"the mark", func() error { return t.dropMark(next) }, func() error { return t.raiseMark(old) }},
	}
}

// setMark marks WireGuard's packets.
func (t *Tunnel) setMark(mark uint32) error {
	if err := t.wg.IpcSet(fmt.Sprintf("fwmark=%d\n", mark)); err != nil {
		return fmt.Errorf("mark packets with %#x: %w", mark, err)
	}
	return nil
}

// raiseMark sets the mark that l needs, if it needs one.
func (t *Tunnel) raiseMark(l *live) error {
	mark, err := t.host.Mark(l.host())
	if err != nil || mark == 0 {
		return err
	}
	return t.setMark(mark)
}

// dropMark takes the mark away if l needs none.
func (t *Tunnel) dropMark(l *live) error {
	mark, err := t.host.Mark(l.host())
	if err != nil || mark != 0 {
		return err
	}
	return t.setMark(0)
}

// setHost gives the interface its place in the host's network, and completes l,
// which is not in force yet, with what came of it.
func (t *Tunnel) setHost(l *live) error {
	warnings, err := t.host.Set(l.host())
	l.warnings, l.dnsTexts = textsOf(warnings), textsOf(aboutDNS(warnings))
	for _, w := range l.warnings {
		if !slices.Contains(t.now().warnings, w) {
			t.logf("warning: %s", w)
		}
	}
	if err != nil {
		return err
	}
	l.dns = t.lookup(l)
	l.mtu, err = t.wrapper.MTU()
	return err
}

// aboutDNS returns the warnings that are about name servers.
func aboutDNS(all []hostnet.Warning) (some []hostnet.Warning) {
	for _, w := range all {
		if w.Kind == hostnet.WarnNoDNS || w.Kind == hostnet.WarnOtherDNS {
			some = append(some, w)
		}
	}
	return some
}

func textsOf(warnings []hostnet.Warning) (texts []string) {
	for _, w := range warnings {
		texts = append(texts, w.Text)
	}
	return texts
}

// setStack makes of a stack that has what old says one that has what l says,
// and completes l.
func (t *Tunnel) setStack(old, l *live) error {
	mtu := l.MTU
	if mtu == 0 {
		var err error
		if mtu, err = t.wrapper.MTU(); err != nil {
			return err
		}
	}
	addrs := func() error { return t.stack.SetAddrs(l.addrs()) }
	size := func() error { return t.stack.SetMTU(mtu) }
	steps := []func() error{addrs, size}
	if mtu > old.mtu { // IPv6 may come with it, and otherwise go
		steps = []func() error{size, addrs}
	}
	for _, do := range steps {
		if err := do(); err != nil {
			return err
		}
	}
	if t.now() != l {
		l.mtu, l.dns = mtu, t.lookup(l)
	}
	return nil
}
