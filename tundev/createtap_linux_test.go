//go:build !android

package tundev_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"tstun/internal/netns"
	"tstun/tundev"
)

// A TAP is a port of its bridge, and up, until Close; a bridge that is none is
// refused with what to do, and nothing is left.
func TestCreateTAP(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		for _, args := range [][]string{{"br0", "type", "bridge"}, {"veth0", "type", "veth", "peer", "name", "veth1"}} {
			if _, err := ns.Exec(t.Context(), "ip", append([]string{"link", "add"}, args...)...); err != nil {
				t.Skipf("needs a bridge: %v", err)
			}
		}
		for _, tt := range []struct{ name, bridge, want string }{
			{"tap0", "br7", `create tap0: bridge br7: Link not found: "ip link add br7 type bridge" and "ip link set br7 up" make one`},
			{"tap0", "veth0", "create tap0: veth0 is no bridge but of type veth"},
			{"a/b", "", "create a/b: name: must not contain a slash, a colon or white space"},
		} {
			if _, _, err := tundev.CreateTAP(nil, tt.name, tt.bridge, 1280); err == nil || err.Error() != tt.want {
				t.Errorf("%v\nwant %s", err, tt.want)
			}
		}
		if _, _, err := tundev.CreateTAP(nil, "tap0", "", -1); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("MTU -1: %v", err)
		}
		dev, name, err := tundev.CreateTAP(t.Logf, "tap0", "br0", 1280)
		if err != nil || name != "tap0" {
			t.Fatalf("%q, %v", name, err)
		}
		out, err := ns.Exec(t.Context(), "ip", "link", "show", "tap0")
		if err != nil || !strings.Contains(string(out), "master br0") || !strings.Contains(string(out), ",UP") || !strings.Contains(string(out), "mtu 1280") {
			t.Errorf("%v: %s", err, out)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		if links, err := ns.Links(); err != nil || slices.Contains(links, "tap0") {
			t.Errorf("left: %v, %v", links, err)
		}
	})
}
