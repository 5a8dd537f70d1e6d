package tstun

import (
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// eventsQueued is how many events of a kind wait for a reader. Later ones
// push the oldest out: an event says that something changed, and the latest
// one says it best.
const eventsQueued = 8

const upDown = tun.EventUp | tun.EventDown

// events sorts the device's events into two channels. Its goroutine starts
// with the first call for either channel and ends with the device's channel
// or with Close; it alone sends on the two channels and closes them.
type events struct {
	device func() <-chan tun.Event
	done   <-chan struct{}
	start  sync.Once
	ended  chan struct{}

	link  chan tun.Event // up and down
	other chan tun.Event // all else
}

func (e *events) init(device func() <-chan tun.Event, done <-chan struct{}) {
	e.device, e.done = device, done
	e.ended = make(chan struct{})
	e.link = make(chan tun.Event, eventsQueued)
	e.other = make(chan tun.Event, eventsQueued)
}

func (e *events) run() {
	e.start.Do(func() { go e.sort(e.device()) })
}

func (e *events) sort(from <-chan tun.Event) {
	defer e.finish()
	for {
		select {
		case <-e.done:
			return
		case ev, ok := <-from:
			if !ok {
				return
			}
			offer(e.link, ev&upDown)
			offer(e.other, ev&^upDown)
		}
	}
}

// offer sends ev unless it is empty, pushing out the oldest event if nobody
// reads. It must be the channel's only sender.
func offer(c chan tun.Event, ev tun.Event) {
	if ev == 0 {
		return
	}
	for {
		select {
		case c <- ev:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

func (e *events) finish() {
	close(e.link)
	close(e.other)
	close(e.ended)
}

// close ends the goroutine, which needs done to be closed, and leaves both
// channels closed also where it never ran.
func (e *events) close() {
	e.start.Do(e.finish)
	<-e.ended
}

// Events returns the device's events other than up and down, such as changes
// of the MTU. It is the channel that wireguard-go reads. Up and down are kept
// from it, so the program that owns the Wrapper decides when the tunnel is up:
// nothing but its call of device.Device.Up brings it up.
//
// Each call returns the same channel, on which an event goes to one reader. Of
// events that nobody reads, the latest eight are kept. Nothing is taken from the
// device before the first call of Events or EventsUpDown. The channel is closed
// when the Wrapper is closed or the device closes its own; what is in it by then
// can still be read.
func (w *Wrapper) Events() <-chan tun.Event {
	w.events.run()
	return w.events.other
}

// EventsUpDown returns the device's up and down events, which say what the host
// does with the interface: nothing follows from them by itself. The first is up
// when the interface is up already, for the devices of package tundev. One that
// comes together with other events is told apart from them. All else is as with
// Events: one channel, of which the latest eight events are kept, closed with the
// Wrapper or the device. Callers must not close it.
func (w *Wrapper) EventsUpDown() chan tun.Event {
	w.events.run()
	return w.events.link
}
