//go:build !android

package tundev_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/tundev"
)

// familyHeaderPair returns a device and the other end of its file.
func familyHeaderPair(t *testing.T) (tundev.FamilyHeader, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { near.Close(); far.Close() })
	return tundev.NewFamilyHeader(near), far
}

func TestFamilyHeaderWrite(t *testing.T) {
	dev, far := familyHeaderPair(t)
	bufs := [][]byte{
		append(make([]byte, 4), ip4...),
		append(make([]byte, 4), ip6...),
		append(make([]byte, 4), 0x50),
		append(make([]byte, 4), ip4...),
	}
	if n, err := dev.Write(bufs, 4); n != 2 || !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("wrote %d, %v", n, err)
	}
	for _, want := range [][]byte{
		append([]byte{0, 0, 0, unix.AF_INET}, ip4...),
		append([]byte{0, 0, 0, unix.AF_INET6}, ip6...),
	} {
		got := make([]byte, 100)
		n, err := far.Read(got)
		if err != nil || !bytes.Equal(got[:n], want) {
			t.Errorf("%x, %v, want %x", got[:n], err, want)
		}
	}
}

func TestFamilyHeaderRead(t *testing.T) {
	dev, far := familyHeaderPair(t)
	for _, offset := range []int{4, 16} {
		if _, err := far.Write(append([]byte{0, 0, 0, unix.AF_INET}, ip4...)); err != nil {
			t.Fatal(err)
		}
		bufs, sizes := [][]byte{make([]byte, 100)}, []int{0}
		if n, err := dev.Read(bufs, sizes, offset); n != 1 || err != nil || !bytes.Equal(bufs[0][offset:][:sizes[0]], ip4) {
			t.Errorf("offset %d: %d, %v, %x", offset, n, err, bufs[0])
		}
	}
	if _, err := far.Write([]byte{0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if n, err := dev.Read([][]byte{make([]byte, 100)}, []int{0}, 4); n != 0 || err != nil {
		t.Errorf("without a packet: %d, %v", n, err)
	}
}
