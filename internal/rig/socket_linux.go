package rig

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
