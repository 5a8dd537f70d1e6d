//go:build !android

package tundev_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/gso"
	"tstun/internal/netns"
	"tstun/internal/rig/testdev"
	"tstun/internal/tunqueue/queuetest"
	"tstun/tundev"
)

// inNamespace skips where TUNs cannot be made, and otherwise runs f in a
// network namespace of its own. Subtests have goroutines of their own: they
// go into it with runIn.
func inNamespace(t *testing.T, f func(ns *netns.NS)) {
	t.Helper()
	ns := netns.New(t)
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("no TUN here: %v", err)
	}
	if err := ns.Do(func() error { f(ns); return nil }); err != nil {
		t.Fatal(err)
	}
}

// runIn is t.Run in a namespace.
func runIn(t *testing.T, ns *netns.NS, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if err := ns.Do(func() error { f(t); return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// descriptors lists the open descriptors of this process.
func descriptors(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, l := range links {
		// The directory that Glob read is closed by now.
		if target, err := os.Readlink(l); err == nil {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return open
}

func TestCreate(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		var log queuetest.Log
		dev, name, err := tundev.Create(log.Logf, "tst%d", 1300)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		if name != "tst0" {
			t.Errorf("name %q", name)
		}
		wantOffloads(t, dev, name, log.String())
		mtu, err := dev.MTU()
		if err != nil || mtu != 1300 {
			t.Errorf("MTU %d, %v", mtu, err)
		}
		out, err := ns.Exec(t.Context(), "ip", "-d", "link", "show", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"mtu 1300", "qlen 500", "tun type tun pi off vnet_hdr on"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if dev.BatchSize() != 128 {
			t.Errorf("batch size %d", dev.BatchSize())
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		if links, err := ns.Links(); err != nil || len(links) != 1 {
			t.Errorf("left behind: %v, %v", links, err)
		}
	})
}

// wantOffloads checks that the device uses what the kernel grants, and says
// what it does not.
func wantOffloads(t *testing.T, dev tun.Device, name, log string) {
	t.Helper()
	want := gso.Kinds{TCP: true, UDP: udpOffload(t)}
	if got := tundev.QueueOf(dev).Joins(); got != want {
		t.Errorf("packets are joined of %+v, the kernel grants %+v", got, want)
	}
	logged, granted := "", "checksum, TCP, UDP"
	if !want.UDP {
		logged = "tundev: " + name + ": the kernel refuses, going on without: UDP segmentation offload: TUNSETOFFLOAD: invalid argument"
		granted = "checksum, TCP"
	}
	if log != logged {
		t.Errorf("logged %q, want %q", log, logged)
	}
	t.Logf("offloads granted: %s", granted)
}

// udpOffload reports whether the kernel has UDP segmentation offload for TUNs.
func udpOffload(t testing.TB) bool {
	t.Helper()
	granted, err := testdev.UDPOffload()
	if err != nil {
		t.Fatal(err)
	}
	return granted
}

func TestCreateSpeedIsUnknown(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(nil, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		out, err := ns.Exec(t.Context(), "ethtool", name)
		if err != nil {
			t.Skip(err)
		}
		if !strings.Contains(string(out), "Speed: Unknown!") {
			t.Errorf("%s", out)
		}
	})
}

func TestCreateErrors(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		busy, _, err := tundev.Create(nil, "held", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		tests := []struct {
			name string
			mtu  int
			is   error
			want string
		}{
			{"held", 0, syscall.EBUSY, "create held: TUNSETIFF: device or resource busy"},
			{"lo", 0, syscall.EINVAL, "create lo: TUNSETIFF: invalid argument"},
			{"a/b", 0, fs.ErrInvalid, "create a/b: name: must not contain a slash, a colon or white space"},
			{"tun0", -1, nil, "create tun0: MTU -1: not between 0 and 65535"},
			{"", 65536, nil, "create unnamed interface: MTU 65536: not between 0 and 65535"},
		}
		for _, tt := range tests {
			runIn(t, ns, tt.name, func(t *testing.T) {
				dev, name, err := tundev.Create(nil, tt.name, tt.mtu)
				if dev != nil || name != "" || err == nil || err.Error() != tt.want {
					t.Errorf("%v, %q, %v", dev, name, err)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v is not %v", err, tt.is)
				}
			})
		}
	})
}

// Each step of creation fails in turn, by an injected error.
func TestCreateEachStepFails(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		step  string
		err   error
		fatal bool
		log   string // what a warning says
	}{
		{"open", syscall.EACCES, true, ""},
		{"attach", syscall.EPERM, true, ""},
		{"attach", syscall.EINVAL, true, "trying without offloads"},
		{"nonblock", broken, true, ""},
		{"control", broken, true, ""},
		{"device", broken, true, ""},
		{"offload", broken, false, "trying without offloads"},
		{"notifications", broken, false, "link changes are polled for: broken"},
		{"mtu", syscall.EPERM, false, "MTU 1280 not set, going on: operation not permitted"},
		{"queue", syscall.EPERM, false, "transmit queue length 500 not set, going on: operation not permitted"},
		{"speed", broken, false, "link speed stays the kernel's 10 Mb/s: broken"},
	}
	inNamespace(t, func(ns *netns.NS) {
		warm, _, err := tundev.Create(nil, "", 0) // the poller's own descriptors
		if err != nil {
			t.Fatal(err)
		}
		warm.Close()
		for _, tt := range tests {
			runIn(t, ns, tt.step, func(t *testing.T) {
				before := descriptors(t)
				var log queuetest.Log
				k := tundev.NewKernel()
				k.Fail(tt.step, tt.err)
				dev, err := k.Create(log.Logf, "step0", 1280)
				if (err != nil) != tt.fatal || tt.fatal && !errors.Is(err, tt.err) {
					t.Fatalf("error %v, want fatal %v", err, tt.fatal)
				}
				if !strings.Contains(log.String(), tt.log) {
					t.Errorf("log %q, want %q", &log, tt.log)
				}
				if dev != nil {
					if err := dev.Close(); err != nil {
						t.Error(err)
					}
				}
				if after := descriptors(t); !slices.Equal(after, before) {
					t.Errorf("descriptors %q, had %q", after, before)
				}
				if links, err := ns.Links(); err != nil || len(links) != 1 {
					t.Errorf("left behind: %v, %v", links, err)
				}
			})
		}
	})
}

func TestCreateWithoutOffloads(t *testing.T) {
	inNamespace(t, func(*netns.NS) {
		var flags []uint16
		k := tundev.NewKernel()
		k.Attached(func(f uint16) error {
			flags = append(flags, f)
			if f&unix.IFF_VNET_HDR != 0 {
				return syscall.EINVAL
			}
			return nil
		})
		dev, err := k.Create(t.Logf, "plain0", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		if len(flags) != 2 || dev.BatchSize() != 128 {
			t.Errorf("flags %#x, batch size %d", flags, dev.BatchSize())
		}
	})
}

func TestCreateLoadsTheModuleOnce(t *testing.T) {
	gone := errors.New("modprobe: not found")
	tests := []struct {
		name    string
		fails   int // openings that fail
		err     error
		loadErr error
		loads   int
		ok      bool
	}{
		{"there", 0, nil, nil, 0, true},
		{"node after loading", 1, syscall.ENOENT, nil, 1, true},
		{"node late", 4, syscall.ENOENT, nil, 1, true},
		{"driver after loading", 1, syscall.ENODEV, nil, 1, true},
		{"cannot load", 1, syscall.ENOENT, gone, 1, false},
		{"never there", 1000, syscall.ENOENT, nil, 1, false},
		{"no access", 1, syscall.EACCES, nil, 0, false},
		{"forbidden", 1, syscall.EPERM, nil, 0, false},
	}
	inNamespace(t, func(ns *netns.NS) {
		for _, tt := range tests {
			runIn(t, ns, tt.name, func(t *testing.T) {
				loads := 0
				k := tundev.NewKernel()
				k.FailOpens(tt.fails, tt.err)
				k.LoadModule(func() error { loads++; return tt.loadErr })
				dev, err := k.Create(t.Logf, "", 0)
				if dev != nil {
					dev.Close()
				}
				if (err == nil) != tt.ok || loads != tt.loads {
					t.Errorf("%v after %d loads", err, loads)
				}
				for _, want := range []error{tt.err, tt.loadErr} {
					if !tt.ok && want != nil && !errors.Is(err, want) {
						t.Errorf("%v is not %v", err, want)
					}
				}
			})
		}
	})
}

// TestLesson21FailedCreationsLeaveNothing: elsewhere each failed attempt cost a
// descriptor.
func TestLesson21FailedCreationsLeaveNothing(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		busy, _, err := tundev.Create(nil, "held", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		before := descriptors(t)
		for i := range 1000 {
			name := []string{"held", "lo", "not/valid"}[i%3]
			if dev, _, err := tundev.Create(nil, name, 0); err == nil {
				dev.Close()
				t.Fatalf("created %s", name)
			}
		}
		if after := descriptors(t); !slices.Equal(after, before) {
			t.Errorf("descriptors %q, had %q", after, before)
		}
	})
}

func TestManyCreationsLeaveNothing(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		cycle := func() {
			dev, name, err := tundev.Create(nil, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			// Events that nobody reads must not hold anything.
			if err := errors.Join(ns.LinkUp(name), ns.LinkDown(name)); err != nil {
				t.Fatal(err)
			}
			if err := dev.Close(); err != nil {
				t.Fatal(err)
			}
		}
		cycle()
		before := descriptors(t)
		for range 50 {
			cycle()
		}
		if after := descriptors(t); !slices.Equal(after, before) {
			t.Errorf("descriptors %q, had %q", after, before)
		}
	})
}

// A TUN that was made to last, with its address, is used as it is and stays.
func TestPersistentInterface(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		if _, err := ns.Exec(t.Context(), "ip", "tuntap", "add", "mode", "tun", "name", "last0"); err != nil {
			t.Skip(err)
		}
		if err := ns.AddAddr("last0", netip.MustParsePrefix("10.5.0.1/24")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			dev, name, err := tundev.Create(t.Logf, "last0", 1280)
			if err != nil {
				t.Fatal(err)
			}
			if name != "last0" {
				t.Errorf("name %q", name)
			}
			if err := dev.Close(); err != nil {
				t.Error(err)
			}
		}
		if links, err := ns.Links(); err != nil || !slices.Contains(links, "last0") {
			t.Errorf("links %v, %v", links, err)
		}
	})
}

