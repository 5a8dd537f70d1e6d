package tunnel

import (
	"errors"
	"fmt"
	"slices"
)

// step is a part of what changes in a running tunnel.
type step struct {
	what     string
	do, undo func() error
}

// apply makes of what is in force what next says, in an order in which flows
// that stay go on. If a step fails, it goes back, and the error says what is in
// force. Who calls it holds changing.
func (t *Tunnel) apply(next *live, steps []step) error {
	for i, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w%s", s.what, err, goBack(steps[:i+1]))
		}
	}
	t.live.Store(next)
	return nil
}

// goBack undoes steps, the last of which may be half done, and says what is in
// force then.
func goBack(steps []step) string {
	var errs []error
	for _, s := range slices.Backward(steps) {
		if s.undo == nil {
			continue
		}
		if err := s.undo(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.what, err))
		}
	}
	if len(errs) == 0 {
		return ": what was in force before is in force again"
	}
	return fmt.Sprintf(": what was in force before is in force again but for what could not be undone: %v", errors.Join(errs...))
}

// wireGuardSteps change the WireGuard device.
func (t *Tunnel) wireGuardSteps(old, next *live) (steps []step) {
	if next.ListenPort != 0 && next.ListenPort != t.port() {
		before := t.port()
		steps = append(steps, step{"the UDP port", func() error { return t.setPort(next.ListenPort) }, func() error { return t.setPort(before) }})
	}
	if !next.PrivateKey.Equal(old.PrivateKey) {
		steps = append(steps, step{"the private key", func() error { return t.setKey(next) }, func() error { return t.setKey(old) }})
	}
	return append(steps,
		step{"the peers' addresses", func() error { return t.setPeers(next) }, func() error { return t.setPeers(old) }},
		step{"the peers", func() error { return t.tell((*lines).change, old, next) }, func() error { return t.tell((*lines).restore, old, next) }},
	)
}

// tell tells the device of peers.
func (t *Tunnel) tell(what func(l *lines, from, to *live), from, to *live) error {
	var l lines
	what(&l, from, to)
	if l.Len() == 0 {
		return nil
	}
	return t.wg.IpcSet(l.String())
}

func (t *Tunnel) setKey(l *live) error {
	var to lines
	to.setKey("private_key", l.PrivateKey.Raw32())
	return t.wg.IpcSet(to.String())
}

// port returns the UDP port, or 0 if there is none.
func (t *Tunnel) port() uint16 {
	s, _ := stateOf(t.wg) // fails only where it cannot write to memory
	return s.port
}

// setPort opens the sockets anew if the port is not that one already.
func (t *Tunnel) setPort(port uint16) error {
	if t.port() == port {
		return nil
	}
	if err := t.wg.IpcSet(fmt.Sprintf("listen_port=%d\n", port)); err != nil {
		return fmt.Errorf("listen on UDP port %d: %w", port, err)
	}
	return nil
}
