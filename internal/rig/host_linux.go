package rig

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"tstun"
	"tstun/internal/netns"
	"tstun/internal/rig/testdev"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// Host is a real kernel's network in a namespace of its own, behind a TUN.
type Host struct {
	NS   *netns.NS
	Name string // of the TUN
}

// NewHost makes a namespace and in it, by create, a TUN. A test that may not is
// skipped.
func NewHost(t *testing.T, create func() (tun.Device, string, error)) (*Host, tun.Device) {
	t.Helper()
	h := &Host{NS: netns.New(t)}
	return h, h.Open(t, create)
}

// Open makes a TUN in the host's namespace.
func (h *Host) Open(t *testing.T, create func() (tun.Device, string, error)) (dev tun.Device) {
	t.Helper()
	err := h.NS.Do(func() (err error) {
		dev, h.Name, err = create()
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs /dev/net/tun: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

// TUNOfNew returns a function that makes a TUN by tstun.New.
func TUNOfNew(t *testing.T) func() (tun.Device, string, error) {
	return func() (tun.Device, string, error) { return tstun.New(t.Logf, "tstun%d") }
}

// OpenTUN makes a TUN without offloads in the calling thread's namespace. Its file
// is read and written packet by packet.
func OpenTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = os.NewSyscallError("TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// UDPOffload reports whether the kernel has UDP segmentation offload for TUNs.
func (h *Host) UDPOffload(t *testing.T) (granted bool) {
	t.Helper()
	err := h.NS.Do(func() (err error) {
		granted, err = testdev.UDPOffload()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return granted
}

// Configure gives the TUN its addresses and brings it up.
func (h *Host) Configure(t *testing.T, addrs ...netip.Addr) {
	t.Helper()
	for _, a := range addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		if err := h.NS.AddAddr(h.Name, netip.PrefixFrom(a, bits)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.NS.LinkUp(h.Name); err != nil {
		t.Fatal(err)
	}
}

// Only4 keeps the kernel from sending what nobody asked it to, which it does
// over IPv6.
func (h *Host) Only4(t *testing.T) {
	t.Helper()
	if err := h.NS.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/"+h.Name+"/disable_ipv6", []byte("1"), 0)
	}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// Run runs a program in the host's namespace.
func (h *Host) Run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := h.NS.Exec(ctx, name, args...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// HostCounters are what the kernel says of the TUN, named from its point of
// view: Rx is what was written to it.
type HostCounters struct {
	Rx, Tx struct{ Packets, Bytes, Dropped uint64 }
}

// Counters asks the kernel for the counters of the TUN.
func (h *Host) Counters(t *testing.T) HostCounters {
	t.Helper()
	var links []struct {
		Stats64 HostCounters
	}
	if err := json.Unmarshal([]byte(h.Run(t, "ip", "-s", "-j", "link", "show", h.Name)), &links); err != nil || len(links) != 1 {
		t.Fatalf("ip link: %v, %d links", err, len(links))
	}
	return links[0].Stats64
}

// Descriptors counts the open descriptors of this process.
func Descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
