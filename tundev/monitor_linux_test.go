//go:build !android

package tundev_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/netns"
	"tstun/tundev"
)

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
		// Nothing tells the kernel of a carrier: who waits for UP waits forever.
		if out, err := ns.Exec(t.Context(), "ip", "link", "show", name); err != nil || !strings.Contains(string(out), "state UNKNOWN") {
			t.Errorf("%v\n%s", err, out)
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

// createIn makes a device in ns from outside.
func createIn(t *testing.T, ns *netns.NS, name string, mtu int) tun.Device {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("no TUN here: %v", err)
	}
	var dev tun.Device
	err := ns.Do(func() (err error) {
		dev, _, err = tundev.Create(t.Logf, name, mtu)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

func ip(t *testing.T, ns *netns.NS, args ...string) {
	t.Helper()
	if _, err := ns.Exec(t.Context(), "ip", args...); err != nil {
		t.Fatal(err)
	}
}

// expect compares the next events: one too many shows in what comes after it.
func expect(t *testing.T, dev tun.Device, what string, want ...tun.Event) {
	t.Helper()
	for _, w := range want {
		if e := next(t, dev); e != w {
			t.Errorf("%s: event %v, want %v", what, e, w)
		}
	}
}

// A device answers from any goroutine, whatever namespace its thread is in,
// and follows the interface when it is moved, more than once.
func TestOtherNamespaces(t *testing.T) {
	ns := netns.New(t)
	dev := createIn(t, ns, "move0", 1333)
	if mtu, err := dev.MTU(); err != nil || mtu != 1333 {
		t.Errorf("from outside: MTU %d, %v", mtu, err)
	}
	ip(t, ns, "link", "set", "move0", "up")
	expect(t, dev, "at first", tun.EventUp)
	for range 3 {
		other := netns.New(t)
		if err := ns.MoveLink("move0", other); err != nil {
			t.Fatal(err)
		}
		ns = other
		expect(t, dev, "moved", tun.EventDown)
		ip(t, ns, "link", "set", "move0", "mtu", "1400")
		ip(t, ns, "link", "set", "move0", "up")
		expectMoved(t, dev)
		if name, err := dev.Name(); err != nil || name != "move0" {
			t.Errorf("moved: name %q, %v", name, err)
		}
		if mtu, err := dev.MTU(); err != nil || mtu != 1400 {
			t.Errorf("moved: MTU %d, %v", mtu, err)
		}
		ip(t, ns, "link", "set", "move0", "down")
		expect(t, dev, "down again", tun.EventDown)
		ip(t, ns, "link", "set", "move0", "mtu", "1333")
		expect(t, dev, "MTU again", tun.EventMTUUpdate)
		ip(t, ns, "link", "set", "move0", "up")
		expect(t, dev, "up again", tun.EventUp)
	}
}

// expectMoved takes the events of a new MTU and of up, whose order depends on
// when the device has found the new namespace.
func expectMoved(t *testing.T, dev tun.Device) {
	t.Helper()
	if a, b := next(t, dev), next(t, dev); a == b || a == tun.EventDown || b == tun.EventDown {
		t.Errorf("moved: events %v and %v, want up and MTU", a, b)
	}
}

// Without the right to enter the other namespace there are no events from it,
// rather than false ones, and the last MTU stands.
func TestMovedOutOfReach(t *testing.T) {
	ns, other := netns.New(t), netns.New(t)
	k := tundev.NewKernel()
	k.NoFollowing()
	var dev tun.Device
	inNamespace(t, func(*netns.NS) {
		err := ns.Do(func() (err error) {
			dev, err = k.Create(t.Logf, "move0", 1333)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	defer dev.Close()
	ip(t, ns, "link", "set", "move0", "up")
	expect(t, dev, "at first", tun.EventUp)
	if err := ns.MoveLink("move0", other); err != nil {
		t.Fatal(err)
	}
	expect(t, dev, "moved", tun.EventDown)
	createIn(t, ns, "move0", 9000)
	ip(t, ns, "link", "set", "move0", "up")
	ip(t, other, "link", "set", "move0", "up")
	if mtu, err := dev.MTU(); err != nil || mtu != 1333 {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	dev.Close()
	if e, more := <-dev.Events(); more {
		t.Errorf("event %v", e)
	}
}

// Another interface has the name that a moved one had.
func TestMTUOfAnother(t *testing.T) {
	for range 10 { // before and after the move has been noticed
		ns, other := netns.New(t), netns.New(t)
		dev := createIn(t, ns, "move0", 1333)
		if err := ns.MoveLink("move0", other); err != nil {
			t.Fatal(err)
		}
		createIn(t, ns, "move0", 9000)
		if mtu, err := dev.MTU(); err != nil || mtu != 1333 {
			t.Fatalf("MTU %d, %v: that of another interface", mtu, err)
		}
	}
}

func TestDeleted(t *testing.T) {
	ns := netns.New(t)
	dev := createIn(t, ns, "gone0", 1333)
	ip(t, ns, "link", "set", "gone0", "up")
	expect(t, dev, "at first", tun.EventUp)
	read := make(chan error)
	go func() {
		bufs, sizes := [][]byte{make([]byte, 1<<16)}, []int{0}
		var err error
		for err == nil { // the host's own packets first
			_, err = dev.Read(bufs, sizes, room)
		}
		read <- err
	}()
	ip(t, ns, "link", "del", "gone0")
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	expect(t, dev, "deleted", tun.EventDown)
	if name, err := dev.Name(); name != "gone0" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
	if mtu, err := dev.MTU(); mtu != 1333 || err != nil {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	bufs, sizes := [][]byte{make([]byte, 1<<16)}, []int{0}
	if _, err := dev.Read(bufs, sizes, room); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read again: %v", err)
	}
	if _, err := dev.Write([][]byte{ipv4Packet()}, room); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
}

// A descriptor comes from another namespace, with an interface of the same
// name here.
func TestFromFileElsewhere(t *testing.T) {
	inNamespace(t, func(here *netns.NS) {
		createIn(t, here, "same0", 1500)
		var f *os.File
		there := netns.New(t)
		if err := there.Do(func() error {
			f = openTUN(t, "same0", unix.IFF_TUN|unix.IFF_NO_PI)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		dev, _, err := tundev.FromFile(f, 1400)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		out, err := here.Exec(t.Context(), "ip", "link", "show", "same0")
		if err != nil || !strings.Contains(string(out), "mtu 1500") {
			t.Errorf("%s, %v", out, err)
		}
		ip(t, there, "link", "set", "same0", "mtu", "1450", "up")
		if mtu, err := dev.MTU(); mtu != 1450 || err != nil {
			t.Errorf("MTU %d, %v", mtu, err)
		}
		for e := next(t, dev); e != tun.EventUp; e = next(t, dev) {
			if e == tun.EventDown {
				t.Error("event down")
			}
		}
	})
}

// Without notifications the state is asked for, and is the interface's own.
func TestPolledEvents(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		k := tundev.NewKernel()
		k.Fail("notifications", errors.New("broken"))
		dev, err := k.Create(t.Logf, "poll0", 1333)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		ip(t, ns, "link", "set", "poll0", "up")
		expect(t, dev, "up", tun.EventUp)
		ip(t, ns, "link", "set", "poll0", "down")
		expect(t, dev, "down", tun.EventDown)
	})
}
