//go:build linux || freebsd

package tundev

import (
	"errors"
	"io/fs"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// pollEvery is how often the state of an interface is asked for where the
// kernel does not tell.
const pollEvery = time.Second

type linkState struct {
	up  bool
	mtu int // 0: not known
}

// linkEvents turns states of a link into events. Its methods are for one
// goroutine. It never holds up a Close, whether or not anybody reads events.
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

// update sends what has changed. The first state is "down", silently, and the
// first MTU is no change.
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

// poll asks for the state until done. Where the system does not let a program
// ask (Android), the interface counts as up: a VPN service hands it over that
// way. Another failure, of an interface that is gone, is no news.
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
