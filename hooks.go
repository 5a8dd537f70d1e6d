package tstun

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"tstun/filter"
	"tstun/internal/clock"
	"tstun/internal/pipeline"
	"tstun/packet"
)

// FilterFunc judges one packet. It may read the Parsed and its buffer and
// rewrite payload bytes in place, but keep neither after it returns. It runs
// on the goroutine that called Read or Write, for every packet that comes as far
// as the hook, and may inject packets; what is injected passes it by. Several
// goroutines may call it at once.
//
// On Accept the packet goes on, on Handled the hook has taken it: the packet
// goes nowhere else and counts as delivered. Any other Response drops it.
type FilterFunc func(*packet.Parsed, *Wrapper) filter.Response

// bindHooks makes the exported hooks, as they are now, those that packets meet.
// It returns the configuration with them.
func (w *Wrapper) bindHooks() *config {
	w.update(func(c *config) {
		if c.Hooks != nil {
			return // by another first packet
		}
		c.Hooks = &pipeline.Hooks{
			PreFilterIn:   w.bind(w.PreFilterIn),
			PostFilterIn:  w.bind(w.PostFilterIn),
			ToNetstack:    w.bind(w.PreFilterFromTunToNetstack),
			ToEngine:      w.bind(w.PreFilterFromTunToEngine),
			PostFilterOut: w.bind(w.PostFilterOut),
			EchoResponse:  w.OnICMPEchoResponseReceived,
			Pong:          w.OnTSMPPongReceived,
			PeerAPIPort:   w.PeerAPIPort,
		}
		w.lateHooks.bound = w.hookFields()
		w.lateHooks.next.Store(clock.Now() + lateHooksEvery)
	})
	return w.config.Load()
}

func (w *Wrapper) bind(f FilterFunc) pipeline.Hook {
	if f == nil {
		return nil
	}
	return func(p *packet.Parsed) filter.Response { return f(p, w) }
}

// lateHooksEvery is how far two looks for late hooks are apart, at least, in
// nanoseconds.
const lateHooksEvery = int64(10 * time.Millisecond)

// lateHooks notices a hook that is set after the first packet, and so is not
// called.
type lateHooks struct {
	bound [8]hookField // written by bindHooks
	said  [8]sync.Once // one line for each
	next  atomic.Int64 // when to look, as clock.Now tells
}

// hookField is the name of a hook's field and the code that is in it.
type hookField struct {
	name string
	code uintptr
}

func (w *Wrapper) hookFields() [8]hookField {
	code := func(f any) uintptr { return reflect.ValueOf(f).Pointer() }
	return [8]hookField{
		{"PreFilterIn", code(w.PreFilterIn)},
		{"PostFilterIn", code(w.PostFilterIn)},
		{"PreFilterFromTunToNetstack", code(w.PreFilterFromTunToNetstack)},
		{"PreFilterFromTunToEngine", code(w.PreFilterFromTunToEngine)},
		{"PostFilterOut", code(w.PostFilterOut)},
		{"OnTSMPPongReceived", code(w.OnTSMPPongReceived)},
		{"OnICMPEchoResponseReceived", code(w.OnICMPEchoResponseReceived)},
		{"PeerAPIPort", code(w.PeerAPIPort)},
	}
}

// checkHooks looks now and then whether a hook was set too late, and says so
// once for each. Of two function literals of one place it takes the second for
// the first.
func (w *Wrapper) checkHooks(now int64) {
	next := w.lateHooks.next.Load()
	if now < next || !w.lateHooks.next.CompareAndSwap(next, now+lateHooksEvery) {
		return
	}
	for i, field := range w.hookFields() {
		if field != w.lateHooks.bound[i] {
			w.lateHooks.said[i].Do(func() {
				w.logf("tstun: %s: %s was set after the first packet, so it is not called: "+
					"set hooks between Wrap and the first Read, Write or injection", w.label(), field.name)
			})
		}
	}
}
