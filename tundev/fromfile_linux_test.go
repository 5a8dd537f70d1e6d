//go:build !android

package tundev_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/netns"
	"tstun/tundev"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openTUN is what a supervisor does: a blocking descriptor with an interface.
func openTUN(t *testing.T, name string, flags uint16) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(flags)
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := conn.Control(func(fd uintptr) { err = unix.IoctlIfreq(int(fd), unix.TUNSETIFF, ifr) }); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
	return f
}

// inNewNamespace makes a device in a namespace of its own.
func inNewNamespace(t *testing.T, open func(ns *netns.NS) (tun.Device, error)) tun.Device {
	t.Helper()
	var dev tun.Device
	inNamespace(t, func(ns *netns.NS) {
		var err error
		if dev, err = open(ns); err != nil {
			t.Fatal(err)
		}
		name, err := dev.Name()
		if err != nil {
			t.Fatal(err)
		}
		if err := ns.LinkUp(name); err != nil {
			t.Fatal(err)
		}
	})
	return dev
}

func TestCloseCreated(t *testing.T) {
	testClose(t, func(t *testing.T) tun.Device {
		return inNewNamespace(t, func(*netns.NS) (tun.Device, error) {
			dev, _, err := tundev.Create(t.Logf, "close0", 1280)
			return dev, err
		})
	})
}

func TestCloseFromFile(t *testing.T) {
	testClose(t, func(t *testing.T) tun.Device {
		return inNewNamespace(t, func(*netns.NS) (tun.Device, error) {
			dev, _, err := tundev.FromFile(openTUN(t, "file0", unix.IFF_TUN|unix.IFF_NO_PI), 0)
			return dev, err
		})
	})
}

func TestFromFile(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		for _, tt := range []struct {
			name        string
			flags       uint16
			mtu, want   int
			callerFirst bool
		}{
			{"plain", unix.IFF_TUN | unix.IFF_NO_PI, 0, 1500, true},
			{"mtu", unix.IFF_TUN | unix.IFF_NO_PI, 1400, 1400, false},
			{"offloads", unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR, 1280, 1280, true},
			{"tap", unix.IFF_TAP | unix.IFF_NO_PI, 0, 1500, false},
		} {
			runIn(t, ns, tt.name, func(t *testing.T) {
				f := openTUN(t, tt.name, tt.flags)
				dev, name, err := tundev.FromFile(f, tt.mtu)
				if err != nil {
					t.Fatal(err)
				}
				defer dev.Close()
				mtu, err := dev.MTU()
				if name != tt.name || mtu != tt.want || err != nil {
					t.Errorf("name %q, MTU %d, %v", name, mtu, err)
				}
				// Either of the two descriptors keeps the interface.
				first, second := f.Close, dev.Close
				if !tt.callerFirst {
					first, second = second, first
				}
				if err := first(); err != nil {
					t.Error(err)
				}
				if links, err := ns.Links(); err != nil || !slices.Contains(links, tt.name) {
					t.Errorf("gone with the first: %v, %v", links, err)
				}
				if err := second(); err != nil {
					t.Error(err)
				}
				if links, err := ns.Links(); err != nil || slices.Contains(links, tt.name) {
					t.Errorf("still there: %v, %v", links, err)
				}
			})
		}
	})
}

func TestFromFileErrors(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	before := descriptors(t)
	tests := []struct {
		name string
		file *os.File
		mtu  int
		want string
	}{
		{"none", nil, 0, "from file: no file"},
		{"no TUN", null, 0, "from file /dev/null: not a TUN: TUNGETIFF: "},
		{"closed", closed, 0, "from file /dev/null: "},
		{"MTU", null, 70000, "from file /dev/null: MTU 70000: not between 0 and 65535"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev, _, err := tundev.FromFile(tt.file, tt.mtu)
			if dev != nil || err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, %v", dev, err)
			}
		})
	}
	if after := descriptors(t); !slices.Equal(after, before) {
		t.Errorf("descriptors %q, had %q", after, before)
	}
}

func TestFromFileRefusesTAPWithVirtioHeaders(t *testing.T) {
	inNamespace(t, func(*netns.NS) {
		f := openTUN(t, "vtap", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		if _, _, err := tundev.FromFile(f, 0); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
}

// A supervisor hands a descriptor to a program without rights: the MTU cannot
// be set, and the device works.
func TestFromFileWithoutRights(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		f := openTUN(t, "weak0", unix.IFF_TUN|unix.IFF_NO_PI)
		withoutCapabilities(t, func() {
			dev, _, err := tundev.FromFile(f, 1400)
			if err != nil {
				t.Error(err)
				return
			}
			defer dev.Close()
			if mtu, err := dev.MTU(); err != nil || mtu != 1500 {
				t.Errorf("MTU %d, %v", mtu, err)
			}
			if _, _, err := tundev.Create(nil, "weak1", 1400); !errors.Is(err, syscall.EPERM) ||
				err.Error() != "create weak1: TUNSETIFF: operation not permitted" {
				t.Errorf("Create: %v", err)
			}
		})
	})
}

// withoutCapabilities drops the effective capabilities of the calling thread,
// which the namespace's Do has locked, while f runs.
func withoutCapabilities(t *testing.T, f func()) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, none [2]unix.CapUserData // 64 bits in two halves
	if err := unix.Capget(&header, &had[0]); err != nil {
		t.Skip(err)
	}
	none = had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := unix.Capset(&header, &had[0]); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
