//go:build !android

package tundev_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/gso"
	"tstun/internal/netns"
	"tstun/tundev"
)

// openNative makes wireguard-go's own device of a descriptor that is set
// non-blocking or not.
func openNative(t testing.TB, name string, flags uint16, nonblock bool) tun.Device {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, nonblock); err != nil {
		t.Fatal(err)
	}
	dev, err := tun.CreateTUNFromFile(os.NewFile(uintptr(fd), name), 1280)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

// drainEvents keeps wireguard-go's monitoring from waiting for a reader, until
// the device is closed.
func drainEvents(dev tun.Device) {
	for range dev.Events() {
	}
}

const withHeaders = unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR

func TestAsDirect(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		create := func(*testing.T) tun.Device {
			dev, _, err := tundev.Create(nil, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			return dev
		}
		for _, tt := range []struct {
			name string
			open func(t *testing.T) tun.Device
			want bool
		}{
			{"created", create, true},
			{"from file", func(t *testing.T) tun.Device {
				f := openTUN(t, "file0", withHeaders)
				defer f.Close()
				dev, _, err := tundev.FromFile(f, 0)
				if err != nil {
					t.Fatal(err)
				}
				return dev
			}, true},
			{"from file, longer headers", func(t *testing.T) tun.Device {
				f := openTUN(t, "file1", withHeaders)
				defer f.Close()
				conn, err := f.SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				if ctlErr := conn.Control(func(fd uintptr) { err = unix.IoctlSetPointerInt(int(fd), unix.TUNSETVNETHDRSZ, 12) }); ctlErr != nil || err != nil {
					t.Fatal(ctlErr, err)
				}
				dev, _, err := tundev.FromFile(f, 0)
				if err != nil {
					t.Fatal(err)
				}
				return dev
			}, true},
			{"native", func(t *testing.T) tun.Device { return openNative(t, "native0", withHeaders, true) }, true},
			{"native, plain", func(t *testing.T) tun.Device {
				return openNative(t, "native1", unix.IFF_TUN|unix.IFF_NO_PI, true)
			}, true},
			{"native, not pollable", func(t *testing.T) tun.Device { return openNative(t, "native2", withHeaders, false) }, false},
			{"native, frames with headers", func(t *testing.T) tun.Device {
				return openNative(t, "native3", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR, true)
			}, false},
			{"fake", func(*testing.T) tun.Device { return tundev.NewFake() }, false},
			{"TAP", func(*testing.T) tun.Device { return tundev.TAP(create(t)) }, false},
			{"none", func(*testing.T) tun.Device { return nil }, false},
		} {
			runIn(t, ns, tt.name, func(t *testing.T) {
				dev := tt.open(t)
				direct, ok := tundev.AsDirect(t.Logf, dev)
				if ok != tt.want {
					t.Fatalf("direct: %v", ok)
				}
				if dev == nil {
					return
				}
				if ok {
					again, ok := tundev.AsDirect(nil, direct)
					if !ok || again != direct || direct.BatchSize() != 128 {
						t.Errorf("again: %v, batch size %d", ok, direct.BatchSize())
					}
					checkPackets(t, ns, direct)
					dev = direct
				} else {
					go drainEvents(dev)
				}
				soon(t, "Close", func() {
					// wireguard-go's own may say that its listener was quicker.
					if err := dev.Close(); err != nil && ok {
						t.Error(err)
					}
				})
				if links, err := ns.Links(); err != nil || len(links) != 1 {
					t.Errorf("left behind: %v, %v", links, err)
				}
			})
		}
	})
}

