package tstun

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"tstun/filter"
)

// mistakes are what a program can forget without any call failing. Each gets
// one log line, when it first costs a packet. They are looked for where a
// packet is dropped already, so that a program without mistakes pays nothing.
type mistakes struct {
	filterSet atomic.Bool // SetFilter was called: what it set is what is wanted

	noFilter, noLocal, noReader sync.Once
}

// noteDrop tells of the mistake behind a drop for reason r, if it is one.
func (w *Wrapper) noteDrop(f *filter.Filter, r filter.Reason) {
	switch {
	case r == filter.ReasonNoFilter && !w.mistakes.filterSet.Load():
		w.mistakes.noFilter.Do(func() {
			w.logf("tstun: %s: no filter is set, so every packet is dropped: call SetFilter", w.label())
		})
	case r == filter.ReasonNotLocal && f != nil && !f.HasLocal():
		w.mistakes.noLocal.Do(func() {
			w.logf("tstun: %s: the filter has no local addresses, so every packet from peers is dropped: "+
				"set Local in filter.Config to the host's addresses", w.label())
		})
	}
}

// noteQueueFull tells of a program that injects packets and reads none.
func (w *Wrapper) noteQueueFull() {
	if !w.readMu.TryLock() {
		return // by a Read
	}
	read := w.inbox.read
	w.readMu.Unlock()
	if !read {
		w.mistakes.noReader.Do(func() {
			w.logf("tstun: %s: packets that wait to be sent are dropped, since Read was never called: "+
				"give the Wrapper to wireguard-go's device.NewDevice, and bring that device up", w.label())
		})
	}
}

// label is the device's name for the log.
func (w *Wrapper) label() string {
	name, err := w.Name()
	if err != nil || name == "" {
		return "unnamed device"
	}
	return name
}

// silenceAfter is when WireGuard gives its first handshake up. A peer that is
// there has answered by then.
const silenceAfter = int64(device.RekeyTimeout / time.Nanosecond)

// silence notices that packets go to WireGuard and none comes from it. A
// wireguard-go device that was never brought up reads its TUN all the same, and
// throws away what it reads. The Wrapper cannot see whether it is up; that
// nothing comes back is what can be seen of it.
type silence struct {
	over  bool  // something came, or the line is out: nothing is looked at
	since int64 // when the first packet went; 0: none yet
	sent  int   // packets since
}

// watchSilence notes that Read returned packets of these sizes at now.
func (w *Wrapper) watchSilence(sizes []int, now int64) {
	s := &w.inbox.silence
	if s.over {
		return
	}
	if w.heard.Load() {
		s.over = true
		return
	}
	before := s.sent
	for _, size := range sizes {
		if size > 0 {
			s.sent++
		}
	}
	switch {
	case s.sent == before:
	case before == 0:
		s.since = now
	case now-s.since >= silenceAfter:
		s.over = true
		w.logf("tstun: %s: %d packets went to WireGuard in %v and none came from it: "+
			"call Up of wireguard-go's device, which does not come up by itself; "+
			"if it is up, see whether the peer's endpoint and keys are right",
			w.label(), s.sent, time.Duration(now-s.since).Round(time.Second))
	}
}

// noteHeard ends the watch for silence: WireGuard has handed something over.
func (w *Wrapper) noteHeard() {
	if !w.heard.Load() {
		w.heard.Store(true)
	}
}
