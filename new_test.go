package tstun_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/tundev"
)

// TestDiagnoseLogsEachFinding: what tundev finds out is in the log whole, with
// the device's name.
func TestDiagnoseLogsEachFinding(t *testing.T) {
	for _, err := range []error{syscall.EPERM, syscall.EBUSY, os.ErrNotExist, fmt.Errorf("write: %w", syscall.EIO), errors.New("unheard of")} {
		var lines []string
		tstun.Diagnose(func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }, "tun7", err)
		findings := tundev.Diagnose("tun7", err)
		if len(lines) != len(findings) || len(lines) == 0 {
			t.Errorf("%v: %d lines for %d findings", err, len(lines), len(findings))
			continue
		}
		for i, f := range findings {
			for _, part := range []string{"tun7", f.Code, f.Cause, f.Advice} {
				if !strings.Contains(lines[i], part) {
					t.Errorf("%v: %q lacks %q", err, lines[i], part)
				}
			}
		}
	}
	if len(tundev.Diagnose("tun7", syscall.EIO)) == 0 {
		t.Error("nothing is found out about a link that is down")
	}
	tstun.Diagnose(nil, "tun7", syscall.EPERM) // nobody listens
}

// TestNewSaysWhatFailed: device and cause, whether for a name that cannot be
// or for the lack of rights.
func TestNewSaysWhatFailed(t *testing.T) {
	dev, name, err := tstun.New(nil, "a name that cannot be")
	if err == nil || dev != nil || name != "" || !strings.HasPrefix(err.Error(), "tstun: ") || !strings.Contains(err.Error(), "a name that cannot be") {
		t.Errorf("New = %v, %q, %v; want an error that names the device", dev, name, err)
	}
}

var (
	hostMAC = []byte{2, 0, 0, 0, 0, 1}
	peerMAC = []byte{2, 't', 's', 't', 'u', 'n'} // of all that is beyond the TAP
)

// frame is an Ethernet frame from the host.
func frame(typ uint16, payload []byte) []byte {
	f := append(bytes.Clone(peerMAC), hostMAC...)
	return append(append(f, byte(typ>>8), byte(typ)), payload...)
}

// TestWrapTAP: the Wrapper of an Ethernet device carries IP packets, filters
// them, and finds the host's address by itself.
func TestWrapTAP(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  uint16
		out  []byte
		in   []byte
		bad  []byte
	}{
		{"IPv4", 0x0800, craft.UDP(host4, 1, peer4, 2, "out"), craft.UDP(peer4, 2, host4, 1, "in"), craft.UDP(peer4, 3, host4, 1, "in")},
		{"IPv6", 0x86dd, craft.UDP(host6, 1, peer6, 2, "out"), craft.UDP(peer6, 2, host6, 1, "in"), craft.UDP(peer6, 3, host6, 1, "in")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dev := testdev.New(1)
			w := tstun.WrapTAP(t.Logf, dev)
			defer w.Close()
			r := rig.Of(t, w, 1)
			r.Dev = dev
			r.Allow()
			if w.Unwrap() != tun.Device(dev) {
				t.Error("Unwrap is not the device that WrapTAP got")
			}
			dev.Send(frame(tt.typ, tt.out))
			rig.WantPackets(t, "out", r.Read(1), tt.out)
			got := r.FromPeer(tt.in)
			if len(got) != 1 || !bytes.Equal(got[0][:6], hostMAC) || !bytes.Equal(got[0][14:], tt.in) || got[0][12] != byte(tt.typ>>8) {
				t.Errorf("the host got %x, want its own MAC and %x", got, tt.in)
			}
			r.WantDrop(true, filter.ReasonNoRule, func() { rig.WantPackets(t, "refused", r.FromPeer(tt.bad)) })
		})
	}
}

func TestWrapTAPAnswersARP(t *testing.T) {
	dev := testdev.New(1)
	w := tstun.WrapTAP(t.Logf, dev)
	w.SetFilter(filter.NewAllowAll(nil))
	ended := make(chan error)
	go func() {
		_, err := w.Unbatched().Read(make([]byte, 2000), offset)
		ended <- err
	}()
	request := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, request: RFC 826
	request = append(append(request, hostMAC...), host4.AsSlice()...)
	request = append(append(request, make([]byte, 6)...), peer4.AsSlice()...)
	dev.Send(frame(0x0806, request))
	reply := dev.Next()
	if len(reply) < 42 || !bytes.Equal(reply[:6], hostMAC) || reply[21] != 2 || !bytes.Equal(reply[22:28], peerMAC) || !bytes.Equal(reply[28:32], peer4.AsSlice()) {
		t.Errorf("ARP reply %x, want one that says where %v is", reply, peer4)
	}
	w.Close()
	rig.WantClosed(t, "Read", <-ended)
	if c := w.Counters(); c.Out.Packets != 0 || c.In.Packets != 0 {
		t.Errorf("counted %+v, want no packets", c)
	}
}

// TestNewRefusesTAPNames: by their parts, before anything is made.
func TestNewRefusesTAPNames(t *testing.T) {
	for name, want := range map[string]string{
		"tap:":             `tstun: "tap:": there is no name of the TAP: want tap:NAME or tap:NAME:BRIDGE`,
		"tap::br0":         `tstun: "tap::br0": there is no name of the TAP`,
		"tap:x:":           `tstun: "tap:x:": there is no name of the bridge`,
		"tap:x:br0:y":      `tstun: "tap:x:br0:y": there are more than two names`,
		"tap:a name:br0":   `tstun: create a name: name: must not contain a slash, a colon or white space`,
		"tap:x:no-such-br": `tstun: create x: bridge no-such-br: Link not found: "ip link add no-such-br type bridge"`,
	} {
		if runtime.GOOS != "linux" && !strings.Contains(want, ": there ") {
			continue
		}
		if _, _, err := tstun.New(t.Logf, name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}
