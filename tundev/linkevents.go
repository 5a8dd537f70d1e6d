//go:build linux || freebsd

package tundev

import (
	"errors"
	"io/fs"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// pollEvery is the time between two queries for the state of an interface, where
// the kernel sends no notifications.
const pollEvery = time.Second

type linkState struct {
	up  bool
	mtu int // or 0 if it is not known
}

// linkEvents sends an event for each change of a link's state. One goroutine
// calls its methods. They never delay Close, whether or not anybody reads events.
type linkEvents struct {
	events chan tun.Event // closed by that goroutine
	done   chan struct{}  // closed by Close
	last   linkState
}

func newLinkEvents() linkEvents {
	return linkEvents{
		events: make(chan tun.Event, eventBuffer),
		done:   make(chan struct{}),
	}
}

// update compares now with the last state and sends an event for each
// difference. The state before the first is "down" with an unknown MTU, and an
// MTU that becomes known is no event.
func (c *linkEvents) update(now linkState) {
	if now.mtu == 0 {
		now.mtu = c.last.mtu
	}
	was := c.last
	c.last = now
	switch {
	case now.up && !was.up:
		c.send(tun.EventUp)
	case was.up && !now.up:
		c.send(tun.EventDown)
	}
	if was.mtu != 0 && was.mtu != now.mtu {
		c.send(tun.EventMTUUpdate)
	}
}

func (c *linkEvents) send(e tun.Event) {
	select {
	case c.events <- e:
	case <-c.done:
	}
}

// poll queries the state until done is closed. Where a program may not query it
// (Android), the interface counts as up, as a VPN service hands it over. Other
// errors are those of a deleted interface, which has no events.
func (c *linkEvents) poll(state func() (linkState, error)) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		now, err := state()
		switch {
		case err == nil:
			c.update(now)
		case errors.Is(err, fs.ErrPermission):
			c.update(linkState{up: true})
		}
		select {
		case <-tick.C:
		case <-c.done:
			return
		}
	}
}
