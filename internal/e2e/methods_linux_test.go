package e2e_test

import (
	"maps"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/internal/netns"
	"tstun/internal/rig"
	"tstun/tundev"
)

// TestEveryMethodAtEveryTimeOnKernelTUNs calls all methods on Wrappers on a TUN of
// New's, one of wireguard-go's, and a descriptor that was taken over.
func TestEveryMethodAtEveryTimeOnKernelTUNs(t *testing.T) {
	h := &rig.Host{NS: netns.New(t)}
	for name, create := range map[string]func() (tun.Device, string, error){
		"New": rig.TUNOfNew(t),
		"wireguard-go": func() (tun.Device, string, error) {
			dev, err := tun.CreateTUN("wg%d", tstun.DefaultMTU)
			if err != nil {
				return nil, "", err
			}
			name, err := dev.Name()
			return dev, name, err
		},
		"descriptor": func() (tun.Device, string, error) {
			first, _, err := tundev.Create(t.Logf, "fd%d", tstun.DefaultMTU)
			if err != nil {
				return nil, "", err
			}
			defer first.Close()
			return tundev.FromFile(first.File(), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := maps.Clone(rig.Methods)
			if name == "wireguard-go" { // which asks the caller's namespace
				delete(all, "MTU")
				delete(all, "Unbatched.MTU")
			}
			rig.WantMethods(t, all, func() *tstun.Wrapper {
				dev := h.Open(t, create)
				if err := h.NS.LinkUp(h.Name); err != nil {
					t.Fatal(err)
				}
				return tstun.Wrap(nil, dev)
			}, true)
		})
	}
}
