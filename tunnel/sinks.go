package tunnel

import (
	"errors"
	"slices"
	"sync"

	"tstun"
)

// MaxSinks is how many sinks Observe takes at once.
const MaxSinks = 16

// ErrSinks is that MaxSinks sinks observe a tunnel.
var ErrSinks = errors.New("tunnel: as many captures run as may at once")

// sinks are those that Observe was given. The zero value has none.
type sinks struct {
	mu  sync.Mutex // guards all, and is held while the Wrapper gets them
	all []*sink
}

type sink struct {
	see  func(*tstun.Observation)
	stop sync.Once
}

// Observe makes see observe each packet, as tstun.Wrapper.SetCapture has it, beside those
// of other calls, until stop is called. While nobody observes, it costs what a Wrapper
// without a capture does. Calls that go on while stop is called may use see to their
// end. With MaxSinks sinks the error is ErrSinks.
//
// It takes the place of a capture that Setup set.
func (t *Tunnel) Observe(see func(*tstun.Observation)) (stop func(), err error) {
	s := &sink{see: see}
	t.sinks.mu.Lock()
	defer t.sinks.mu.Unlock()
	if len(t.sinks.all) >= MaxSinks {
		return nil, ErrSinks
	}
	t.sinks.setLocked(t.wrapper.Wrapper, append(slices.Clone(t.sinks.all), s))
	return func() { s.stop.Do(func() { t.sinks.remove(t.wrapper.Wrapper, s) }) }, nil
}

func (x *sinks) remove(w *tstun.Wrapper, s *sink) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.Index(x.all, s)
	x.setLocked(w, slices.Concat(x.all[:i], x.all[i+1:]))
}

// setLocked makes all what observes. It keeps the slice, which never changes then.
func (x *sinks) setLocked(w *tstun.Wrapper, all []*sink) {
	x.all = all
	switch len(all) {
	case 0:
		w.SetCapture(nil)
	case 1:
		w.SetCapture(all[0].see)
	default:
		w.SetCapture(func(o *tstun.Observation) {
			for _, s := range all {
				s.see(o)
			}
		})
	}
}