// checkPackets sends one packet each way.
func checkPackets(t *testing.T, ns *netns.NS, dev tundev.Direct) {
	t.Helper()
	name, err := dev.Name()
	if err != nil {
		t.Fatal(err)
	}
	quietTUN(t, ns, name)
	v, p := gso.Virtio{}, udp(1, 100)
	if err := newInjector(t, name).send(v, p); err != nil {
		t.Fatal(err)
	}
	bufs, sizes := buffers(128, room+2000)
	if n, err := dev.ReadReady(bufs, sizes, room, true); n != 1 || err != nil || !bytes.Equal(bufs[0][room:room+sizes[0]], p) {
		t.Errorf("ReadReady: %d, %v, size %d", n, err, sizes[0])
	}
	if n, err := dev.Write(batchOf(tcp(1, 0), tcp(1, 1), nil, udp(1, 10)), room); n != 4 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
}

func TestCloseNative(t *testing.T) {
	testClose(t, func(t *testing.T) tun.Device {
		return inNewNamespace(t, func(*netns.NS) (tun.Device, error) {
			dev, ok := tundev.AsDirect(t.Logf, openNative(t, "close1", withHeaders, true))
			if !ok {
				return nil, errors.New("not direct")
			}
			return dev, nil
		})
	})
}

// The offloads that the kernel has are in use, on the interface of Create and
// on that of another program.
func TestOffloadsAreOn(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(t.Logf, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		out, err := ns.Exec(t.Context(), "ethtool", "-k", name)
		if err != nil {
			t.Skip(err)
		}
		for _, want := range []string{"tx-checksumming: on", "tx-tcp-segmentation: on", "tx-tcp6-segmentation: on", "tx-tcp-ecn-segmentation: on"} {
			if !bytes.Contains(out, []byte(want)) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	})
}

// What the kernel queued before the link went down is read all the same.
func TestQueuedBeforeDown(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(t.Logf, "", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		quietTUN(t, ns, name)
		to := newInjector(t, name)
		for i := range 5 {
			if err := to.send(gso.Virtio{}, udp(uint32(i), 100)); err != nil {
				t.Fatal(err)
			}
		}
		if err := ns.LinkDown(name); err != nil {
			t.Fatal(err)
		}
		direct, _ := tundev.AsDirect(nil, dev)
		bufs, sizes := buffers(16, room+2000)
		if got := takeAll(t, direct, bufs, sizes); len(got) != 5 {
			t.Errorf("%d packets, want 5", len(got))
		}
	})
}

// An interface that is deleted ends reading, writing, and waiting.
func TestDeletedInterface(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(t.Logf, "gone0", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		direct, _ := tundev.AsDirect(nil, dev)
		ended := make(chan error)
		go func() {
			bufs, sizes := buffers(1, 2000)
			for {
				if _, err := direct.ReadReady(bufs, sizes, 0, true); err != nil {
					ended <- err
					return
				}
			}
		}()
		if _, err := ns.Exec(t.Context(), "ip", "link", "del", name); err != nil {
			t.Fatal(err)
		}
		soon(t, "ReadReady", func() {
			if err := <-ended; !errors.Is(err, os.ErrClosed) {
				t.Errorf("ReadReady: %v", err)
			}
		})
		if n, err := direct.Write(batchOf(udp(1, 10), udp(2, 10)), room); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write: %d, %v", n, err)
		}
		bufs, sizes := buffers(1, 2000)
		if n, err := direct.ReadReady(bufs, sizes, 0, false); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("ReadReady: %d, %v", n, err)
		}
	})
}

// Close at every moment: nothing hangs, nothing is left.
func TestCloseAtAnyTime(t *testing.T) {
	ns := netns.New(t)
	createIn(t, ns, "warm0", 0).Close()
	before := descriptors(t)
	threads := goleak.IgnoreCurrent()
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		dev, ok := tundev.AsDirect(t.Logf, createIn(t, ns, "any0", 1280))
		if !ok {
			t.Fatal("not direct")
		}
		if r.IntN(4) > 0 {
			if err := ns.LinkUp("any0"); err != nil {
				t.Fatal(err)
			}
		}
		closeAmidst(t, dev, time.Duration(r.IntN(2000))*time.Microsecond)
		left := dev.Abandon()
		if n, err := dev.ReadReady(make([][]byte, 1), make([]int, 1), 0, true); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %d, %v, abandoned %d", n, err, left)
		}
	}
	if after := descriptors(t); !slices.Equal(after, before) {
		t.Errorf("descriptors %q, had %q", after, before)
	}
	goleak.VerifyNone(t, threads)
}

