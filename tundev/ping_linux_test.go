//go:build !android

package tundev_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/netns"
	"tstun/tundev"
)

// echo answers pings until the device is closed.
func echo(t *testing.T, dev tun.Device) {
	bufs, sizes := make([][]byte, dev.BatchSize()), make([]int, dev.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, room+65535)
	}
	for {
		n, err := dev.Read(bufs, sizes, room)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for i := range n {
			if !toEchoReply(bufs[i][room:][:sizes[i]]) {
				continue
			}
			if _, err := dev.Write([][]byte{bufs[i][:room+sizes[i]]}, room); err != nil && !errors.Is(err, os.ErrClosed) {
				t.Error(err)
			}
		}
	}
}

// toEchoReply turns an echo request into its reply: the addresses change
// places, which leaves the sums as they are, and so does the type, whose
// difference goes into the ICMP checksum (RFC 1624).
func toEchoReply(p []byte) bool {
	swap := func(a, b []byte) {
		for i := range a {
			a[i], b[i] = b[i], a[i]
		}
	}
	retype := func(icmp []byte, from, to byte) bool {
		if icmp[0] != from {
			return false
		}
		icmp[0] = to
		sum := uint32(^binary.BigEndian.Uint16(icmp[2:])) + uint32(^(uint16(from) << 8)) + uint32(to)<<8
		sum = sum>>16 + sum&0xffff
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum))
		return true
	}
	switch {
	case len(p) >= 28 && p[0] == 0x45 && p[9] == 1:
		swap(p[12:16], p[16:20])
		return retype(p[20:], 8, 0)
	case len(p) >= 48 && p[0]>>4 == 6 && p[6] == 58:
		swap(p[8:24], p[24:40])
		return retype(p[40:], 128, 129)
	}
	return false
}

// The kernel pings through a device: with offloads, without, taken over, and
// through the TAP adaptor, where it has to find its neighbours first.
func TestKernelPings(t *testing.T) {
	if _, err := exec.LookPath("ping"); err != nil {
		t.Skip("no ping program")
	}
	fromFile := func(flags uint16) func(t *testing.T) (tun.Device, error) {
		return func(t *testing.T) (tun.Device, error) {
			dev, _, err := tundev.FromFile(openTUN(t, "ping0", flags), 1280)
			return dev, err
		}
	}
	tests := []struct {
		name string
		open func(t *testing.T) (tun.Device, error)
	}{
		{"created", func(t *testing.T) (tun.Device, error) {
			dev, _, err := tundev.Create(t.Logf, "ping0", 1280)
			return dev, err
		}},
		{"plain", fromFile(unix.IFF_TUN | unix.IFF_NO_PI)},
		{"TAP by name", func(t *testing.T) (tun.Device, error) {
			dev, _, err := tundev.CreateTAP(t.Logf, "ping0", "", 1280)
			return dev, err
		}},
		{"TAP", func(t *testing.T) (tun.Device, error) {
			dev, err := fromFile(unix.IFF_TAP | unix.IFF_NO_PI)(t)
			if err != nil {
				return nil, err
			}
			return tundev.TAP(dev), nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inNamespace(t, func(ns *netns.NS) {
				dev, err := tt.open(t)
				if err != nil {
					t.Fatal(err)
				}
				var answering sync.WaitGroup
				answering.Go(func() { echo(t, dev) })
				defer answering.Wait()
				defer dev.Close()
				err = errors.Join(
					ns.LinkUp("ping0"),
					ns.AddAddr("ping0", netip.MustParsePrefix("10.7.0.1/24")),
					ns.AddAddr("ping0", netip.MustParsePrefix("fd07::1/64")),
				)
				if err != nil {
					t.Fatal(err)
				}
				for _, to := range []string{"10.7.0.2", "fd07::2"} {
					for _, size := range []string{"0", "1200"} {
						if _, err := ns.Exec(t.Context(), "ping", "-c2", "-i0.01", "-W5", "-s", size, to); err != nil {
							t.Error(err)
						}
					}
				}
			})
		})
	}
}