// EIO on Write is no end: the device goes on when the link is up.
func TestWriteWhileDown(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		dev, name, err := tundev.Create(t.Logf, "down0", 1280)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		for range 2 {
			for range 3 {
				if _, err := dev.Write([][]byte{ipv4Packet()}, room); !errors.Is(err, syscall.EIO) {
					t.Errorf("down: %v", err)
				}
			}
			if err := ns.LinkUp(name); err != nil {
				t.Fatal(err)
			}
			if _, err := dev.Write([][]byte{ipv4Packet()}, room); err != nil {
				t.Errorf("up: %v", err)
			}
			if err := ns.LinkDown(name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The MTU is known after Close also where it was never asked for before, and is
// the interface's own where Create did not set it.
func TestMTUAfterClose(t *testing.T) {
	inNamespace(t, func(*netns.NS) {
		for _, tt := range []struct{ asked, want int }{{0, 1500}, {1280, 1280}} {
			dev, _, err := tundev.Create(nil, "mtu%d", tt.asked)
			if err != nil {
				t.Fatal(err)
			}
			dev.Close()
			if mtu, err := dev.MTU(); mtu != tt.want || err != nil {
				t.Errorf("asked for %d: MTU %d, %v; want %d", tt.asked, mtu, err, tt.want)
			}
		}
	})
}
