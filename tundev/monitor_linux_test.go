//go:build !android

package tundev_test

import (
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/netns"
	"tstun/tundev"
)

// patience is how long a test waits for something that comes at once.
const patience = 10 * time.Second

func next(t *testing.T, dev tun.Device) tun.Event {
	t.Helper()
	select {
	case e := <-dev.Events():
		return e
	case <-time.After(patience):
		t.Fatal("no event")
		return 0
	}
}

func TestEventsAndRename(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(nil, "ev0", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		if err := ns.LinkUp(name); err != nil {
			t.Fatal(err)
		}
		if e := next(t, dev); e != tun.EventUp {
			t.Errorf("event %v, want up", e)
		}
		if _, err := ns.Exec(t.Context(), "ip", "link", "set", name, "mtu", "1400"); err != nil {
			t.Fatal(err)
		}
		if e := next(t, dev); e != tun.EventMTUUpdate {
			t.Errorf("event %v, want MTU", e)
		}
		if err := ns.LinkDown(name); err != nil {
			t.Fatal(err)
		}
		if e := next(t, dev); e != tun.EventDown {
			t.Errorf("event %v, want down", e)
		}
		if _, err := ns.Exec(t.Context(), "ip", "link", "set", name, "name", "ev1"); err != nil {
			t.Fatal(err)
		}
		if now, err := dev.Name(); err != nil || now != "ev1" {
			t.Errorf("name %q, %v", now, err)
		}
		if mtu, err := dev.MTU(); err != nil || mtu != 1400 {
			t.Errorf("MTU %d, %v", mtu, err)
		}
	})
}

// A device answers from any goroutine, whatever namespace its thread is in,
// and goes on when the interface is moved.
func TestOtherNamespaces(t *testing.T) {
	ns, other := netns.New(t), netns.New(t)
	var dev tun.Device
	err := ns.Do(func() (err error) {
		dev, _, err = tundev.Create(t.Logf, "move0", 1333)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if mtu, err := dev.MTU(); err != nil || mtu != 1333 {
		t.Errorf("from outside: MTU %d, %v", mtu, err)
	}
	if err := ns.MoveLink("move0", other); err != nil {
		t.Fatal(err)
	}
	if name, err := dev.Name(); err != nil || name != "move0" {
		t.Errorf("moved: name %q, %v", name, err)
	}
	if mtu, err := dev.MTU(); err != nil || mtu != 1333 {
		t.Errorf("moved: MTU %d, %v", mtu, err)
	}
	if err := other.LinkUp("move0"); err != nil {
		t.Fatal(err)
	}
	if e := next(t, dev); e != tun.EventUp {
		t.Errorf("event %v, want up", e)
	}
}