// closeAmidst closes dev while all its methods are called.
func closeAmidst(t *testing.T, dev tundev.Direct, after time.Duration) {
	t.Helper()
	var calls sync.WaitGroup
	until := func(f func() error) {
		calls.Go(func() {
			for !errors.Is(f(), os.ErrClosed) {
				runtime.Gosched()
			}
		})
	}
	bufs, sizes := buffers(4, 2000)
	until(func() error { _, err := dev.ReadReady(bufs, sizes, room, true); return err })
	for i := range 2 {
		pkts := batchOf(tcp(uint16(i), 0), tcp(uint16(i), 1), udp(1, 10))
		until(func() error { _, err := dev.Write(pkts, room); return err })
	}
	done := make(chan struct{})
	calls.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				dev.Interrupt()
				runtime.Gosched()
			}
		}
	})
	<-time.After(after)
	soon(t, "Close", func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	close(done)
	soon(t, "a method", calls.Wait)
	dev.Interrupt()
}

// No call allocates: with single packets and super-packets, waiting,
// interrupted, joined or not.
func TestDirectDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(t.Logf, "", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		direct, _ := tundev.AsDirect(nil, dev)
		if err := ns.AddAddr(name, netip.MustParsePrefix("10.7.0.1/24")); err != nil {
			t.Fatal(err)
		}
		quietTUN(t, ns, name)
		to := newInjector(t, name)
		supers := [][]byte{superTCP(60, 1000)}
		if udpOffload(t) {
			super, _ := superUDP(60, 1000, 7)
			supers = append(supers, super)
		}
		for i := range 40 {
			if err := errors.Join(to.send(gso.Virtio{}, udp(uint32(i), 1000)), to.sendEncoded(4, supers[i%len(supers)])); err != nil {
				t.Fatal(err)
			}
		}
		var out [][]byte
		for i := range 32 {
			out = append(out, batchOf(tcp(1, i), udp(uint32(i), 100), tcp(2, i), udp(1, 8))...)
		}
		bufs, sizes := buffers(16, room+2000)
		read := 0
		for what, f := range map[string]func() error{
			"ready":       func() error { n, err := direct.ReadReady(bufs, sizes, room, true); read += n; return err },
			"none":        func() error { _, err := direct.ReadReady(bufs[:1], sizes, room, false); return err },
			"interrupted": func() error { direct.Interrupt(); _, err := direct.ReadReady(bufs, sizes, room, true); return err },
			"write":       func() error { _, err := direct.Write(out, room); return err },
			"one":         func() error { _, err := direct.Write(out[:1], room); return err },
		} {
			if n := testing.AllocsPerRun(100, func() {
				if err := f(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", what, n)
			}
		}
		if read < 1000 {
			t.Errorf("only %d packets were read", read)
		}
	})
}

// A reader that mixes packets from elsewhere into those of the device is woken
// for them.
func TestInterruptOnATUN(t *testing.T) {
	inNamespace(t, func(*netns.NS) {
		dev, _, err := tundev.Create(t.Logf, "wake0", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		direct, ok := tundev.AsDirect(t.Logf, dev)
		if !ok {
			t.Fatal("not direct")
		}
		bufs, sizes := [][]byte{make([]byte, 2048)}, []int{0}
		for range 3 {
			direct.Interrupt()
			direct.Interrupt() // counts for the same return
			if n, err := direct.ReadReady(bufs, sizes, room, true); n != 0 || err != nil {
				t.Errorf("ReadReady: %d, %v", n, err)
			}
		}
	})
}
