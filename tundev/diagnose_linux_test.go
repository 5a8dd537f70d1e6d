//go:build !android

package tundev_test

import (
	"slices"
	"testing"

	"tstun/internal/netns"
	"tstun/tundev"
)

// The real system, through real failures.
func TestDiagnoseThisSystem(t *testing.T) {
	inNamespace(t, func(ns *netns.NS) {
		held, name, err := tundev.Create(nil, "diag0", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		before := descriptors(t)

		_, _, err = tundev.Create(nil, name, 0)
		check(t, tundev.Diagnose(name, err), "name-held-here", "", "iff: diag0")
		withoutCapabilities(t, func() {
			_, _, err := tundev.Create(nil, "diag1", 0)
			check(t, tundev.Diagnose("diag1", err), "no-net-admin", "", "CapEff 0000000000000000")
		})
		check(t, tundev.Diagnose("diag2", nil), "", "", "")

		if after := descriptors(t); !slices.Equal(after, before) {
			t.Errorf("descriptors %q, had %q", after, before)
		}
		if links, err := ns.Links(); err != nil || !slices.Equal(links, []string{"lo", name}) {
			t.Errorf("links %v, %v", links, err)
		}
	})
}
