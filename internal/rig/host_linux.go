package rig

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"
	"unsafe"

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

// DialUDP opens a socket of the host, which is closed with the test.
func (h *Host) DialUDP(t *testing.T, from, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	return h.UDPSocket(t, func() (*net.UDPConn, error) {
		return net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
	})
}

// ListenUDP opens a socket of the host that receives, with a buffer for what comes
// while the receiver does not run. It is closed with the test.
func (h *Host) ListenUDP(t *testing.T, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	c := h.UDPSocket(t, func() (*net.UDPConn, error) { return net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)) })
	setOption(t, c, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	return c
}

// UDPSocket opens a socket in the host's namespace, which is closed with the test.
func (h *Host) UDPSocket(t *testing.T, open func() (*net.UDPConn, error)) (c *net.UDPConn) {
	t.Helper()
	if err := h.NS.Do(func() (err error) { c, err = open(); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ListenTCP opens a socket of the host, which is closed with the test.
func (h *Host) ListenTCP(t *testing.T, at netip.AddrPort) (l net.Listener) {
	t.Helper()
	if err := h.NS.Do(func() (err error) { l, err = net.Listen("tcp", at.String()); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func setOption(t *testing.T, c *net.UDPConn, level, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		ctlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) })
		err = errors.Join(err, ctlErr)
	}
	if err != nil {
		t.Fatal(os.NewSyscallError("setsockopt", err))
	}
}

// SendSegments sends b as one super-packet of UDP packets of size bytes each
// but for the last.
func SendSegments(c *net.UDPConn, b []byte, size int) error {
	if len(b) <= size {
		_, err := c.Write(b)
		return err
	}
	control := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(size))
	_, _, err := c.WriteMsgUDP(b, control, nil)
	return err
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
